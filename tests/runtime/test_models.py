"""Encoder, denoiser and decoder, each alone on its real graph, with shapes and types as their docstrings say."""

from pathlib import Path

import numpy as np
import pytest

from runtime.bundle import AUDIO_ENCODER, DECODER, DENOISER, Bundle
from runtime.decoder import Decoder
from runtime.denoiser import Denoiser, Feedback, Latents
from runtime.encoder import AudioEncoder
from runtime.noise import draw
from runtime.provider import open_session
from runtime.schedule import Schedule

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
