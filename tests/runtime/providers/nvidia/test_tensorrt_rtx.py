"""TensorRT for RTX: the plugin is a fake here; `test_tensorrt_aot.py` compiles with the real one."""

import importlib.util
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.providers import engine_cache as engines
from clavilux.runtime.providers.nvidia import driver as nvidia
from clavilux.runtime.providers.nvidia import tensorrt_rtx
from clavilux.runtime.providers.session import GraphFile, ShapeRange
from tests.runtime.providers.nvidia.fake_gpu import (
    PLUGIN_MEMORY,
    Driver,
    FakeRuntime,
    inputs,
    install,
    load_only,
    write_graph,
)

HASH = "a" * 64
ON_STREAM = {"enable_cuda_graph": "1", "has_user_compute_stream": "1", "user_compute_stream": "1001"}


@dataclass(eq=False)
class Device:
    """One card as the plugin lists it."""

    ep_metadata: dict[str, str] = field(
        default_factory=lambda: {"target_architecture": "sm89", "version": "0.5.0", "library_path": "plugin.so"}
    )
    ep_name: str = tensorrt_rtx.RTX

    def memory_info(self, kind: object) -> str:
        assert kind == onnxruntime.OrtDeviceMemoryType.DEFAULT
        return PLUGIN_MEMORY


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the plugin installed, and an RTX 40."""
    monkeypatch.setattr(engines, "user_folder", lambda: tmp_path / "cache")
    plugin = SimpleNamespace(get_library_path=lambda: "plugin.so")
    monkeypatch.setitem(sys.modules, tensorrt_rtx.PLUGIN, plugin)
    see(monkeypatch, Driver())


def see(monkeypatch: pytest.MonkeyPatch, driver: Driver | None) -> None:
    load = load_only(libcuda=driver, nvcuda=driver)
    monkeypatch.setattr(tensorrt_rtx, "find_card", lambda: nvidia.find_card(load))


def with_card(monkeypatch: pytest.MonkeyPatch, **changes: object) -> FakeRuntime:
    return install(monkeypatch, FakeRuntime(**{"devices": [Device()]} | changes))


def graph_file(folder: Path, **changes: object) -> GraphFile:
    batch = "batch" if "shapes" in changes else 1
    return GraphFile(write_graph(folder, batch=batch), **{"sha256": HASH} | changes)


def test_a_graph_is_compiled_kept_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = with_card(monkeypatch)
    session = open_session(graph_file(tmp_path), "tensorrt-rtx")
    (folder,) = (tmp_path / "engines").iterdir()
    assert folder.name.startswith("denoiser-tensorrt-rtx-sm89-")
    assert runtime.loaded[0][0] == folder / "engine.onnx"
    assert session.provider == "NvTensorRTRTXExecutionProvider"
    np.testing.assert_array_equal(session.run(inputs())[0], [[2, 3, 4, 5]])


def test_a_kept_engine_is_not_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_file(tmp_path)
    for compiled in (1, 0):
        runtime = with_card(monkeypatch)
        open_session(graph, "tensorrt-rtx")
        assert len(runtime.compiled) == compiled


def test_the_whole_graph_must_run_on_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = with_card(monkeypatch)
    open_session(graph_file(tmp_path), "tensorrt-rtx")
    assert runtime.loaded[0][2]["session.disable_cpu_ep_fallback"] == "1"


def test_it_runs_as_a_cuda_graph_and_keeps_its_kernels_beside_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = with_card(monkeypatch)
    open_session(graph_file(tmp_path), "tensorrt-rtx")
    (folder,) = (tmp_path / "engines").iterdir()
    assert runtime.loaded[0][1] == {"nv_runtime_cache_path": str(folder / "kernels")} | ON_STREAM


def test_kernels_beside_an_engine_do_not_make_it_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_file(tmp_path)
    with_card(monkeypatch)
    open_session(graph, "tensorrt-rtx")
    (folder,) = (tmp_path / "engines").iterdir()
    (folder / "kernels").mkdir()
    (folder / "kernels" / "cache").write_bytes(b"new")
    runtime = with_card(monkeypatch)
    open_session(graph, "tensorrt-rtx")
    assert runtime.compiled == []


def test_an_engine_that_is_not_kept_keeps_no_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = with_card(monkeypatch)
    open_session(write_graph(tmp_path), "tensorrt-rtx")
    assert runtime.loaded[0][1] == ON_STREAM


@pytest.mark.parametrize(("architecture", "named"), [("sm89", {"nv_target_sm": "sm89"}), ("sm130", {})])
def test_only_architectures_that_the_compiler_knows_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, named: dict[str, str]
) -> None:
    device = Device({"target_architecture": architecture, "version": "0.5.0"})
    runtime = with_card(monkeypatch, devices=[device])
    open_session(graph_file(tmp_path), "tensorrt-rtx")
    assert runtime.compiled == [named]


def test_a_plugin_that_does_not_tell_the_architecture_has_the_driver_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, Driver(capability=(8, 6)))
    target = tensorrt_rtx.target_of(Device({}))
    assert (target.architecture, target.version) == ("sm86", "unknown")


def test_open_axes_have_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = with_card(monkeypatch)
    graph = graph_file(tmp_path, shapes={"sample": ShapeRange((1, 4), (2, 4), (8, 4))})
    assert open_session(graph, "tensorrt-rtx").run(inputs(8))[0].shape == (8, 4)
    assert runtime.compiled[0]["nv_profile_opt_shapes"] == "sample:2x4"


def test_open_axes_without_a_range_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_card(monkeypatch)
    with pytest.raises(ProviderError, match=r"open axes in sample without a range"):
        open_session(graph_file(tmp_path, shapes={}), "tensorrt-rtx")


def test_a_graph_that_does_not_compile_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_card(monkeypatch, refuses={"compile": "no such operator\nat a place"})
    with pytest.raises(ProviderError, match=r"^denoiser\.onnx does not compile for sm89: no such operator$"):
        open_session(graph_file(tmp_path), "tensorrt-rtx")


def test_the_plugin_is_registered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = with_card(monkeypatch)
    for name in ("denoiser.onnx", "decoder.onnx"):
        open_session(GraphFile(write_graph(tmp_path, name), HASH), "tensorrt-rtx")
    assert runtime.registered == ["plugin.so"]


def test_without_the_plugin_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, tensorrt_rtx.PLUGIN, None)
    with pytest.raises(ProviderError, match=r"TensorRT for RTX is not installed; run: pip install 'clavilux\[tensor"):
        open_session(write_graph(tmp_path), "tensorrt-rtx")


def test_without_onnx_runtime_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ProviderError, match=r"pip install 'clavilux\[tensorrt-rtx\]'"):
        open_session(write_graph(tmp_path), "tensorrt-rtx")


def test_without_a_driver_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, None)
    with_card(monkeypatch, refuses={"register": "libcuda.so.1: cannot open shared object file"})
    with pytest.raises(ProviderError, match=r"no NVIDIA driver here"):
        open_session(write_graph(tmp_path), "tensorrt-rtx")


@pytest.mark.parametrize("changes", [{"devices": []}, {"refuses": {"register": "undefined symbol"}}])
def test_a_driver_that_is_too_old_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    see(monkeypatch, Driver(cuda=12080))
    with_card(monkeypatch, **changes)
    with pytest.raises(ProviderError, match=r"driver is too old: it runs CUDA up to 12\.8, needed is CUDA 13"):
        open_session(write_graph(tmp_path), "tensorrt-rtx")


def test_without_a_graph_nothing_is_captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = with_card(monkeypatch)
    session = open_session(graph_file(tmp_path), "tensorrt-rtx:no-graph")
    for _ in range(3):
        session.run(inputs())
    assert runtime.sessions[-1].runs == [None, None, None]
    assert "enable_cuda_graph" not in runtime.loaded[-1][1]


def test_an_axis_of_one_length_is_closed_when_the_engine_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = with_card(monkeypatch)
    one = {"sample": ShapeRange((3, 4), (3, 4), (3, 4))}
    session = open_session(graph_file(tmp_path, shapes=one, axes={"batch": 3}), "tensorrt-rtx")
    assert session.run(inputs(3))[0].shape == (3, 4)
    assert runtime.compiled == [{"nv_target_sm": "sm89"}]


def test_a_plugin_that_does_not_load_beside_a_good_card_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_card(monkeypatch, refuses={"register": "undefined symbol"})
    with pytest.raises(ProviderError, match=r"TensorRT for RTX does not load: undefined symbol"):
        open_session(write_graph(tmp_path), "tensorrt-rtx")


def test_a_data_centre_card_is_sent_to_the_other_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, Driver(b"NVIDIA H100", (9, 0)))
    with_card(monkeypatch, devices=[])
    with pytest.raises(
        ProviderError, match=r"not serve NVIDIA H100, sm90; it serves .*use --device cuda or --device te"
    ):
        open_session(write_graph(tmp_path), "tensorrt-rtx")


def test_the_real_plugin_on_a_machine_without_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("LD_LIBRARY_PATH", os.environ.get("LD_LIBRARY_PATH", ""))  # the plugin changes it
    if importlib.util.find_spec(tensorrt_rtx.PLUGIN) is None:
        pytest.skip("needs the plugin: pip install 'clavilux[tensorrt-rtx]'")
    try:
        nvidia.find_card()
    except ProviderError:
        with pytest.raises(ProviderError, match=r"no NVIDIA (driver|card)"):
            open_session(write_graph(tmp_path), "tensorrt-rtx")
    else:
        pytest.skip("there is an NVIDIA card here")
