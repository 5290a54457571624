"""The CUDA provider, on a machine that only claims to have it; the errors are also those of a machine without it."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER
from clavilux.runtime.diffusion.choose import open_beginning
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.providers.nvidia import cuda
from clavilux.runtime.providers.nvidia import driver as nvidia
from clavilux.runtime.providers.nvidia.cuda import refuse_host_nodes
from clavilux.runtime.providers.onnx_runtime import session_options
from clavilux.runtime.providers.session import GraphFile, ShapeRange
from tests.runtime.providers.nvidia.fake_gpu import Driver, FakeRuntime, inputs, install, load_only, write_graph

GPU = ("CUDAExecutionProvider", "CPUExecutionProvider")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    found = nvidia.find_card(load_only(libcuda=Driver(), nvcuda=Driver()))
    monkeypatch.setattr(cuda, "find_card", lambda: found)


@pytest.mark.usefixtures("card")
def test_a_graph_runs_on_the_gpu_as_a_cuda_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    session = open_session(write_graph(tmp_path), "cuda", threads=1)
    results = [session.run(inputs())[0] for _ in range(3)]
    assert session.provider == "CUDAExecutionProvider"
    assert runtime.sessions[0].runs == ["-1", "1", "1"]
    np.testing.assert_array_equal(results[2], [[2, 3, 4, 5]])


@pytest.mark.usefixtures("card")
def test_a_graph_that_cannot_be_captured_runs_without_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = "This session cannot use the graph capture feature as requested by the user"
    runtime = install(monkeypatch, FakeRuntime(GPU, refuses={"enable_cuda_graph": refusal}))
    session = open_session(write_graph(tmp_path), "cuda")
    session.run(inputs())
    assert runtime.sessions[0].runs == [None]
    assert "denoiser.onnx runs on CUDAExecutionProvider without a CUDA graph" in caplog.text


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("refuses", [{}, {"enable_cuda_graph": "cannot use the graph capture feature"}])
def test_it_runs_on_the_stream_that_all_sessions_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: dict[str, str]
) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU, refuses=refuses))
    sessions = [open_session(write_graph(tmp_path), "cuda") for _ in range(2)]
    assert sessions[0].stream is sessions[1].stream
    assert runtime.loaded[-1][1]["user_compute_stream"] == str(sessions[0].stream.handle)


@pytest.mark.usefixtures("card")
def test_any_other_failure_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(GPU, refuses={"enable_cuda_graph": "out of memory\nsomewhere"}))
    with pytest.raises(ProviderError, match=r"denoiser\.onnx does not load on CUDAExecutionProvider: out of memory$"):
        open_session(write_graph(tmp_path), "cuda")


@pytest.mark.usefixtures("card")
def test_arithmetic_on_shapes_may_stay_on_the_cpu_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    placed = {"Shape": "CPUExecutionProvider", "Gather": "CPUExecutionProvider", "Conv": "CUDAExecutionProvider"}
    install(monkeypatch, FakeRuntime(GPU, placed=placed))
    open_session(write_graph(tmp_path), "cuda")
    assert "denoiser.onnx: 2 nodes that compute shapes run on the CPU" in caplog.text


@pytest.mark.usefixtures("card")
def test_any_other_node_on_the_cpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(GPU, placed={"Shape": "CPUExecutionProvider", "Conv": "CPUExecutionProvider"}))
    with pytest.raises(ProviderError, match=r"denoiser\.onnx: CUDAExecutionProvider has no Conv, which would run"):
        open_session(write_graph(tmp_path), "cuda")


def test_a_real_session_says_which_nodes_run_on_the_cpu(tiny_bundle: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(cuda.RECORD_NODES, "1")
    session = onnxruntime.InferenceSession(tiny_bundle / "decoder.onnx", options, providers=["CPUExecutionProvider"])
    with pytest.raises(ProviderError, match=r"decoder\.onnx: .* has no .*Conv, .*which would run on the CPU"):
        refuse_host_nodes(session, "decoder.onnx", "CUDAExecutionProvider")


def test_without_onnxruntime_gpu_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime-gpu is installed")
    with pytest.raises(ProviderError, match=r"no CUDAExecutionProvider; run: pip install 'clavilux\[gpu\]' in an"):
        open_session(write_graph(tmp_path), "cuda")


def test_without_a_card_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    monkeypatch.setattr(cuda, "find_card", lambda: nvidia.find_card(load_only()))
    with pytest.raises(ProviderError, match=r"no NVIDIA driver here"):
        open_session(GraphFile(tmp_path / "denoiser.onnx"), "cuda")


@pytest.mark.usefixtures("card")
def test_libraries_of_cuda_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, FakeRuntime(GPU, missing=("libcublas.so.13", "libcurand.so.10")))
    with pytest.raises(ProviderError, match=r"CUDA 13 is not here \(libcublas\.so\.13, libcurand\.so\.10\); run: pip"):
        open_session(write_graph(tmp_path), "cuda")
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("card")
def test_a_library_that_is_broken_in_its_package_but_whole_on_the_system_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = ("/a folder/nvidia/cu13/lib/libcublas.so.13", "C:\\nvidia\\bin\\cublas64_13.dll")
    install(monkeypatch, FakeRuntime(GPU, missing=broken))
    open_session(write_graph(tmp_path), "cuda")


def test_a_driver_that_is_too_old_is_told_before_cuda_s_libraries_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(cuda=12080)
    monkeypatch.setattr(cuda, "find_card", lambda: nvidia.find_card(load_only(libcuda=driver, nvcuda=driver)))
    install(monkeypatch, FakeRuntime(GPU, missing=("libcublas.so.13",)))
    with pytest.raises(ProviderError, match=r"driver is too old: it runs CUDA up to 12\.8, needed is CUDA 13; install"):
        open_session(write_graph(tmp_path), "cuda")


@pytest.mark.usefixtures("card")
def test_cudnn_is_not_taken_for_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    monkeypatch.setattr(cuda, "load_cudnn", lambda: nvidia.load_cudnn(load_only()))
    with pytest.raises(ProviderError, match=r"cuDNN 9 is not here"):
        open_session(write_graph(tmp_path), "cuda")


@pytest.mark.usefixtures("card")
def test_without_a_graph_nothing_is_captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    session = open_session(write_graph(tmp_path), "CUDA:No-Graph")
    for _ in range(3):
        session.run(inputs())
    assert runtime.sessions[0].runs == [None, None, None]
    assert "enable_cuda_graph" not in runtime.loaded[0][1]


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("device", ["cuda", "cuda:no-graph"])
def test_what_begins_a_picture_is_captured_where_the_denoiser_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    open_beginning(open_session(write_graph(tmp_path), device))
    assert len(runtime.loaded) == 3
    assert {"enable_cuda_graph" in settings for _, settings, _ in runtime.loaded} == {device == "cuda"}


def usual(folder: Path, *, smallest: int) -> GraphFile:
    """Return a graph of an open axis, which is mostly 3."""
    shapes = {"sample": ShapeRange((smallest, 4), (3, 4), (3, 4))}
    return GraphFile(write_graph(folder, batch="batch"), shapes=shapes, axes={"batch": 3})


@pytest.mark.usefixtures("card")
def test_an_axis_of_one_length_is_closed_and_the_graph_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    session = open_session(usual(tmp_path, smallest=3), "cuda")
    results = [session.run(inputs(3, value))[0] for value in (1.0, 2.0, 3.0)]
    assert session.provider == "CUDAExecutionProvider"
    (loaded,) = runtime.sessions
    assert ([node.shape for node in loaded.get_inputs()], loaded.runs) == ([[3, 4], [4]], ["-1", "1", "1"])
    np.testing.assert_array_equal(results[2], np.full((3, 4), 6.0) + np.arange(4))


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("smallest", [1, 3])
def test_other_lengths_play_on_a_session_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smallest: int
) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    session = open_session(usual(tmp_path, smallest=smallest), "cuda")
    before = len(runtime.sessions)
    for batch, value in ((3, 1.0), (2, 2.0), (3, 3.0), (1, 4.0), (3, 5.0)):
        (result,) = session.run(inputs(batch, value))
        np.testing.assert_array_equal(result, np.full((batch, 4), 2 * value) + np.arange(4))
    assert before == (2 if smallest == 1 else 1)  # where others are sure to come, nothing is loaded while it plays
    assert sorted(loaded.runs for loaded in runtime.sessions if loaded.runs[0]) == [["-1", "1", "1"]]
    assert len(runtime.sessions) == 2


@pytest.mark.usefixtures("card")
def test_arrays_that_no_length_makes_fit_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    session = open_session(usual(tmp_path, smallest=3), "cuda")
    with pytest.raises(ProviderError, match=r"denoiser\.onnx does not run on \['sample'\]; it takes"):
        session.run({"sample": np.zeros((3, 4), np.float32)})


def test_with_its_frames_closed_the_encoder_computes_no_shapes(tiny_bundle: Path) -> None:
    """On the CPU with real ONNX Runtime: these nodes are what it keeps on the CPU, and does not capture, on a card."""
    graph = graph_file(Bundle.open(tiny_bundle), AUDIO_ENCODER)
    features = np.random.default_rng(0).normal(size=graph.shapes["features"].usual).astype(np.float32)
    kinds, results = [], []
    for axes in ({}, graph.axes):
        options = session_options(onnxruntime, 1, axes)
        options.add_session_config_entry(cuda.RECORD_NODES, "1")
        session = onnxruntime.InferenceSession(graph.path, options, providers=["CPUExecutionProvider"])
        kinds.append(set(cuda.placed_nodes(session)["CPUExecutionProvider"]))
        results.append(session.run(None, {"features": features})[0])
    assert "Shape" in kinds[0]
    assert not kinds[1] & {"Shape", "Size", "Range", "ConstantOfShape"}
    np.testing.assert_allclose(results[1], results[0], atol=1e-5)
