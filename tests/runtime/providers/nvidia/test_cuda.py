"""The CUDA provider, on a machine that only claims to have it; the errors are also those of a machine without it."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.providers.nvidia import cuda
from clavilux.runtime.providers.nvidia import driver as nvidia
from clavilux.runtime.providers.nvidia.cuda import refuse_host_nodes
from clavilux.runtime.providers.session import GraphFile
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
