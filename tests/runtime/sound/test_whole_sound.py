"""A whole sound at 16 kHz mono: what librosa makes of a file, in pieces."""

from collections.abc import Iterator

import numpy as np
import pytest
import soxr
from hypothesis import given

from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.sound.sound_file import Clip
from clavilux.runtime.sound.whole_sound import channel_alone, read_whole
from tests.runtime.sound.sounds import cuts, noise


def whole(sound: Clip) -> Samples:
    return np.concatenate(list(read_whole(sound)))


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_sound_is_what_soxr_makes_of_the_mean_of_its_channels(rate: int, channels: int) -> None:
    samples = noise(round(2.7 * rate), channels=channels, seed=1)
    mean = samples.mean(axis=1, dtype=np.float32)
    expected = mean if rate == 16_000 else soxr.resample(mean, rate, 16_000)
    np.testing.assert_array_equal(whole(Clip(samples, rate)), expected)


class Cut(Clip):
    """A sound that comes in other blocks."""

    def __init__(self, samples: Samples, rate: int, places: list[int]) -> None:
        super().__init__(samples, rate)
        object.__setattr__(self, "places", places)

    def blocks(self) -> Iterator[Samples]:
        yield from np.split(self.samples, vars(self)["places"])


@given(places=cuts(60_000))
def test_the_blocks_it_comes_in_change_nothing(places: list[int]) -> None:
    samples = noise(60_000, channels=2, seed=2)
    np.testing.assert_array_equal(whole(Cut(samples, 44_100, places)), whole(Clip(samples, 44_100)))


def test_a_sound_and_its_inverse_are_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    left = noise(16_000, channels=1, seed=3)
    np.testing.assert_array_equal(whole(Clip(np.hstack([left, -left]), 16_000)), left[:, 0])
    assert caplog.messages == ["channel 1 of 2 is heard alone, for the mean would lose it"]


@pytest.mark.parametrize("channels", [3, 8, 18])
def test_unrelated_channels_and_one_live_one_of_many_are_their_mean(channels: int) -> None:
    samples = noise(16_000, channels=channels, seed=4)
    for sound in (samples, samples * (np.arange(channels) == 1).astype(np.float32)):
        np.testing.assert_array_equal(whole(Clip(sound, 16_000)), sound.mean(axis=1, dtype=np.float32))


@pytest.mark.parametrize(
    ("powers", "alone"),
    [
        ([0.1, 0.1, 0.05], None),
        ([0.1, 0.0, 0.025], None),
        ([0.1, 0.1, 0.1, 0.1, 0.025], None),
        ([0.1, 0.1, 0.0006], None),
        ([0.1, 0.1, 0.0004], 0),
        ([0.09, 0.1, 0.0], 1),
        ([1e-10, 1e-10, 0.0], None),
        ([0.0, 0.0, 0.0], None),
    ],
    ids=["unlike", "panned", "four", "almost", "cancelled", "inverse", "inaudible", "silent"],
)
def test_a_channel_is_taken_alone_where_channels_cancel_by_20_db(powers: list[float], alone: int | None) -> None:
    assert channel_alone(np.array(powers)) == alone


def test_an_offset_is_no_sound() -> None:
    samples = noise(16_000, channels=2, seed=5) * np.float32(0.1)
    samples[:, 0] += np.float32(0.8)
    np.testing.assert_array_equal(whole(Clip(samples, 16_000)), samples.mean(axis=1, dtype=np.float32))


def test_an_empty_sound_is_empty() -> None:
    assert len(whole(Clip(np.zeros((0, 2), np.float32), 44_100))) == 0
