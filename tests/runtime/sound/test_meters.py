"""Channel meters: level, peak with hold, and a light for clipping, the same however the sound was cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clavilux.runtime.frame import ChannelLevel
from clavilux.runtime.pulse import SILENCE_DB
from clavilux.runtime.sound.meters import ChannelMeters
from tests.runtime.sound.sounds import cuts, noise

RATE = 48_000


def tone(level: float, seconds: float = 0.2) -> np.ndarray:
    """Return a tone of an amplitude, float32 [n, 1]."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * 500 * time)).astype(np.float32)[:, None]


def read(*sounds: np.ndarray) -> tuple[ChannelLevel, ...]:
    """Return the meters after sounds, one after the other."""
    meters = ChannelMeters(RATE, sounds[0].shape[1])
    for sound in sounds:
        meters.push(sound)
    return meters.read()


def silence(seconds: float, channels: int = 1) -> np.ndarray:
    return np.zeros((round(seconds * RATE), channels), np.float32)


def test_nothing_heard_is_silence() -> None:
    assert ChannelMeters(RATE, 2).read() == (ChannelLevel(SILENCE_DB, SILENCE_DB, clipped=False),) * 2


def test_a_level_is_the_rms_and_a_peak_the_largest_sample() -> None:
    (meter,) = read(tone(0.5))
    assert meter.level == pytest.approx(-9.03, abs=0.01)
    assert meter.peak == pytest.approx(-6.02, abs=0.01)
    assert not meter.clipped


def test_each_channel_has_a_meter_of_its_own() -> None:
    low, high = read(np.concatenate([tone(0.05), tone(0.5)], axis=1))
    assert high.level - low.level == pytest.approx(20, abs=0.01)


def test_an_offset_is_no_level() -> None:
    (meter,) = read(tone(0.01) + np.float32(0.5))
    assert meter.level == pytest.approx(-43.01, abs=0.02)


def test_a_level_knows_the_last_100_ms_alone() -> None:
    assert read(tone(0.5), silence(0.09))[0].level > -20
    assert read(tone(0.5), silence(0.1))[0].level == SILENCE_DB


def test_the_first_levels_are_those_of_what_there_is() -> None:
    assert read(tone(0.5, seconds=0.02))[0].level == pytest.approx(-9.03, abs=0.01)


@pytest.mark.parametrize(("seconds", "fallen"), [(1.49, 0.0), (2.0, 10.0), (2.5, 20.0)])
def test_a_peak_stands_for_a_second_and_a_half_and_falls_by_20_db_a_second(seconds: float, fallen: float) -> None:
    assert read(tone(0.5), silence(seconds))[0].peak == pytest.approx(-6.02 - fallen, abs=0.25)


def test_a_higher_peak_stands_anew() -> None:
    assert read(tone(0.1), silence(1.4), tone(0.5), silence(1.4))[0].peak == pytest.approx(-6.02, abs=0.01)


def test_a_peak_falls_to_silence_and_no_further() -> None:
    assert read(tone(0.5), silence(10))[0].peak == SILENCE_DB


@pytest.mark.parametrize(
    ("samples", "clipped"),
    [
        ([1.01], True),
        ([-1.01], True),
        ([1.0], False),
        ([0.9995, 0.9995, 0.9995], True),
        ([-1.0, -1.0, -1.0], True),
        ([1.0, 1.0, -1.0, -1.0, 1.0, 1.0], False),
        ([1.0, 1.0, 0.5, 1.0, 1.0], False),
        ([0.998, 0.998, 0.998, 0.998], False),
    ],
)
@pytest.mark.parametrize("offset", [100, 478, 479, 480])
def test_clipping_is_more_than_full_scale_or_three_samples_at_it(
    samples: list[float], clipped: bool, offset: int
) -> None:
    sound = silence(0.1)
    sound[offset : offset + len(samples), 0] = samples
    assert read(sound)[0].clipped == clipped


def test_a_clip_light_stays_on_for_three_seconds() -> None:
    over = np.full((480, 1), 1.5, np.float32)
    assert read(over, silence(2.98))[0].clipped
    assert not read(over, silence(3.01))[0].clipped


def test_only_the_channel_that_clips_is_lit() -> None:
    sound = silence(0.1, channels=3)
    sound[100, 1] = 1.1
    assert [meter.clipped for meter in read(sound)] == [False, True, False]


@given(places=cuts(9600), channels=st.integers(1, 4), level=st.sampled_from([0.01, 0.3, 0.6]))
@settings(max_examples=40, deadline=None)
def test_any_cut_shows_the_same(places: list[int], channels: int, level: float) -> None:
    sound = np.clip(noise(9600, channels=channels, level=level), -1, 1)
    whole, parts = ChannelMeters(RATE, channels), ChannelMeters(RATE, channels)
    whole.push(sound)
    for start, stop in pairwise([0, *places, 9600]):
        parts.push(sound[start:stop])
    assert parts.read() == whole.read()


@pytest.mark.parametrize("rate", [8_000, 11_025, 192_000])
def test_any_rate_is_metered(rate: int) -> None:
    meters = ChannelMeters(rate, 1)
    meters.push(np.full((rate, 1), 0.5, np.float32) * np.resize([1, -1], rate)[:, None].astype(np.float32))
    assert meters.read()[0].level == pytest.approx(-6.02, abs=0.01)
