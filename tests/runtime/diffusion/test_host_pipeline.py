"""The painter on the host, and which painter two sessions get."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser, Feedback
from clavilux.runtime.diffusion.device_pipeline import DevicePainter
from clavilux.runtime.diffusion.noise import draw
from clavilux.runtime.diffusion.pipeline import Asked, HostPainter, open_painter
from clavilux.runtime.providers.session import Session, open_session
from tests.runtime.diffusion.test_device_pipeline import GPU, SHAPE, asked, on_card
from tests.runtime.diffusion.toy_graphs import schedule, write_decoder, write_denoiser
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime, install


def parts(folder: Path) -> tuple[Denoiser, Decoder]:
    denoiser, decoder = open_session(write_denoiser(folder)), open_session(write_decoder(folder))
    return Denoiser(denoiser, schedule()), Decoder(decoder)


def test_a_picture_is_what_denoiser_and_decoder_make(tmp_path: Path) -> None:
    denoiser, decoder = parts(tmp_path)
    one = asked(steps=2)
    picture = open_painter(denoiser, decoder).paint(one)
    np.testing.assert_array_equal(picture, decoder.decode(denoiser.denoise(one.prompt, one.noise, 2)))
    assert not picture.flags.writeable


def test_feedback_is_of_the_last_picture_s_latents(tmp_path: Path) -> None:
    denoiser, decoder = parts(tmp_path)
    painter = HostPainter(denoiser, decoder)
    assert painter.latents() is None
    painter.paint(asked(0, feedback=0.5))
    first = denoiser.denoise(asked().prompt, asked(0).noise)
    np.testing.assert_array_equal(painter.latents(), first)
    painter.paint(asked(1, feedback=0.5))
    second = denoiser.denoise(asked(1).prompt, asked(1).noise, feedback=Feedback(first, 0.5))
    np.testing.assert_array_equal(painter.latents(), second)


def test_latents_of_another_size_do_not_come_back(tmp_path: Path) -> None:
    painter = HostPainter(*parts(tmp_path))
    painter.paint(asked(0))
    wide = (1, 4, 4, 8)
    one = replace(asked(1, feedback=0.5), shape=wide, noise=lambda step: draw(wide, 1, 1, step))
    expected = HostPainter(*parts(tmp_path)).paint(one)
    np.testing.assert_array_equal(painter.paint(one), expected)


def test_both_stages_are_timed(tmp_path: Path) -> None:
    painter = HostPainter(*parts(tmp_path))
    painter.paint(asked())
    assert tuple(painter.stages) == ("denoise", "decode")
    assert all(seconds > 0 for seconds in painter.stages.values())


def test_on_a_cpu_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(open_painter(*parts(tmp_path)), HostPainter)
    assert caplog.text == ""


def opened(denoiser: Session, decoder: Session) -> object:
    return open_painter(Denoiser(denoiser, schedule()), Decoder(decoder))


def test_two_sessions_that_share_a_stream_paint_on_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    assert isinstance(opened(*on_card(tmp_path)), DevicePainter)
    assert caplog.text == ""


def test_with_one_part_elsewhere_the_latents_go_through_the_host_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decoder = open_session(write_decoder(tmp_path))
    install(monkeypatch, FakeRuntime(GPU))
    painter = opened(on_card(tmp_path)[0], decoder)
    assert "go through the host for every picture: only one of denoiser and decoder runs on the card" in caplog.text
    assert isinstance(painter, HostPainter)
    assert painter.paint(asked()).shape == (*SHAPE[2:], 4)


@pytest.mark.parametrize("alone", ["none", "another"])
def test_without_a_stream_in_common_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, alone: str
) -> None:
    install(monkeypatch, FakeRuntime(GPU))
    denoiser, _ = on_card(tmp_path)
    install(monkeypatch, FakeRuntime(GPU))
    _, decoder = on_card(tmp_path)
    decoder.stream = None if alone == "none" else decoder.stream
    assert isinstance(opened(denoiser, decoder), HostPainter)
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
    assert isinstance(opened(*on_card(tmp_path, latents=latents, gives=gives)), HostPainter)
    assert said in caplog.text


def test_what_is_asked_for_has_plain_defaults() -> None:
    plain = Asked(asked().prompt, asked().noise, SHAPE)
    assert (plain.steps, plain.feedback, plain.scale) == (1, 0.0, None)
