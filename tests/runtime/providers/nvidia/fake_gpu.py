"""An ONNX Runtime that claims to have GPU providers: real sessions on the CPU, whose values lie on a fake card.

`sys.modules["onnxruntime"] = FakeRuntime(...)` puts it in the place of the real one.
"""

import sys
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
from clavilux.runtime.providers.nvidia.stream import CudaStream
from tests.runtime.providers.nvidia.fake_card import OPTION_GRAPH, OPTION_NO_WAIT, Card, DeviceBinding, Runner
from tests.runtime.providers.nvidia.fake_driver import Driver

__all__ = ["Driver"]


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

    def add_session_config_entry(self, name: str, value: str) -> None:
        self.entries[name] = value

    def add_provider_for_devices(self, devices: list[Any], settings: Mapping[str, str]) -> None:
        self.devices, self.settings = devices, dict(settings)


class GpuSession:
    """A real session on the CPU that names another provider, and remembers its runs' options.

    With a card its values lie there, and its runs are queued on `stream`; without one they are the CPU's.
    """

    def __init__(
        self, real: Any, provider: str, placed: Mapping[str, str], card: Card | None = None, stream: int = 0
    ) -> None:
        self.real = real
        self._provider = provider
        self._placed = placed
        self.runner = None if card is None else Runner(card, real, stream)
        self.runs: list[str | None] = []  # CUDA graph that each run asked for
        self.waited: list[bool] = []  # whether each run was to wait for the card
        self.released: list[int] = []
        self.options: list[Any] = []  # of each run

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
        if self.runner is None:
            self.real.run_with_iobinding(binding, options)
        else:
            self.runner.run(binding, int(self.runs[-1] or 0), waits=self.waited[-1])

    def release_captured_graph(self, number: int) -> None:
        self.released.append(number)
        if self.runner is not None:
            del self.runner.graphs[number]


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
    card: Card = field(default_factory=Card)

    SessionOptions = Options

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    @property
    def OrtValue(self) -> Any:  # noqa: N802
        def allocate(shape: Any, dtype: Any, device: str) -> Any:
            assert device == "cuda"
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
        real = onnxruntime.InferenceSession(graph, alone, providers=["CPUExecutionProvider"])
        stream = int(settings.get("user_compute_stream", 0))
        self.sessions.append(GpuSession(real, provider, self.placed, self.card, stream))
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
    """Put `runtime` in the place of ONNX Runtime for one test, and its card's stream in the place of the shared one."""
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    streams: list[CudaStream] = []

    def shared() -> CudaStream:
        if not streams:
            streams.append(CudaStream(lambda name: runtime.card))
        return streams[0]

    for module in (cuda, tensorrt, tensorrt_rtx):
        monkeypatch.setattr(module, "shared_stream", shared)
    return runtime


def load_only(**libraries: Any) -> Any:
    """Return a loader that finds these libraries, named without their endings, and no others."""

    def load(name: str) -> Any:
        found = libraries.get(Path(name).name.partition(".")[0])
        if found is None:
            raise OSError(f"{name}: cannot open shared object file")
        return found

    return load
