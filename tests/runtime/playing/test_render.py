"""Rendering without a stage: one picture of a clip, or the frames of playing it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.playing.render import frames_in, render_frames, render_picture
from clavilux.runtime.sound.format import FRAME_STEP
from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.sound.sound_file import Clip
from tests.runtime.instruments import RATE, unplayed
from tests.runtime.sound.sounds import noise


def clip(seconds: float, *, rate: int = RATE, seed: int = 0) -> Clip:
    return Clip(noise(round(seconds * rate), channels=1, seed=seed), rate)


def test_a_clip_of_one_second_has_as_many_frames_as_the_rate(tiny_bundle: Path) -> None:
    frames = list(render_frames(unplayed(tiny_bundle), clip(1.0), 10))
    assert [frame.time for frame in frames] == pytest.approx([index / 10 for index in range(10)])


def test_a_part_of_a_frame_counts() -> None:
    assert frames_in(16_160, RATE, 10) == 11


def test_a_frame_knows_no_sound_after_its_time(tiny_bundle: Path) -> None:
    frames = list(render_frames(unplayed(tiny_bundle), clip(1.0), 10))
    assert all(frame.heard_until is None or frame.heard_until <= frame.time for frame in frames)
    assert frames[-1].heard_until is not None


def test_rendering_twice_gives_the_same_frames(tiny_bundle: Path) -> None:
    first, second = (list(render_frames(unplayed(tiny_bundle), clip(0.5), 10)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_the_picture_of_a_clip_has_the_bundles_size(tiny_bundle: Path) -> None:
    picture = render_picture(unplayed(tiny_bundle), clip(2.0))
    assert (picture.shape, picture.dtype) == ((64, 64, 3), np.uint8)


def loud_end(loudness: float) -> Clip:
    """Return four seconds whose first half is always the same."""
    samples = clip(4.0).samples.copy()
    samples[2 * RATE + 2 * FRAME_STEP :] *= np.float32(loudness)
    return Clip(samples, RATE)


def test_a_whole_clip_is_the_measure_of_its_first_window(tiny_bundle: Path) -> None:
    player = unplayed(tiny_bundle)
    quiet, loud = (render_picture(player, loud_end(loudness)) for loudness in (0.01, 1.0))
    assert not np.array_equal(quiet, loud)


def test_only_the_first_window_of_windows_after_silence_shapes_the_picture(tiny_bundle: Path) -> None:
    player = unplayed(tiny_bundle)
    player.bundle = replace(player.bundle, audio=replace(player.bundle.audio, lead_in="silence"))
    quiet, loud = (render_picture(player, loud_end(loudness)) for loudness in (0.01, 1.0))
    np.testing.assert_array_equal(quiet, loud)


class Endless(Clip):
    """A sound of which nobody may read more than its beginning."""

    def blocks(self) -> Iterator[Samples]:
        yield self.samples
        raise AssertionError("more was read than the first window needs")


@pytest.mark.parametrize("channels", [1, 2])
def test_no_more_is_read_than_a_window_after_silence_needs(tiny_bundle: Path, channels: int) -> None:
    player = unplayed(tiny_bundle)
    player.bundle = replace(player.bundle, audio=replace(player.bundle.audio, lead_in="silence"))
    samples = noise(4 * 44_100, channels=channels)
    expected = render_picture(player, Clip(samples, 44_100))
    np.testing.assert_array_equal(render_picture(player, Endless(samples, 44_100)), expected)


def test_the_picture_depends_on_the_sound(tiny_bundle: Path) -> None:
    player = unplayed(tiny_bundle)
    tone = Clip(np.sin(np.arange(2 * RATE) * 0.2).astype(np.float32)[:, None], RATE)
    assert not np.array_equal(render_picture(player, clip(2.0)), render_picture(player, tone))


def test_the_picture_depends_on_the_seed(tiny_bundle: Path) -> None:
    pictures = [render_picture(unplayed(tiny_bundle), clip(2.0), Parameters(seed=seed)) for seed in (1, 2)]
    assert not np.array_equal(*pictures)


@pytest.mark.parametrize("seconds", [0.001, 0.03, 0.5])
def test_a_very_short_clip_has_a_picture_too(tiny_bundle: Path, seconds: float) -> None:
    assert render_picture(unplayed(tiny_bundle), clip(seconds)).shape == (64, 64, 3)


def test_a_short_clip_after_silence_is_another_picture_than_alone(tiny_bundle: Path) -> None:
    player = unplayed(tiny_bundle)
    alone = render_picture(player, clip(0.5))
    player.bundle = replace(player.bundle, audio=replace(player.bundle.audio, lead_in="silence"))
    after_silence = render_picture(player, clip(0.5))
    padded = Clip(np.pad(clip(0.5).samples, ((24_000, 0), (0, 0))), RATE)
    assert not np.array_equal(alone, after_silence)
    np.testing.assert_array_equal(after_silence, render_picture(player, padded))


def test_the_picture_equals_the_reference_path_step_by_step(tiny_bundle: Path) -> None:
    """BOS and audio tokens, one run of the sampler from seeded noise, then the decoder."""
    player = unplayed(tiny_bundle)
    bundle, models = player.bundle, player.models
    from transformers import SeamlessM4TFeatureExtractor

    sound = clip(2.0)
    extractor = SeamlessM4TFeatureExtractor()
    raw = extractor(sound.samples[:, 0], sampling_rate=RATE, do_normalize_per_mel_bins=False, return_tensors="np")
    features = raw["input_features"].reshape(-1, 80)[:198].astype(np.float32)
    tokens = models.encoder.encode(features)
    prompt = np.concatenate([bundle.conditioning.bos[None], tokens])[None]
    from clavilux.runtime.diffusion.noise import draw

    latents = models.denoiser.denoise(prompt, lambda step: draw((1, 4, 8, 8), player.defaults.seed, 0, step))
    difference = render_picture(player, sound).astype(int) - models.decoder.decode(latents).astype(int)
    assert np.abs(difference).max() <= 1
