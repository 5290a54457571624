"""The sliding window: any rate and channel count becomes the same 16 kHz mono, however it was cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.samples import as_sound
from clavilux.runtime.sound.window import SlidingWindow
from tests.runtime.sound.sounds import cuts, noise


def push(window: SlidingWindow, samples: np.ndarray, rate: int, captured_at: float) -> int:
    """Give a window what a source gives, checked at the door."""
    return window.push(as_sound(samples, rate), rate, captured_at)


def play(window: SlidingWindow, sound: np.ndarray, rate: int, places: list[int]) -> None:
    """Push `sound` cut at `places`, captured from second 0 on."""
    edges = [0, *places, len(sound)]
    for start, stop in pairwise(edges):
        push(window, sound[start:stop], rate, captured_at=start / rate)


@given(places=cuts(4800), rate=st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]), channels=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_any_cut_of_the_sound_gives_the_same_samples(places: list[int], rate: int, channels: int) -> None:
    sound = noise(4800, channels=channels)
    whole, parts = SlidingWindow(16_000), SlidingWindow(16_000)
    play(whole, sound, rate, [])
    play(parts, sound, rate, places)
    assert whole.heard == parts.heard
    np.testing.assert_array_equal(whole.read(0, whole.heard), parts.read(0, parts.heard))


def test_sound_at_16_khz_passes_unchanged() -> None:
    sound = noise(1600)
    window = SlidingWindow(3200)
    push(window, sound, SAMPLE_RATE, captured_at=0.0)
    np.testing.assert_array_equal(window.read(0, 1600), sound)


def test_a_source_of_another_rate_is_resampled() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000).astype(np.float32)
    window = SlidingWindow(32_000)
    push(window, tone, 48_000, captured_at=0.0)
    window.finish()
    assert window.heard == 16_000
    np.testing.assert_allclose(window.read(400, 15_600), tone[1200:46_800:3], atol=1e-4)


def test_channels_become_one_and_which_is_told() -> None:
    sound = noise(1600, channels=2)
    window = SlidingWindow(1600)
    assert window.taken is None
    push(window, sound, SAMPLE_RATE, captured_at=0.0)
    np.testing.assert_allclose(window.read(0, 1600), sound.mean(axis=1), atol=1e-7)
    assert window.taken is None
    push(window, noise(1600)[:, None] * np.float32([0, 0, 1]), SAMPLE_RATE, captured_at=0.1)
    assert window.taken == 3


def test_before_the_stream_there_is_silence() -> None:
    window = SlidingWindow(1600)
    push(window, noise(160), SAMPLE_RATE, captured_at=0.0)
    np.testing.assert_array_equal(window.read(-1440, 0), np.zeros(1440, np.float32))


def test_the_ring_keeps_the_newest_samples() -> None:
    sound = noise(5000)
    window = SlidingWindow(1600)
    play(window, sound[:4960], SAMPLE_RATE, [700, 4000])
    np.testing.assert_array_equal(window.read(4960 - 1600, 4960), sound[4960 - 1600 : 4960])


@pytest.mark.parametrize(("start", "stop"), [(-1601 + 160, 0), (0, 161)])
def test_reading_what_is_gone_or_not_yet_heard_is_an_error(start: int, stop: int) -> None:
    window = SlidingWindow(1600)
    push(window, noise(160), SAMPLE_RATE, captured_at=0.0)
    with pytest.raises(SoundError, match="are asked for; -1440 to 160 are here"):
        window.read(start, stop)


def test_a_new_rate_finishes_the_old_source_first() -> None:
    window = SlidingWindow(64_000)
    push(window, noise(48_000), 48_000, captured_at=0.0)
    push(window, noise(16_000), 16_000, captured_at=1.0)
    assert window.heard == 32_000


def test_a_new_channel_count_is_a_new_source() -> None:
    window = SlidingWindow(64_000)
    push(window, noise(24_000), 48_000, captured_at=0.0)
    push(window, noise(24_000, channels=2), 48_000, captured_at=0.5)
    window.finish()
    assert window.heard == 16_000


def test_finishing_an_empty_window_gives_nothing() -> None:
    assert SlidingWindow(1600).finish() == 0


def test_finishing_at_16_khz_gives_the_last_part_of_a_block() -> None:
    window = SlidingWindow(1600)
    push(window, noise(250), SAMPLE_RATE, captured_at=0.0)
    assert (window.heard, window.finish(), window.heard) == (160, 90, 250)


def test_no_sound_was_never_captured() -> None:
    assert SlidingWindow(1600).captured_at(0) is None


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_every_sample_knows_when_it_was_captured(rate: int) -> None:
    window = SlidingWindow(16_000)
    for index in range(50):
        push(window, noise(rate // 50), rate, captured_at=100 + index / 50)
    for sample in (window.heard - 1, window.heard - 5000):
        assert window.captured_at(sample) == pytest.approx(100 + sample / SAMPLE_RATE, abs=1e-4)


def test_a_gap_between_chunks_shows_in_the_capture_times() -> None:
    window = SlidingWindow(16_000)
    push(window, noise(1600), SAMPLE_RATE, captured_at=0.0)
    push(window, noise(1600), SAMPLE_RATE, captured_at=5.0)
    assert window.captured_at(800) == pytest.approx(0.05)
    assert window.captured_at(2400) == pytest.approx(5.05)


def test_capture_times_are_forgotten_with_the_samples() -> None:
    window = SlidingWindow(1600)
    for index in range(1000):
        push(window, noise(160), SAMPLE_RATE, captured_at=index / 100)
    assert len(window._anchors) < 20


def test_a_chunk_of_no_samples_changes_nothing() -> None:
    window = SlidingWindow(1600)
    assert push(window, np.zeros(0, np.float32), 48_000, captured_at=0.0) == 0
