"""ONNX Runtime's TensorRT provider, on a machine that only claims to have it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.providers import engine_cache as engines
from clavilux.runtime.providers.nvidia import cuda, tensorrt
from clavilux.runtime.providers.nvidia import driver as nvidia
from clavilux.runtime.providers.nvidia.tensorrt import Target, load_engine
from clavilux.runtime.providers.session import GraphFile, ShapeRange
from tests.runtime.providers.nvidia.fake_gpu import Driver, FakeRuntime, inputs, install, load_only, write_graph

GPU = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
TARGET = Target("tensorrt", "sm90", "10.13.3")
HASH = "a" * 64
RAMP = np.arange(4, dtype=np.float32)
BATCHES = {"sample": ShapeRange((1, 4), (2, 4), (8, 4))}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache."""
    folder = tmp_path / "cache"
    for module in (engines, tensorrt):
        monkeypatch.setattr(module, "user_folder", lambda: folder)
    return folder


def graph_file(folder: Path, **changes: object) -> GraphFile:
    batch = "batch" if "shapes" in changes else 1
    return GraphFile(write_graph(folder, batch=batch), **{"sha256": HASH} | changes)


def test_an_engine_is_built_kept_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    session = load_engine(graph_file(tmp_path), 1, TARGET)
    assert session.provider == "TensorrtExecutionProvider"
    np.testing.assert_array_equal(session.run(inputs())[0], [[2, 3, 4, 5]])
    (folder,) = (tmp_path / "engines").iterdir()
    assert json.loads((folder / engines.RECORD).read_text())["files"].keys() == {"denoiser_sm90.engine"}
    assert [settings["trt_engine_cache_path"] for _, settings, _ in runtime.loaded][1] == str(folder)


def test_a_kept_engine_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_with = graph_file(tmp_path)
    for expected in (2, 1):
        runtime = install(monkeypatch, FakeRuntime(GPU))
        load_engine(open_with, 1, TARGET)
        assert len(runtime.loaded) == expected


def test_the_whole_graph_must_run_on_tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    load_engine(graph_file(tmp_path), 1, TARGET)
    assert all(entries["session.disable_cpu_ep_fallback"] == "1" for _, _, entries in runtime.loaded)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_network_keeps_the_graph_s_own_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    load_engine(graph_file(tmp_path, precision=precision), 1, TARGET)
    assert all("trt_fp16_enable" not in settings for _, settings, _ in runtime.loaded)


def test_runs_are_replayed_as_a_cuda_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    session = load_engine(graph_file(tmp_path), 1, TARGET)
    for _ in range(2):
        session.run(inputs())
    assert runtime.sessions[-1].runs == ["-1", "1"]
    assert runtime.sessions[-1].graph is not None
    assert runtime.loaded[-1][1]["trt_cuda_graph_enable"] == "1"


def test_a_graph_of_open_axes_is_not_captured_and_every_shape_has_its_own_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    session = load_engine(graph_file(tmp_path, shapes=BATCHES), 1, TARGET)
    for value, batch in enumerate((1, 2, 3, 3, 3, 8, 1), start=1):
        np.testing.assert_array_equal(session.run(inputs(batch, value))[0], np.full((batch, 4), 2.0 * value) + RAMP)
    assert "trt_cuda_graph_enable" not in runtime.loaded[-1][1]
    assert "runs on TensorrtExecutionProvider without a CUDA graph, because its sizes are open" in caplog.text


def test_a_second_run_is_given_the_engine_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    session = load_engine(graph_file(tmp_path), 1, TARGET)
    run = session.bind({"sample": (1, 4), "bias": (4,)})
    for value in (1.0, 2.0, 3.0):
        np.testing.assert_array_equal(session.run(inputs(value=value))[0], np.full((1, 4), 2 * value) + RAMP)
        np.testing.assert_array_equal(run.fetch(inputs(value=-value))[0], np.full((1, 4), -2 * value) + RAMP)
    assert len(runtime.loaded) == 3  # one of them built it
    assert runtime.loaded[1] == runtime.loaded[2]


def test_an_engine_that_is_not_kept_is_not_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There would be nothing to load a second run from."""
    runtime = install(monkeypatch, FakeRuntime(GPU))
    session = load_engine(GraphFile(write_graph(tmp_path)), 1, TARGET)
    for _ in range(3):
        session.run(inputs())
    assert runtime.sessions[-1].runs == [None, None, None]
    assert "without a CUDA graph, because its engine is not kept" in caplog.text


def test_without_a_graph_nothing_is_captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    monkeypatch.setattr(tensorrt, "find_target", lambda: TARGET)
    open_session(graph_file(tmp_path), "tensorrt:no-graph")
    assert all("trt_cuda_graph_enable" not in settings for _, settings, _ in runtime.loaded)


def test_a_capture_that_fails_plays_on_with_the_engine_loaded_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    session = load_engine(graph_file(tmp_path), 1, TARGET)
    runtime.sessions[-1].uncapturable = "no"
    for value in (1.0, 2.0, 3.0):
        np.testing.assert_array_equal(session.run(inputs(value=value))[0], np.full((1, 4), 2 * value) + RAMP)
    assert [settings.get("trt_cuda_graph_enable") for _, settings, _ in runtime.loaded] == [None, "1", None]


def test_an_axis_of_one_length_is_closed_and_needs_no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    one = {"sample": ShapeRange((3, 4), (3, 4), (3, 4))}
    session = load_engine(graph_file(tmp_path, shapes=one, axes={"batch": 3}), 1, TARGET)
    for value in (1.0, 2.0, 3.0):
        np.testing.assert_array_equal(session.run(inputs(3, value))[0], np.full((3, 4), 2 * value) + RAMP)
    assert not any("profile" in name for name in runtime.loaded[-1][1])
    assert runtime.sessions[-1].graph is not None


def test_it_runs_on_the_stream_that_all_sessions_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    sessions = [load_engine(graph_file(tmp_path / name), 1, TARGET) for name in ("one", "two")]
    assert sessions[0].stream is sessions[1].stream
    assert runtime.loaded[-1][1]["user_compute_stream"] == str(sessions[0].stream.handle)


def test_open_axes_have_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    session = load_engine(graph_file(tmp_path, shapes=BATCHES), 1, TARGET)
    profile = {name: value for name, value in runtime.loaded[0][1].items() if "profile" in name}
    assert profile == {
        "trt_profile_min_shapes": "sample:1x4",
        "trt_profile_opt_shapes": "sample:2x4",
        "trt_profile_max_shapes": "sample:8x4",
    }
    assert session.run(inputs(8))[0].shape == (8, 4)


def test_open_axes_without_a_range_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    with pytest.raises(ProviderError, match=r"denoiser\.onnx has open axes in sample without a range of sizes"):
        load_engine(graph_file(tmp_path, shapes={}), 1, TARGET)


def test_timings_of_kernels_are_shared_by_all_builds(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    for name in ("one", "two"):
        load_engine(graph_file(tmp_path / name), 1, TARGET)
    assert (cache / "timings-sm90-10.13.3" / "cache_sm90.timing").read_bytes() == b"xx"


def test_where_timings_cannot_be_kept_it_builds_all_the_same(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file")
    install(monkeypatch, FakeRuntime(GPU))
    load_engine(graph_file(tmp_path), 1, TARGET)
    assert list((tmp_path / "engines").glob("*/*.engine"))


def test_a_plain_path_plays_from_an_engine_that_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    session = load_engine(GraphFile(write_graph(tmp_path)), 1, TARGET)
    np.testing.assert_array_equal(session.run(inputs())[0], [[2, 3, 4, 5]])
    assert not (tmp_path / "engines").exists()


def test_a_build_that_leaves_no_engine_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(GPU, writes_engine=False))
    with pytest.raises(ProviderError, match=r"TensorRT 10\.13\.3 wrote no engine for denoiser\.onnx"):
        load_engine(graph_file(tmp_path), 1, TARGET)


def test_a_graph_that_tensorrt_does_not_take_whole_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "This session contains graph nodes that are assigned to the default CPU EP"
    install(monkeypatch, FakeRuntime(GPU, refuses={"trt_engine_cache_enable": words}))
    with pytest.raises(ProviderError, match=rf"denoiser\.onnx does not load on TensorrtExecutionProvider: {words}"):
        load_engine(graph_file(tmp_path), 1, TARGET)


def test_the_card_and_tensorrt_s_version_come_from_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "onnxruntime"
    (package / "capi").mkdir(parents=True)
    (package / "capi" / tensorrt.PROVIDER_FILE).write_bytes(b"libnvinfer.so.10 libnvonnxparser.so.10")
    runtime = install(monkeypatch, FakeRuntime(GPU))
    runtime.__file__ = str(package / "__init__.py")
    library = SimpleNamespace(getInferLibVersion=lambda: 101303)
    load = load_only(libcuda=Driver(b"NVIDIA H100", (9, 0)), libnvinfer=library, libnvonnxparser=library)
    monkeypatch.setattr(nvidia, "DRIVER", "libcuda.so.1")
    monkeypatch.setattr(cuda, "find_card", lambda: nvidia.find_card(load))
    monkeypatch.setattr(tensorrt, "load_tensorrt", lambda names, cuda: nvidia.load_tensorrt(names, cuda, load))
    open_session(graph_file(tmp_path / "bundle"), "tensorrt")
    (record,) = (tmp_path / "bundle" / "engines").glob(f"*/{engines.RECORD}")
    key = json.loads(record.read_text())["key"]
    assert (key["architecture"], key["version"], key["provider"]) == ("sm90", "10.13.3", "tensorrt")


def test_without_onnxruntime_gpu_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime-gpu is installed")
    with pytest.raises(ProviderError, match=r"no TensorrtExecutionProvider; run: pip install 'clavilux\[gpu\]' in"):
        open_session(write_graph(tmp_path), "tensorrt")
