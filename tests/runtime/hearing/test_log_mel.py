"""Log-mel frames: equal to transformers' extractor, and the same however the sound was cut."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from transformers import SeamlessM4TFeatureExtractor

from clavilux.runtime.errors import SoundError
from clavilux.runtime.hearing.log_mel import SILENCE, LogMel
from clavilux.runtime.sound.format import MEL_BINS, frame_count
from tests.runtime.sound.sounds import cuts, noise

TOLERANCE = 1e-3
WINDOW = 60_000  # samples: the reference's 3.75 s


def reference(samples: np.ndarray, *, normalised: bool = False) -> np.ndarray:
    """Return transformers' own frames of `samples`, [frames, 80]."""
    extractor = SeamlessM4TFeatureExtractor()
    features = extractor(
        samples, sampling_rate=16_000, do_normalize_per_mel_bins=normalised, return_tensors="np", pad_to_multiple_of=2
    )
    return features["input_features"].reshape(-1, MEL_BINS)[: frame_count(len(samples))]


def speechlike(samples: int) -> np.ndarray:
    """Return noise whose loudness and colour change, with a silent part."""
    sound = noise(samples) * np.linspace(0, 1, samples, dtype=np.float32)
    sound[1::2] += sound[::2][: len(sound[1::2])]
    sound[samples // 3 : samples // 2] = 0
    return sound


def test_frames_equal_those_of_transformers() -> None:
    sound = speechlike(WINDOW)
    log_mel = LogMel(400)
    log_mel.push(sound)
    np.testing.assert_allclose(log_mel.read(0, log_mel.frames), reference(sound), atol=TOLERANCE)


def test_a_window_in_the_middle_of_the_stream_equals_the_extractor_on_that_window() -> None:
    sound = speechlike(90_000)
    log_mel = LogMel(600)
    for chunk in np.array_split(sound, 37):
        log_mel.push(chunk)
    first = 100
    window = sound[first * 160 : first * 160 + WINDOW]
    np.testing.assert_allclose(log_mel.read(first, first + frame_count(WINDOW)), reference(window), atol=TOLERANCE)


def test_a_window_that_begins_before_the_stream_equals_one_with_silence_in_front() -> None:
    sound = speechlike(30_000)
    log_mel = LogMel(400)
    log_mel.push(sound)
    padded = np.concatenate([np.zeros(8000, np.float32), sound])
    np.testing.assert_allclose(
        log_mel.read(-50, -50 + frame_count(38_000)), reference(padded)[: frame_count(38_000)], atol=TOLERANCE
    )


def check_cut(places: list[int], between: Callable[[LogMel], LogMel]) -> None:
    """Compare the frames of a whole sound with those of its pieces, with something done after each of them."""
    sound = speechlike(8000)
    whole, parts = LogMel(50), LogMel(50)
    whole.push(sound)
    for chunk in np.split(sound, places):
        parts.push(chunk)
        parts = between(parts)
    assert whole.frames == parts.frames
    np.testing.assert_array_equal(whole.read(0, whole.frames), parts.read(0, parts.frames))


@given(places=cuts(8000))
@settings(max_examples=25, deadline=None)
def test_any_cut_of_the_sound_gives_the_same_frames(places: list[int]) -> None:
    check_cut(places, lambda parts: parts)


@given(places=cuts(8000))
@settings(max_examples=25, deadline=None)
def test_what_was_pickled_at_any_place_goes_on_with_the_same_frames(places: list[int]) -> None:
    check_cut(places, lambda parts: pickle.loads(pickle.dumps(parts)))


def test_what_is_pickled_does_not_grow_with_the_sound() -> None:
    log_mel = LogMel(50)
    lengths = set()
    for _ in range(20):
        log_mel.push(noise(1600))
        lengths.add(len(pickle.dumps(log_mel)))
    assert max(lengths) - min(lengths) < 8  # bytes: numbers have more of them


def test_push_says_how_many_frames_became_ready() -> None:
    log_mel = LogMel(50)
    assert [log_mel.push(noise(count)) for count in (399, 1, 160, 100)] == [0, 1, 1, 0]


def test_silence_is_the_floor_of_the_logarithm() -> None:
    log_mel = LogMel(50)
    log_mel.push(np.zeros(1600, np.float32))
    np.testing.assert_allclose(log_mel.read(-10, log_mel.frames), SILENCE)


def test_the_ring_keeps_the_newest_frames() -> None:
    sound = speechlike(16_000)
    small, large = LogMel(20), LogMel(200)
    for log_mel in (small, large):
        log_mel.push(sound)
    start, stop = large.frames - 20, large.frames
    np.testing.assert_array_equal(small.read(start, stop), large.read(start, stop))


@pytest.mark.parametrize(("start", "stop"), [(-13, 5), (0, 9)])
def test_reading_what_is_gone_or_not_yet_heard_is_an_error(start: int, stop: int) -> None:
    log_mel = LogMel(20)
    log_mel.push(noise(400 + 7 * 160))
    with pytest.raises(SoundError, match="are asked for; -12 to 8 are here"):
        log_mel.read(start, stop)
