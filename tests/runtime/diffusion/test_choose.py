"""Which pipeline two sessions get, and why not the one on the card."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from onnx import TensorProto

from clavilux.runtime.diffusion import choose
from clavilux.runtime.diffusion.choose import START, WARP, open_beginning, open_pipeline
from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser
from clavilux.runtime.diffusion.device_pipeline import DevicePipeline
from clavilux.runtime.diffusion.host_pipeline import HostPipeline
from clavilux.runtime.diffusion.pipeline import Pipeline
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.providers.nvidia import tensorrt_rtx
from clavilux.runtime.providers.session import Session
from tests.runtime.diffusion.test_device_pipeline import GPU, SHAPE, asked, on_card
from tests.runtime.diffusion.toy_graphs import schedule, write_decoder, write_denoiser
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime, install


def opened(denoiser: Session, decoder: Session) -> Pipeline:
    return open_pipeline(Denoiser(denoiser, schedule()), Decoder(decoder))


def test_on_a_cpu_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(
        opened(open_session(write_denoiser(tmp_path)), open_session(write_decoder(tmp_path))), HostPipeline
    )
    assert caplog.text == ""


def test_on_a_cpu_the_graphs_that_begin_a_picture_are_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "open_beginning", lambda denoiser: pytest.fail("it was loaded"))
    opened(open_session(write_denoiser(tmp_path)), open_session(write_decoder(tmp_path)))


def test_two_sessions_that_share_a_stream_paint_on_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    assert isinstance(opened(*on_card(tmp_path)), DevicePipeline)
    assert caplog.text == ""


def test_with_one_part_elsewhere_the_latents_go_through_the_host_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decoder = open_session(write_decoder(tmp_path))
    install(monkeypatch, FakeRuntime(GPU))
    pipeline = opened(on_card(tmp_path)[0], decoder)
    assert "go through the host for every picture: only one of denoiser and decoder runs on the card" in caplog.text
    assert isinstance(pipeline, HostPipeline)
    assert pipeline.run(asked()).shape == (*SHAPE[2:], 4)


@pytest.mark.parametrize("alone", ["none", "another"])
def test_without_a_stream_in_common_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, alone: str
) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    denoiser, _ = on_card(tmp_path)
    install(monkeypatch, FakeRuntime(GPU))
    _, decoder = on_card(tmp_path)
    decoder.stream = None if alone == "none" else decoder.stream
    assert isinstance(opened(denoiser, decoder), HostPipeline)
    assert "denoiser.onnx and decoder.onnx do not share a stream" in caplog.text


@pytest.mark.parametrize(
    ("latents", "gives", "said"),
    [
        (TensorProto.FLOAT16, TensorProto.UINT8, "expected float32 in and out of denoiser.onnx and into decoder.onnx"),
        (TensorProto.FLOAT, TensorProto.FLOAT, r"decoder.onnx gives tensor(float), expected one tensor(uint8)"),
    ],
)
def test_types_that_do_not_fit_are_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    latents: int,
    gives: int,
    said: str,
) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    assert isinstance(opened(*on_card(tmp_path, latents=latents, gives=gives)), HostPipeline)
    assert said in caplog.text


def test_the_graphs_that_begin_a_picture_run_on_cuda_beside_engines_of_tensorrt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = install(monkeypatch, FakeRuntime(GPU))
    denoiser, _ = on_card(tmp_path)
    denoiser.provider = "TensorrtExecutionProvider"
    for begun in open_beginning(denoiser):
        assert (begun.provider, begun.stream) == ("CUDAExecutionProvider", denoiser.stream)
    loaded = [(path, settings["user_compute_stream"]) for path, settings, _ in runtime.loaded]
    assert loaded == [(graph.path, str(denoiser.stream.handle)) for graph in (START, WARP)]


def test_the_graphs_that_begin_a_picture_run_on_tensorrt_for_rtx_where_cuda_s_provider_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = install(monkeypatch, FakeRuntime())
    plugin_device = SimpleNamespace(ep_name=tensorrt_rtx.RTX, memory_info=lambda _: None)
    monkeypatch.setattr(tensorrt_rtx, "find_ep_device", lambda: plugin_device)
    denoiser, _ = on_card(tmp_path)
    denoiser.provider = tensorrt_rtx.RTX
    for begun in open_beginning(denoiser):
        assert (begun.provider, begun.stream) == (tensorrt_rtx.RTX, denoiser.stream)
    assert [(path, settings["nv_profile_opt_shapes"]) for path, settings, _ in runtime.loaded] == [
        (START.path, "latents:1x4x64x64,noise:1x4x64x64"),
        (WARP.path, "latents:1x4x64x64,places:16x64x64,weights:16x64x64"),
    ]


def test_a_session_without_a_stream_has_no_place_for_the_graphs_that_begin_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    denoiser, _ = on_card(tmp_path)
    denoiser.stream = None
    with pytest.raises(ProviderError, match=r"denoiser\.onnx has no stream of its own that start\.onnx could run on"):
        open_beginning(denoiser)
