"""TensorRT for RTX, a plugin of ONNX Runtime: the whole graph as one engine, on GeForce and RTX cards (30, 40, 50).

    clavilux live --device tensorrt-rtx

The engine is compiled ahead of time into a graph of one node that holds it, kept by
`clavilux.runtime.providers.engine_cache`, and loaded.
"""

import functools
import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.engine_cache import engine_folder, engine_places, is_kept
from clavilux.runtime.providers.nvidia.cuda import NO_GRAPH, stream_settings
from clavilux.runtime.providers.nvidia.driver import SERVED, Card, find_card, refuse_old_driver
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
    reason,
    runtime_errors,
    session_options,
)
from clavilux.runtime.providers.session import Device, GraphFile, Session, with_part

RTX = "NvTensorRTRTXExecutionProvider"
PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"  # module
PLUGIN_CUDA = 13  # major version of the CUDA that comes with it
PACKAGES = ("onnxruntime", "onnxruntime-ep-nv-tensorrt-rtx-cu13")
EXTRA = "tensorrt-rtx"
COMPILED = "engine.onnx"
RUNTIME_CACHE = "kernels"  # folder beside the engine, for the code that TensorRT for RTX compiles when it first runs
NAMED_TARGETS = ("sm86", "sm89", "sm120", "sm121")  # architectures that the compiler knows by name


def open_tensorrt_rtx(graph: GraphFile, threads: int, *, captures: bool = True) -> Session:
    """Load `graph` as an engine, which is compiled first where none is kept: minutes for a large one.

    Runs are replayed as CUDA graphs where it `captures`.

    Raises ProviderError: the plugin or a card of the right kind is missing, or TensorRT does not take the whole graph.
    """
    device = find_ep_device()
    target = target_of(device)

    def build(folder: Path) -> None:
        compile_graph(graph, folder / COMPILED, device)

    with engine_folder(engine_key(graph, target), engine_places(graph), build) as engine:
        stream = shared_stream()
        cache = {"nv_runtime_cache_path": str(engine.folder / RUNTIME_CACHE)} if engine.kept else {}
        compiled = replace(graph, path=engine.folder / COMPILED)
        session = _load(compiled, threads, stream, cache | _capture_settings(captures))
    refuse_open_axes(session, graph)
    return _bound(session, graph, stream, captures=captures)


def open_on(graph: GraphFile, threads: int, stream: CudaStream, *, captures: bool = True) -> BoundSession:
    """Load a `graph` that is too small to keep an engine of for runs on `stream`; it is compiled while it loads.

    Raises ProviderError as `open_tensorrt_rtx` does.
    """
    stream.enter()
    settings = profile_settings("nv", graph) | _capture_settings(captures)
    return _bound(_load(graph, threads, stream, settings), graph, stream, captures=captures)


def find_ep_device() -> Any:
    """Return the first card that TensorRT for RTX serves, an `onnxruntime.OrtEpDevice`.

    Raises ProviderError: ONNX Runtime, the plugin, a driver or a card is missing, or the card is of another kind.
    """
    onnxruntime = import_onnxruntime(EXTRA)
    plugin = _import_plugin()
    try:
        _register(onnxruntime, plugin.get_library_path())
    except runtime_errors(onnxruntime) as error:
        _find_usable_card()  # the plugin does not load without a driver, which has a plainer message
        raise ProviderError(f"TensorRT for RTX does not load: {reason(error)}") from error
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == RTX]
    if not devices:
        card = _find_usable_card()
        raise ProviderError(
            f"TensorRT for RTX does not serve {card.name}, {card.architecture}; it serves {SERVED}; "
            "use --device cuda or --device tensorrt"
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
    options = session_options(onnxruntime, 0, graph.closed_axes)
    options.add_session_config_entry(NO_FALLBACK, "1")
    options.add_provider_for_devices([device], named | profile_settings("nv", graph))
    try:
        compiler = onnxruntime.ModelCompiler(options, graph.path, embed_compiled_data_into_model=True)
        compiler.compile_to_file(str(output))
    except runtime_errors(onnxruntime) as error:
        raise ProviderError(f"{graph.path.name} does not compile for {architecture}: {reason(error)}") from error


def _load(graph: GraphFile, threads: int, stream: CudaStream, settings: Mapping[str, str]) -> Any:
    options = session_options(import_onnxruntime(EXTRA), threads, graph.closed_axes)
    options.add_session_config_entry(NO_FALLBACK, "1")
    on_stream = {"has_user_compute_stream": "1"} | stream_settings(stream)
    options.add_provider_for_devices([find_ep_device()], {**on_stream, **settings})
    return load_onnxruntime(graph.path, RTX, options, None)


def _capture_settings(captures: bool) -> dict[str, str]:
    return {"enable_cuda_graph": "1"} if captures else {}


def _bound(session: Any, graph: GraphFile, stream: CudaStream, *, captures: bool) -> BoundSession:
    """Return a session whose inputs lie in the plugin's own memory: beside it ONNX Runtime is that for the CPU."""
    memory = find_ep_device().memory_info(import_onnxruntime(EXTRA).OrtDeviceMemoryType.DEFAULT)
    return BoundSession(session, graph.path.name, "cuda", captures=captures, stream=stream, memory=memory)


def _find_usable_card() -> Card:
    """Return the card. Raises ProviderError: no card, or a driver that is too old for the plugin."""
    card = find_card()
    refuse_old_driver(card, PLUGIN_CUDA)
    return card


def _import_plugin() -> ModuleType:
    try:
        return importlib.import_module(PLUGIN)
    except ImportError as error:
        raise ProviderError(
            "TensorRT for RTX is not installed; "
            f"run: pip install 'clavilux[{EXTRA}]' in an environment without onnxruntime-gpu"
        ) from error


@functools.cache
def _register(onnxruntime: Any, library: str) -> None:
    """Make the plugin known to ONNX Runtime, which refuses to hear of it twice."""
    onnxruntime.register_execution_provider_library(RTX, library)


def _ready(graph: GraphFile) -> bool:
    return is_kept(engine_key(graph, target_of(find_ep_device())), engine_places(graph))


DEVICE = with_part(
    Device(EXTRA, PACKAGES, find_ep_device, open_tensorrt_rtx, _ready),
    NO_GRAPH,
    functools.partial(open_tensorrt_rtx, captures=False),
)
