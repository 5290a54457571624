"""An ONNX Runtime that claims to have GPU providers: real sessions on the CPU, whose values lie on a fake card.

`sys.modules["onnxruntime"] = FakeRuntime(...)` puts it in the place of the real one.
"""

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from clavilux.runtime.providers.nvidia import cuda, tensorrt, tensorrt_rtx
from clavilux.runtime.providers.nvidia.driver import Card
from clavilux.runtime.providers.nvidia.stream import CudaStream
from tests.runtime.providers.nvidia.fake_card import OPTION_GRAPH, OPTION_NO_WAIT, DeviceBinding, Runner
from tests.runtime.providers.nvidia.fake_card import Card as FakeCard
from tests.runtime.providers.nvidia.fake_driver import Driver

__all__ = ["Driver"]

CARD = Card("NVIDIA Test", "sm89", "13.0")
PLUGIN_MEMORY = "the memory of the plugin's card"


def write_graph(folder: Path, name: str = "denoiser.onnx", *, batch: int | str = 1) -> Path:
    """Write a graph that doubles `sample`, float32 [batch, 4], and adds `bias`, float32 [4]."""
    sample = helper.make_tensor_value_info("sample", TensorProto.FLOAT, [batch, 4])
    bias = helper.make_tensor_value_info("bias", TensorProto.FLOAT, [4])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, [batch, 4])
    two = helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])
    nodes = [
        helper.make_node("Mul", ["sample", "two"], ["double"], "mul"),
        helper.make_node("Add", ["double", "bias"], ["result"], "add"),
    ]
    graph = helper.make_graph(nodes, "test", [sample, bias], [result], [two])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / name)
    return folder / name


def inputs(batch: int = 1, value: float = 1.0) -> dict[str, np.ndarray]:
    return {"sample": np.full((batch, 4), value, np.float32), "bias": np.arange(4, dtype=np.float32)}


class Options:
    """Session or run options that remember what was set."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.devices: list[Any] = []
        self.settings: dict[str, str] = {}
        self.axes: dict[str, int] = {}

    def add_free_dimension_override_by_name(self, name: str, length: int) -> None:
        self.axes[name] = length

    def add_session_config_entry(self, name: str, value: str) -> None:
        self.entries[name] = value

    def add_provider_for_devices(self, devices: list[Any], settings: Mapping[str, str]) -> None:
        self.devices, self.settings = devices, dict(settings)


class GpuSession:
    """A real session on the CPU that names another provider, and remembers its runs' options.

    With a card its values lie there, and its runs are queued on `stream`; without one they are the CPU's.

    With `one_graph` it captures and replays as ONNX Runtime's TensorRT provider does, which has one CUDA graph for all
    runs: the second run is captured, whatever it asks for, and replayed for every later one.
    """

    def __init__(
        self,
        real: Any,
        provider: str,
        placed: Mapping[str, str],
        card: FakeCard | None = None,
        stream: int = 0,
        *,
        one_graph: bool = False,
    ) -> None:
        self.real = real
        self._provider = provider
        self._placed = placed
        self.runner = None if card is None else Runner(card, real, stream)
        self.runs: list[str | None] = []  # CUDA graph that each run asked for
        self.waited: list[bool] = []  # whether each run was to wait for the card
        self.released: list[int] = []
        self.options: list[Any] = []  # of each run
        self.one_graph = one_graph
        self.skips = False  # whether even then runs that ask for no CUDA graph are left alone
        self.graph: Any = None  # the one, as the binding that was captured
        self.uncapturable = ""  # words that a capture fails with, if it does

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def get_providers(self) -> list[str]:
        return [self._provider, "CPUExecutionProvider"]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        return [
            SimpleNamespace(ep_name=provider, get_nodes=lambda kind=kind: [SimpleNamespace(op_type=kind)])
            for kind, provider in self._placed.items()
        ]

    def io_binding(self) -> Any:
        return onnxruntime.IOBinding(self.real) if self.runner is None else DeviceBinding(self)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self.options.append(options)
        self.runs.append(entry(options, OPTION_GRAPH))
        self.waited.append(entry(options, OPTION_NO_WAIT) != "1")
        number = int(self.runs[-1] or 0)
        if self.one_graph:
            binding, number = self._captured(binding, number), 0
        elif number > 0:
            self._begin_capture()
        if self.runner is None:
            self.real.run_with_iobinding(binding, options)
        else:
            self.runner.run(binding, number, waits=self.waited[-1])

    def release_captured_graph(self, number: int) -> None:
        self.released.append(number)
        if self.runner is not None and not self.one_graph:
            self.runner.graphs.pop(number, None)

    def _captured(self, binding: Any, number: int) -> Any:
        """Return the binding that really runs where there is one CUDA graph."""
        if self.graph is not None and (number != -1 or not self.skips):
            return self.graph
        if len(self.runs) > 1 and self.graph is None:
            self._begin_capture()
            self.graph = binding
        return binding

    def _begin_capture(self) -> None:
        if self.uncapturable:
            if self.runner is not None:
                self.runner.card.captures[self.runner.stream] = threading.get_ident()
            raise RuntimeError(self.uncapturable)


def entry(options: Any, name: str) -> str | None:
    """Return what a run option was set to, None when it was not."""
    try:
        return options.get_run_config_entry(name)
    except RuntimeError:
        return None


@dataclass(eq=False)
class FakeRuntime:
    """ONNX Runtime as `import onnxruntime` gives it; the fields say what this machine has."""

    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    devices: list[Any] = field(default_factory=list)  # of plugins, once registered
    missing: tuple[str, ...] = ()  # libraries of CUDA
    placed: Mapping[str, str] = field(default_factory=dict)  # operator: provider that it runs on
    refuses: dict[str, str] = field(default_factory=dict)  # setting that is refused: with these words
    writes_engine: bool = True
    sessions: list[GpuSession] = field(default_factory=list)
    loaded: list[tuple[Path, dict[str, str], dict[str, str]]] = field(default_factory=list)  # graph, settings, entries
    compiled: list[dict[str, str]] = field(default_factory=list)  # settings
    registered: list[str] = field(default_factory=list)
    cuda_version: str = "13.0"
    card: FakeCard = field(default_factory=FakeCard)

    SessionOptions = Options

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    @property
    def OrtValue(self) -> Any:  # noqa: N802
        def allocate(shape: Any, dtype: Any, device_type: str = "cpu", *, memory_info: Any = None) -> Any:
            assert (device_type, memory_info) == (("cpu", PLUGIN_MEMORY) if self.devices else ("cuda", None))
            return self.card.allocate(shape, dtype)

        return SimpleNamespace(ortvalue_from_shape_and_type=allocate)

    def get_available_providers(self) -> list[str]:
        return list(self.providers)

    def preload_dlls(self, directory: str) -> None:
        for name in self.missing:
            print(f"Failed to load {name}: {name}: cannot open shared object file")

    def register_execution_provider_library(self, name: str, library: str) -> None:
        if "register" in self.refuses:
            raise onnxruntime.capi.onnxruntime_pybind11_state.Fail(self.refuses["register"])
        self.registered.append(library)

    def get_ep_devices(self) -> list[Any]:
        return self.devices if self.registered else []

    def InferenceSession(  # noqa: N802
        self, graph: Path, options: Options, providers: list[tuple[str, dict[str, str]]] | None, enable_fallback: int
    ) -> GpuSession:
        assert not enable_fallback
        provider, settings = providers[0] if providers else (options.devices[0].ep_name, options.settings)
        self._refuse(settings)
        folder = Path(settings.get("trt_engine_cache_path", "nowhere"))
        if folder.is_dir() and self.writes_engine and "trt_timing_cache_path" in settings:
            (folder / f"{settings['trt_engine_cache_prefix']}_sm90.engine").write_bytes(b"engine")
            with (folder / "cache_sm90.timing").open("ab") as file:
                file.write(b"x")
        self.loaded.append((Path(graph), dict(settings), dict(options.entries)))
        alone = onnxruntime.SessionOptions()
        alone.intra_op_num_threads = 1  # other tests use the other cores
        for axis, length in options.axes.items():
            alone.add_free_dimension_override_by_name(axis, length)
        real = onnxruntime.InferenceSession(graph, alone, providers=["CPUExecutionProvider"])
        stream = int(settings.get("user_compute_stream", 0))
        one_graph = settings.get("trt_cuda_graph_enable") == "1"
        self.sessions.append(GpuSession(real, provider, self.placed, self.card, stream, one_graph=one_graph))
        return self.sessions[-1]

    def ModelCompiler(self, options: Options, graph: Path, embed_compiled_data_into_model: bool) -> Any:  # noqa: N802
        self._refuse(options.settings)
        self.compiled.append(options.settings)
        return SimpleNamespace(compile_to_file=lambda output: Path(output).write_bytes(graph.read_bytes()))

    def _refuse(self, settings: Mapping[str, str]) -> None:
        for name, words in self.refuses.items():
            if name in settings or name == "compile":
                raise onnxruntime.capi.onnxruntime_pybind11_state.EPFail(words)


def install(monkeypatch: pytest.MonkeyPatch, runtime: FakeRuntime) -> FakeRuntime:
    """Put `runtime` in the place of ONNX Runtime for one test, and its card's stream in the place of the shared one.

    cuDNN is there; which card there is, is for the test to say.
    """
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    streams: list[CudaStream] = []

    def shared() -> CudaStream:
        if not streams:
            streams.append(CudaStream(lambda name: runtime.card))
        return streams[0]

    for module in (cuda, tensorrt, tensorrt_rtx):
        monkeypatch.setattr(module, "shared_stream", shared)
    monkeypatch.setattr(cuda, "load_cudnn", lambda: None)
    return runtime


def load_only(**libraries: Any) -> Any:
    """Return a loader that finds these libraries, named without their endings, and no others."""

    def load(name: str) -> Any:
        found = libraries.get(Path(name).name.partition(".")[0])
        if found is None:
            raise OSError(f"{name}: cannot open shared object file")
        return found

    return load
