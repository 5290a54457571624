"""ONNX Runtime's own TensorRT provider: the whole graph as one engine, on data-centre cards too (H100, A100, L40S).

    clavilux live --device tensorrt

The provider writes its engine, and its timings of kernels, into a folder; `clavilux.runtime.providers.engine_cache`
keeps the engines, and the timings lie in the user's cache, where they speed up the next build of any bundle.
"""

import functools
import logging
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clavilux.runtime.errors import ClaviluxError, ProviderError
from clavilux.runtime.files import written_whole
from clavilux.runtime.providers.engine_cache import (
    EngineKey,
    describe_shapes,
    engine_folder,
    engine_places,
    is_kept,
    user_folder,
)
from clavilux.runtime.providers.nvidia.cuda import (
    NO_GRAPH,
    cuda_major,
    import_gpu_runtime,
    prepare_cuda,
    stream_settings,
)
from clavilux.runtime.providers.nvidia.driver import load_tensorrt, tensorrt_libraries
from clavilux.runtime.providers.nvidia.io_binding import BoundSession
from clavilux.runtime.providers.nvidia.stream import shared_stream
from clavilux.runtime.providers.onnx_runtime import import_onnxruntime, load_onnxruntime, session_options
from clavilux.runtime.providers.session import Device, GraphFile, Session, ShapeRange, with_part

log = logging.getLogger("clavilux.provider")

TENSORRT = "TensorrtExecutionProvider"
CAPTURE = {"trt_cuda_graph_enable": "1"}
NO_FALLBACK = "session.disable_cpu_ep_fallback"
PROVIDER_FILE = (
    "onnxruntime_providers_tensorrt.dll" if sys.platform == "win32" else "libonnxruntime_providers_tensorrt.so"
)


@dataclass(frozen=True)
class Target:
    """Target of an engine: all of the machine that it depends on."""

    device: str  # as `--device` calls it
    architecture: str  # of the card
    version: str  # of TensorRT


def open_tensorrt(graph: GraphFile, threads: int, *, captures: bool = True) -> Session:
    """Load `graph` as an engine, which is built first where none is kept: minutes for a large one.

    Runs are replayed as a CUDA graph where the graph allows it, and `captures`.

    Raises ProviderError: onnxruntime-gpu, a card, CUDA's or TensorRT's libraries are missing, or TensorRT does not
    take the whole graph.
    """
    return load_engine(graph, threads, find_target(), captures=captures)


def find_target() -> Target:
    """Return the target of engines that are built here.

    Raises ProviderError: onnxruntime-gpu, a card, CUDA's or TensorRT's libraries are missing.
    """
    onnxruntime = import_gpu_runtime(TENSORRT)
    card = prepare_cuda(onnxruntime)
    provider_file = Path(onnxruntime.__file__).parent / "capi" / PROVIDER_FILE
    version = load_tensorrt(tensorrt_libraries(provider_file), cuda_major(onnxruntime))
    return Target("tensorrt", card.architecture, version)


def load_engine(graph: GraphFile, threads: int, target: Target, *, captures: bool = True) -> Session:
    """Load the kept engine of `graph` for `target`, or build it. Raises ProviderError when TensorRT cannot.

    The provider has one CUDA graph for a session, whatever a run asks for: it captures the second run, and replays that
    for all that follow, whichever buffers and shapes they have. So nothing is captured that has open axes, and each
    further run is given a session of its own, for which the engine has to be kept.
    """
    timings = user_folder() / f"timings-{target.architecture}-{target.version}"

    def build(folder: Path) -> None:
        _copy(timings, folder)
        _load(graph, threads, engine_settings(graph, folder) | timing_settings(folder))
        _copy(folder, timings)
        for path in folder.glob("*.timing"):
            path.unlink()
        if not any(folder.glob("*.engine")):
            raise ProviderError(f"TensorRT {target.version} wrote no engine for {graph.path.name}")

    with engine_folder(engine_key(graph, target), engine_places(graph), build) as engine:
        stream = shared_stream()
        settings = engine_settings(graph, engine.folder) | stream_settings(stream)

        def load(captured: bool) -> Any:
            return _load(graph, threads, settings | (CAPTURE if captured else {}))

        obstacle = "its engine is not kept" if not engine.kept else "its sizes are open" if _ranges(graph) else ""
        if captures and obstacle:
            log.warning("%s runs on %s without a CUDA graph, because %s", graph.path.name, TENSORRT, obstacle)
        captures = captures and not obstacle
        session = load(captures)
    refuse_open_axes(session, graph)
    reload = load if captures else None
    return BoundSession(session, graph.path.name, "cuda", captures=captures, stream=stream, reload=reload)


def engine_key(graph: GraphFile, target: Target) -> EngineKey:
    """Return the key of the engine of `graph` for `target`."""
    return EngineKey(
        graph=graph.path.name,
        provider=target.device,
        sha256=graph.sha256,
        precision=graph.precision,
        shapes=describe_shapes(graph.shapes),
        architecture=target.architecture,
        version=target.version,
    )


def engine_settings(graph: GraphFile, folder: Path) -> dict[str, str]:
    """Return the provider's options for an engine in `folder`.

    `trt_fp16_enable` stays off, for float16 graphs too: without it the provider builds a strongly typed network, which
    keeps the graph's own types. With it TensorRT may run in float16 what the export left in float32, and overflow.
    """
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_engine_cache_prefix": graph.path.stem,
        **profile_settings("trt", graph),
    }


def timing_settings(folder: Path) -> dict[str, str]:
    """Return the provider's options for reading and writing timings of kernels in `folder`."""
    return {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(folder)}


def profile_settings(prefix: str, graph: GraphFile) -> dict[str, str]:
    """Return the options for inputs with open axes, {} when there are none; `prefix` is the provider's: "trt", "nv"."""
    shapes = _ranges(graph)
    if not shapes:
        return {}

    def line(which: str) -> str:
        return ",".join(f"{name}:{'x'.join(map(str, getattr(span, which)))}" for name, span in sorted(shapes.items()))

    ends = {"min": "smallest", "opt": "usual", "max": "largest"}
    return {f"{prefix}_profile_{end}_shapes": line(which) for end, which in ends.items()}


def refuse_open_axes(session: Any, graph: GraphFile) -> None:
    """Raise ProviderError when the graph has open axes whose range nobody gave, as the engine is not made for them."""
    free = [node.name for node in session.get_inputs() if any(not isinstance(length, int) for length in node.shape)]
    missing = sorted(set(free) - set(_ranges(graph)))
    if missing:
        raise ProviderError(
            f"{graph.path.name} has open axes in {', '.join(missing)} without a range of sizes; "
            "export the bundle with fixed sizes, or give their range"
        )


def _ranges(graph: GraphFile) -> Mapping[str, ShapeRange]:
    """Return the shapes of the inputs that still have open axes once those of one length are closed."""
    return {} if graph.closed_axes else graph.shapes


def _load(graph: GraphFile, threads: int, settings: Mapping[str, str]) -> Any:
    options = session_options(import_onnxruntime(), threads, graph.closed_axes)
    options.add_session_config_entry(NO_FALLBACK, "1")
    return load_onnxruntime(graph.path, TENSORRT, options, settings)


def _copy(source: Path, target: Path) -> None:
    """Copy timings, each whole. They only save time: where they cannot lie, nothing is lost."""
    with suppress(OSError, ClaviluxError):
        target.mkdir(parents=True, exist_ok=True)
        for path in source.glob("*.timing"):
            with written_whole(target / path.name) as part:
                shutil.copyfile(path, part)


def _ready(graph: GraphFile) -> bool:
    return is_kept(engine_key(graph, find_target()), engine_places(graph))


DEVICE = with_part(
    Device("tensorrt", ("onnxruntime-gpu",), find_target, open_tensorrt, _ready),
    NO_GRAPH,
    functools.partial(open_tensorrt, captures=False),
)
