"""TensorRT for RTX, a plugin of ONNX Runtime: the whole graph as one engine, on GeForce and RTX cards (30, 40, 50).

    clavilux live --device tensorrt-rtx

The engine is compiled ahead of time into a graph of one node that holds it, kept by
`clavilux.runtime.providers.engine_cache`, and loaded.
"""

import functools
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.engine_cache import engine_folder, engine_places, is_kept
from clavilux.runtime.providers.nvidia.cuda import stream_settings
from clavilux.runtime.providers.nvidia.driver import find_card
from clavilux.runtime.providers.nvidia.io_binding import BoundSession
from clavilux.runtime.providers.nvidia.stream import CudaStream, shared_stream
from clavilux.runtime.providers.nvidia.tensorrt import (
    NO_FALLBACK,
    Target,
    engine_key,
    profile_settings,
    refuse_open_axes,
)
from clavilux.runtime.providers.onnx_runtime import (
    import_onnxruntime,
    load_onnxruntime,
    runtime_errors,
    session_options,
)
from clavilux.runtime.providers.session import Device, GraphFile, Session, first_line

RTX = "NvTensorRTRTXExecutionProvider"
PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"  # module
PACKAGES = ("onnxruntime", "onnxruntime-ep-nv-tensorrt-rtx-cu13")
EXTRA = "tensorrt-rtx"
COMPILED = "engine.onnx"
RUNTIME_CACHE = "kernels"  # folder beside the engine, for the code that TensorRT for RTX compiles when it first runs
NAMED_TARGETS = ("sm86", "sm89", "sm120", "sm121")  # architectures that the compiler knows by name
SERVED = "sm86 (RTX 30), sm89 (RTX 40) and sm120 (RTX 50) or newer"


def open_tensorrt_rtx(graph: GraphFile, threads: int) -> Session:
    """Load `graph` as an engine, which is compiled first where none is kept: minutes for a large one.

    Raises ProviderError: the plugin or a card of the right kind is missing, or TensorRT does not take the whole graph.
    """
    device = find_ep_device()
    target = target_of(device)

    def build(folder: Path) -> None:
        compile_graph(graph, folder / COMPILED, device)

    with engine_folder(engine_key(graph, target), engine_places(graph), build) as engine:
        stream = shared_stream()
        cache = {"nv_runtime_cache_path": str(engine.folder / RUNTIME_CACHE)} if engine.kept else {}
        session = _load(engine.folder / COMPILED, threads, stream, cache)
    refuse_open_axes(session, graph)
    return BoundSession(session, graph.path.name, "cuda", captures=True, stream=stream)


def open_on(graph: GraphFile, threads: int, stream: CudaStream) -> BoundSession:
    """Load a `graph` that is too small to keep an engine of for runs on `stream`; it is compiled while it loads.

    Raises ProviderError as `open_tensorrt_rtx` does.
    """
    session = _load(graph.path, threads, stream, profile_settings("nv", graph.shapes))
    return BoundSession(session, graph.path.name, "cuda", captures=True, stream=stream)


def find_ep_device() -> Any:
    """Return the first card that TensorRT for RTX serves, an `onnxruntime.OrtEpDevice`.

    Raises ProviderError: ONNX Runtime, the plugin, a driver or a card is missing, or the card is of another kind.
    """
    onnxruntime = import_onnxruntime(EXTRA)
    plugin = _import_plugin()
    try:
        _register(onnxruntime, plugin.get_library_path())
    except runtime_errors(onnxruntime) as error:
        find_card()  # the plugin does not load without a driver, which has a plainer message
        raise ProviderError(f"TensorRT for RTX does not load: {first_line(error)}") from error
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == RTX]
    if not devices:
        card = find_card()
        raise ProviderError(
            f"TensorRT for RTX does not serve {card.name}, {card.architecture}; it serves {SERVED}, "
            "with a driver from 570 on; use --device tensorrt or --device cuda"
        )
    return devices[0]


def target_of(device: Any) -> Target:
    """Return the target of engines for `device`."""
    told = dict(device.ep_metadata)
    architecture = told.get("target_architecture") or find_card().architecture
    return Target(EXTRA, architecture, told.get("version", "unknown"))


def compile_graph(graph: GraphFile, output: Path, device: Any) -> None:
    """Compile `graph` into the file `output`, which then holds everything. Raises ProviderError when that fails.

    An architecture that the compiler knows by name is named, so that building needs nothing from the card itself.
    """
    onnxruntime = import_onnxruntime(EXTRA)
    architecture = target_of(device).architecture
    named = {"nv_target_sm": architecture} if architecture in NAMED_TARGETS else {}
    options = session_options(onnxruntime, threads=0)
    options.add_session_config_entry(NO_FALLBACK, "1")
    options.add_provider_for_devices([device], named | profile_settings("nv", graph.shapes))
    try:
        compiler = onnxruntime.ModelCompiler(options, graph.path, embed_compiled_data_into_model=True)
        compiler.compile_to_file(str(output))
    except runtime_errors(onnxruntime) as error:
        raise ProviderError(f"{graph.path.name} does not compile for {architecture}: {first_line(error)}") from error


def _load(graph: Path, threads: int, stream: CudaStream, settings: Mapping[str, str]) -> Any:
    options = session_options(import_onnxruntime(EXTRA), threads)
    options.add_session_config_entry(NO_FALLBACK, "1")
    on_stream = {"has_user_compute_stream": "1"} | stream_settings(stream)
    options.add_provider_for_devices([find_ep_device()], {"enable_cuda_graph": "1", **on_stream, **settings})
    return load_onnxruntime(graph, RTX, options, None)


def _import_plugin() -> ModuleType:
    try:
        return importlib.import_module(PLUGIN)
    except ImportError as error:
        raise ProviderError(f"TensorRT for RTX is not installed; run: pip install 'clavilux[{EXTRA}]'") from error


@functools.cache
def _register(onnxruntime: Any, library: str) -> None:
    """Make the plugin known to ONNX Runtime, which refuses to hear of it twice."""
    onnxruntime.register_execution_provider_library(RTX, library)


def _ready(graph: GraphFile) -> bool:
    return is_kept(engine_key(graph, target_of(find_ep_device())), engine_places(graph))


DEVICE = Device(EXTRA, PACKAGES, find_ep_device, open_tensorrt_rtx, _ready)
