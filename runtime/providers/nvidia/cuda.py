"""ONNX Runtime's CUDA provider: every NVIDIA card, with nothing to compile first.

    clavilux live --device cuda

It may keep the arithmetic on shapes on the CPU, which costs nothing; any other node there is refused.
"""

import contextlib
import io
import logging
from collections import Counter
from typing import Any

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia.driver import find_card
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
from clavilux.runtime.providers.session import Device, GraphFile, Session

log = logging.getLogger("clavilux.provider")

CUDA = "CUDAExecutionProvider"
NO_CAPTURE = "graph capture"  # words that ONNX Runtime's refusal of a CUDA graph has
_SHAPE_OPERATORS = """
Add Cast Concat Constant ConstantOfShape Div Equal Expand Gather Identity Max Min Mod Mul Range ReduceProd Reshape Shape
Size Slice Squeeze Sub Unsqueeze Where
"""
SHAPE_OPERATORS = frozenset(_SHAPE_OPERATORS.split())
"""Operators of arithmetic on shapes, which ONNX Runtime puts on the CPU because its results are needed there."""


def open_cuda(graph: GraphFile, threads: int) -> Session:
    """Load `graph` on the CUDA provider; runs are replayed as a CUDA graph where the graph allows it.

    Raises ProviderError: onnxruntime-gpu, a card or CUDA's libraries are missing, or a part would run on the CPU.
    """
    require_cuda()
    return open_on(graph, threads, shared_stream())


def open_on(graph: GraphFile, threads: int, stream: CudaStream) -> BoundSession:
    """Load `graph` for runs on `stream`, where CUDA is known to be here. Raises ProviderError as `open_cuda` does."""
    session, captures = load_capturing(graph, threads, stream)
    return BoundSession(session, graph.path.name, "cuda", captures=captures, stream=stream)


def require_cuda() -> None:
    """Raise ProviderError unless onnxruntime-gpu, a card and CUDA's libraries are here."""
    onnxruntime = import_gpu_runtime(CUDA)
    find_card()
    preload_cuda(onnxruntime)


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
    """Load CUDA's and cuDNN's libraries from NVIDIA's Python packages or the system.

    Raises ProviderError with the names of those that are missing.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints what it does not find, and raises nothing
        onnxruntime.preload_dlls(directory="")
    missing = [line.split()[3].strip(":") for line in said.getvalue().splitlines() if line.startswith("Failed to load")]
    if missing:
        major = cuda_major(onnxruntime)
        raise ProviderError(
            f"CUDA {major} is not here ({', '.join(missing)}); run: pip install 'onnxruntime-gpu[cuda,cudnn]' "
            f"'nvidia-cublas>={major},<{int(major) + 1}'"
        )


def cuda_major(onnxruntime: Any) -> str:
    """Return the major version of the CUDA that this ONNX Runtime was built for, for example "13"."""
    return str(onnxruntime.cuda_version).partition(".")[0]


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
    options = session_options(import_onnxruntime(), threads)
    options.add_session_config_entry(RECORD_NODES, "1")
    session = load_onnxruntime(graph.path, CUDA, options, settings)
    refuse_host_nodes(session, graph.path.name, CUDA)
    return session


DEVICE = Device("cuda", ("onnxruntime-gpu",), require_cuda, open_cuda)
