"""ONNX Runtime's CUDA provider: every NVIDIA card, with nothing to compile first.

    clavilux live --device cuda
    clavilux live --device cuda:no-graph    # without CUDA graphs, to find out whether they are at fault

It may keep the arithmetic on shapes on the CPU, which costs nothing; any other node there is refused.
"""

import contextlib
import functools
import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia.driver import BROUGHT, Card, find_card, load_cudnn, refuse_old_driver
from clavilux.runtime.providers.nvidia.io_binding import BoundSession
from clavilux.runtime.providers.nvidia.stream import CudaStream, shared_stream
from clavilux.runtime.providers.onnx_runtime import (
    CPU,
    RECORD_NODES,
    import_onnxruntime,
    load_onnxruntime,
    placed_nodes,
    session_options,
)
from clavilux.runtime.providers.session import Array, Device, GraphFile, Session, with_part

log = logging.getLogger("clavilux.provider")

CUDA = "CUDAExecutionProvider"
NOT_LOADED = re.compile(r"^Failed to load ([^/\\]+?): ", re.MULTILINE)  # printed of a library that is nowhere
NO_GRAPH = "no-graph"  # part of NVIDIA's devices, for support: all runs of it are plain ones
NO_CAPTURE = "graph capture"  # words that ONNX Runtime's refusal of a CUDA graph has
_SHAPE_OPERATORS = """
Add Cast Concat Constant ConstantOfShape Div Equal Expand Gather Identity Max Min Mod Mul Range ReduceProd Reshape Shape
Size Slice Squeeze Sub Unsqueeze Where
"""
SHAPE_OPERATORS = frozenset(_SHAPE_OPERATORS.split())
"""Operators of arithmetic on shapes, which ONNX Runtime puts on the CPU because its results are needed there."""


class UsualSession:
    """A graph that is loaded for the usual lengths of its open axes, and once more for others when they come.

    ONNX Runtime captures no graph that computes shapes on the CPU; with closed axes there is nothing to compute.
    """

    def __init__(self, usual: BoundSession, others: Callable[[], Session]) -> None:
        self.provider = usual.provider
        self.stream = usual.stream
        self._usual = usual
        self._others = others

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the graph on named host arrays; return its outputs in the graph's order. Raises ProviderError."""
        return (self._usual if self._usual.fits(inputs) else self._others()).run(inputs)


def open_cuda(graph: GraphFile, threads: int, *, captures: bool = True) -> Session:
    """Load `graph` on the CUDA provider; runs are replayed as a CUDA graph where the graph allows it, and `captures`.

    Raises ProviderError: onnxruntime-gpu, a card or CUDA's libraries are missing, or a part would run on the CPU.
    """
    require_cuda()
    stream = shared_stream()
    if not captures or not graph.axes:
        return open_on(graph, threads, stream, captures=captures)
    others = functools.cache(lambda: open_on(replace(graph, axes={}), threads, stream, captures=False))
    if not graph.closed_axes:
        others()  # now, and not in the midst of playing
    return UsualSession(open_on(graph, threads, stream), others)


def open_on(graph: GraphFile, threads: int, stream: CudaStream, *, captures: bool = True) -> BoundSession:
    """Load `graph` for runs on `stream`, where CUDA is known to be here. Raises ProviderError as `open_cuda` does."""
    stream.enter()
    if captures:
        session, captures = load_capturing(graph, threads, stream)
    else:
        session = _load(graph, threads, stream_settings(stream))
    return BoundSession(session, graph.path.name, "cuda", captures=captures, stream=stream)


def require_cuda() -> None:
    """Raise ProviderError unless onnxruntime-gpu, a card and CUDA's libraries are here."""
    onnxruntime = import_gpu_runtime(CUDA)
    prepare_cuda(onnxruntime)


def prepare_cuda(onnxruntime: Any) -> Card:
    """Return the card, with what its providers need loaded: CUDA's libraries and cuDNN.

    Raises ProviderError: no card, a driver that is too old, or libraries that are missing.
    """
    card = find_card()
    refuse_old_driver(card, cuda_major(onnxruntime))
    preload_cuda(onnxruntime)
    load_cudnn()
    return card


def import_gpu_runtime(provider: str) -> Any:
    """Return ONNX Runtime with `provider` built in, or raise ProviderError."""
    onnxruntime = import_onnxruntime("gpu")
    if provider not in onnxruntime.get_available_providers():
        raise ProviderError(
            f"this ONNX Runtime ({onnxruntime.__version__}) has no {provider}; "
            "run: pip install 'clavilux[gpu]' in an environment without onnxruntime"
        )
    return onnxruntime


def preload_cuda(onnxruntime: Any) -> None:
    """Load CUDA's libraries from NVIDIA's Python packages or the system.

    Raises ProviderError with the names of those that are missing.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints what it does not find, and raises nothing
        onnxruntime.preload_dlls(directory="")
    missing = NOT_LOADED.findall(said.getvalue())
    if missing:
        raise ProviderError(f"CUDA {cuda_major(onnxruntime)} is not here ({', '.join(missing)}); {BROUGHT}")


def cuda_major(onnxruntime: Any) -> int:
    """Return the major version of the CUDA that this ONNX Runtime was built for, for example 13; 0: it does not say."""
    return int(str(onnxruntime.cuda_version).partition(".")[0] or 0)


def load_capturing(graph: GraphFile, threads: int, stream: CudaStream) -> tuple[Any, bool]:
    """Return a session that runs on `stream`, and whether its runs may be captured as a CUDA graph."""
    on_stream = stream_settings(stream)
    try:
        return _load(graph, threads, {"enable_cuda_graph": "1"} | on_stream), True
    except ProviderError as error:
        if NO_CAPTURE not in str(error):
            raise
    log.warning("%s runs on %s without a CUDA graph, because not every node runs there", graph.path.name, CUDA)
    return _load(graph, threads, on_stream), False


def stream_settings(stream: CudaStream) -> dict[str, str]:
    """Return the options of NVIDIA's providers for a session that runs on `stream` and nowhere else."""
    return {"user_compute_stream": str(stream.handle)}


def refuse_host_nodes(session: Any, name: str, provider: str) -> None:
    """Raise ProviderError when anything but arithmetic on shapes was put on the CPU; say how much of that there is."""
    nodes = placed_nodes(session).get(CPU, Counter())
    foreign = sorted(set(nodes) - SHAPE_OPERATORS)
    if foreign:
        raise ProviderError(f"{name}: {provider} has no {', '.join(foreign)}, which would run on the CPU; export again")
    if nodes:
        log.warning("%s: %d nodes that compute shapes run on the CPU, all else on %s", name, nodes.total(), provider)


def _load(graph: GraphFile, threads: int, settings: dict[str, str]) -> Any:
    options = session_options(import_onnxruntime(), threads, graph.axes)
    options.add_session_config_entry(RECORD_NODES, "1")
    session = load_onnxruntime(graph.path, CUDA, options, settings)
    refuse_host_nodes(session, graph.path.name, CUDA)
    return session


DEVICE = with_part(
    Device("cuda", ("onnxruntime-gpu",), require_cuda, open_cuda),
    NO_GRAPH,
    functools.partial(open_cuda, captures=False),
)
