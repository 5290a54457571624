"""ONNX Runtime: the provider that was asked for runs, or an error says why not."""

import sys
from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.devices import DEVICES, open_session
from clavilux.runtime.providers.onnx_runtime import open_onnxruntime, reason
from clavilux.runtime.providers.session import GraphFile
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime, install, write_graph


def test_a_session_names_what_really_runs(tiny_bundle: Path) -> None:
    assert open_session(tiny_bundle / "decoder.onnx").provider == "CPUExecutionProvider"


def test_a_session_runs_the_graph_on_host_arrays(tiny_bundle: Path) -> None:
    (pictures,) = open_session(tiny_bundle / "decoder.onnx", threads=1).run(
        {"latents": np.zeros((1, 4, 8, 8), np.float32)}
    )
    assert (pictures.shape, pictures.dtype) == ((1, 64, 64, 3), np.uint8)


def test_the_number_of_threads_does_not_change_the_picture_much(tiny_bundle: Path) -> None:
    latents = {"latents": np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)}
    one, two = (open_session(tiny_bundle / "decoder.onnx", threads=threads).run(latents)[0] for threads in (1, 2))
    assert np.abs(one.astype(int) - two.astype(int)).max() <= 1


def test_without_onnx_runtime_the_error_says_how_to_get_it(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ProviderError, match=r"pip install 'clavilux\[cpu\]'"):
        open_session(tiny_bundle / "decoder.onnx")


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    graph = tmp_path / "decoder.onnx"
    graph.write_text("not a graph")
    with pytest.raises(ProviderError, match=r"decoder\.onnx does not load on CPUExecutionProvider: "):
        open_session(graph)


def test_arrays_that_the_graph_does_not_take_are_named(tiny_bundle: Path) -> None:
    session = open_session(tiny_bundle / "decoder.onnx")
    with pytest.raises(ProviderError, match=r"decoder\.onnx does not run: .*; export the bundle again"):
        session.run({"latents": np.zeros((1, 3, 8, 8), np.float32)})


def test_a_graph_with_its_hash_runs_like_a_plain_path(tmp_path: Path) -> None:
    session = open_session(GraphFile(write_graph(tmp_path), "a" * 64))
    (result,) = session.run({"sample": np.ones((1, 4), np.float32), "bias": np.zeros(4, np.float32)})
    np.testing.assert_array_equal(result, [[2, 2, 2, 2]])


def test_a_device_that_does_not_exist_is_answered_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(
        ProviderError, match=r"no device 'abacus'; there are cpu, openvino, cuda, tensorrt, tensorrt-rtx, auto for"
    ):
        open_session(tmp_path / "decoder.onnx", "abacus")


@pytest.mark.parametrize("device", sorted(set(DEVICES) - {"openvino"}))
def test_a_device_without_onnx_runtime_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ProviderError, match=r"ONNX Runtime is not installed; run: pip install 'clavilux\["):
        open_session(tmp_path / "decoder.onnx", device)


def test_a_provider_that_would_take_over_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = install(monkeypatch, FakeRuntime())
    graph = write_graph(tmp_path)
    monkeypatch.setattr(
        "tests.runtime.providers.nvidia.fake_gpu.GpuSession.get_providers", lambda session: ["CPUExecutionProvider"]
    )
    with pytest.raises(ProviderError, match=r"CUDAExecutionProvider does not run here, CPUExecutionProvider would"):
        open_onnxruntime(graph, "CUDAExecutionProvider", runtime.SessionOptions())


def test_a_provider_is_opened_by_its_own_name_with_the_caller_s_options(tmp_path: Path) -> None:
    import onnxruntime

    session = open_onnxruntime(write_graph(tmp_path), "CPUExecutionProvider", onnxruntime.SessionOptions())
    assert session.provider == "CPUExecutionProvider"


def test_a_failure_of_cuda_is_told_without_the_c_plus_plus_round_it() -> None:
    said = (
        "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 std::conditional_t<THRW, void, onnxruntime::"
        "common::Status> onnxruntime::CudaCall(ERRTYPE, const char*) [with ERRTYPE = cudaError; bool THRW = true] CUDA "
        "failure 2: out of memory ; GPU=0 ; hostname=stage ; file=cuda_allocator.cc ; line=83 ; expr=cudaMalloc(&p, n);"
    )
    assert reason(RuntimeError(said)) == "CUDA failure 2: out of memory"
    assert reason(RuntimeError("CUDA failure\nsomewhere")) == "CUDA failure"
