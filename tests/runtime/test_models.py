"""Encoder, denoiser and decoder, each alone on its real graph, with shapes and types as their docstrings say."""

from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER
from clavilux.runtime.bundle.manifest import GuidanceSpec
from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser, Feedback, Latents
from clavilux.runtime.diffusion.guider import Guider
from clavilux.runtime.diffusion.noise import draw
from clavilux.runtime.diffusion.schedule import Schedule
from clavilux.runtime.hearing.audio_encoder import AudioEncoder
from clavilux.runtime.placement.devices import open_session

FRAMES, BINS = 198, 80
LATENTS = (1, 4, 8, 8)


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


@pytest.fixture
def encoder(bundle: Bundle) -> AudioEncoder:
    return AudioEncoder(open_session(bundle.path(AUDIO_ENCODER)))


@pytest.fixture
def denoiser(bundle: Bundle) -> Denoiser:
    return Denoiser(open_session(bundle.path(DENOISER)), Schedule(bundle.schedule))


def features(frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(-5, 3, (frames, BINS)).astype(np.float32)


def noise(step: int) -> Latents:
    return draw(LATENTS, 7, 0, step)


def test_the_encoder_gives_all_tokens_but_bos(encoder: AudioEncoder, bundle: Bundle) -> None:
    tokens = encoder.encode(features())
    assert (tokens.shape, tokens.dtype) == ((bundle.tokens.count - 1, bundle.tokens.width), np.float32)


@pytest.mark.parametrize("frames", [2, 3, 100, FRAMES])
def test_the_encoder_takes_shorter_windows_too(encoder: AudioEncoder, frames: int) -> None:
    assert np.isfinite(encoder.encode(features(frames))).all()


def test_loudness_alone_does_not_change_the_tokens(encoder: AudioEncoder) -> None:
    """A louder sound adds the same to every log-mel frame, and each bin is normalised over its window."""
    quiet, loud = encoder.encode(features()), encoder.encode(features() + 3)
    np.testing.assert_allclose(quiet, loud, atol=1e-3)


def test_the_denoiser_gives_latents(denoiser: Denoiser, bundle: Bundle) -> None:
    latents = denoiser.denoise(bundle.conditioning.idle[None], noise)
    assert (latents.shape, latents.dtype) == (LATENTS, np.float32)


def test_the_prompt_changes_the_latents(denoiser: Denoiser, bundle: Bundle) -> None:
    idle = bundle.conditioning.idle[None]
    assert not np.array_equal(denoiser.denoise(idle, noise), denoiser.denoise(2 * idle, noise))


def test_feedback_of_nothing_changes_nothing(denoiser: Denoiser, bundle: Bundle) -> None:
    idle = bundle.conditioning.idle[None]
    feedback = Feedback(np.ones(LATENTS, np.float32), 0.0)
    np.testing.assert_array_equal(denoiser.denoise(idle, noise), denoiser.denoise(idle, noise, feedback=feedback))


def test_feedback_brings_in_the_last_latents(denoiser: Denoiser, bundle: Bundle) -> None:
    idle = bundle.conditioning.idle[None]
    bright, dark = (Feedback(np.full(LATENTS, value, np.float32), 0.5) for value in (1, -1))
    runs = [denoiser.denoise(idle, noise, feedback=feedback) for feedback in (bright, dark)]
    assert not np.array_equal(*runs)


def test_a_number_of_steps_that_the_schedule_does_not_have_is_an_error(denoiser: Denoiser, bundle: Bundle) -> None:
    with pytest.raises(KeyError):
        denoiser.denoise(bundle.conditioning.idle[None], noise, steps=5)


def test_only_a_sampler_that_adds_noise_draws_more_of_it(denoiser: Denoiser, bundle: Bundle) -> None:
    asked: list[int] = []

    def counted(step: int) -> Latents:
        asked.append(step)
        return noise(step)

    denoiser.denoise(bundle.conditioning.idle[None], counted, steps=4)
    assert asked == [0]


def test_the_decoder_gives_a_picture_that_cannot_be_written_to(bundle: Bundle) -> None:
    picture = Decoder(open_session(bundle.path(DECODER))).decode(noise(0))
    assert (picture.shape, picture.dtype, picture.flags.writeable) == ((64, 64, 3), np.uint8, False)


class Recorder:
    """A guided graph that notes down what it is asked, and answers with numbers of its own."""

    provider = "fake"

    def __init__(self) -> None:
        self.asked: list[dict[str, np.ndarray]] = []

    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.asked.append(dict(inputs))
        return [np.full(LATENTS, value, np.float32) for value in (10 * len(self.asked), len(self.asked))]


NEGATIVE = np.full((3, 5), 9, np.float32)
PROMPT = np.ones((1, 3, 5), np.float32)


def guided(
    bundle: Bundle, kind: str, *, feedback: float = 0.0, scale: float | None = None, steps: int = 2
) -> list[dict[str, np.ndarray]]:
    """Return what the graph of a bundle guided by 4 is asked in one run."""
    recorder = Recorder()
    denoiser = Denoiser(recorder, Schedule(bundle.schedule), Guider(GuidanceSpec(kind, 4.0), NEGATIVE))
    last = Feedback(np.full(LATENTS, 0.25, np.float32), feedback)
    denoiser.denoise(PROMPT, noise, steps, feedback=last, scale=scale)
    return recorder.asked


def test_classic_guidance_gives_every_step_the_negative_prompt(bundle: Bundle) -> None:
    asked = guided(bundle, "classic")
    assert len(asked) == 2
    for inputs in asked:
        np.testing.assert_array_equal(inputs["negative"], NEGATIVE[None])
        assert (inputs["coefficients"].shape, "anchor" in inputs) == ((1, 9), False)


def test_onetime_guidance_asks_for_the_negatives_x0_first_without_any_guidance(bundle: Bundle) -> None:
    first, *steps = guided(bundle, "once")
    np.testing.assert_array_equal(first["tokens"], NEGATIVE[None])
    np.testing.assert_array_equal(first["coefficients"][0, 6:], [1, 0, 0])
    np.testing.assert_array_equal(first["coefficients"][0, :6], steps[0]["coefficients"][0, :6])
    np.testing.assert_array_equal(first["sample"], steps[0]["sample"])
    assert [(inputs["anchor"] == 10).all() for inputs in steps] == [True, True]
    assert all((inputs["tokens"] == 1).all() for inputs in steps)


@pytest.mark.parametrize(("feedback", "anchor"), [(0.0, 0.0), (0.5, 0.25)])
def test_self_guidance_is_led_away_from_what_the_run_began_with(bundle: Bundle, feedback: float, anchor: float) -> None:
    asked = guided(bundle, "self", feedback=feedback)
    assert len(asked) == 2
    assert all((inputs["anchor"] == anchor).all() for inputs in asked)


@pytest.mark.parametrize(("scale", "found"), [(None, 4.0), (1.5, 1.5), (0.0, 0.0)])
def test_the_strength_of_the_guidance_is_the_parameter_or_the_bundles_own(
    bundle: Bundle, scale: float | None, found: float
) -> None:
    assert guided(bundle, "classic", scale=scale)[0]["coefficients"][0, 6] == found


def test_without_guidance_the_graph_gets_six_numbers_and_nothing_else(bundle: Bundle) -> None:
    recorder = Recorder()
    Denoiser(recorder, Schedule(bundle.schedule)).denoise(PROMPT, noise, 1, scale=5.0)
    assert set(recorder.asked[0]) == {"sample", "noise", "tokens", "coefficients"}
    assert recorder.asked[0]["coefficients"].shape == (1, 6)
