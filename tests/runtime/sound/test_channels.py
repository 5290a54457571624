"""The mixdown: the mean of the channels, or the loudest alone where the mean would lose it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clavilux.runtime.sound.channels import Mixdown
from clavilux.runtime.sound.resample import Resampler
from tests.runtime.sound.sounds import cuts, noise

RATE = 16_000
BLOCK = RATE // 100
SECOND = 100  # blocks


def mixed(sound: np.ndarray) -> tuple[np.ndarray, list[int | None]]:
    """Return sound [n, channels] mixed, float32 [n], and what was taken in each block."""
    mixdown, parts, taken = Mixdown(sound.shape[1]), [], []
    for block in np.split(sound, len(sound) // BLOCK):
        parts.append(mixdown.mix(block))
        taken.append(mixdown.taken)
    return np.concatenate(parts), taken


def side_by_side(*channels: np.ndarray | float, length: int = RATE) -> np.ndarray:
    """Return channels as one sound, float32 [n, channels]; a number is a channel that stands still."""
    return np.stack([np.broadcast_to(np.float32(channel), length) for channel in channels], axis=1)


@pytest.fixture
def voice() -> np.ndarray:
    return noise(RATE, seed=1)


def test_one_channel_is_itself(voice: np.ndarray) -> None:
    found, taken = mixed(voice[:, None])
    np.testing.assert_array_equal(found, voice)
    assert set(taken) == {None}


@pytest.mark.parametrize("seed", [1, 2])
def test_plain_stereo_is_the_mean_whether_its_sides_are_equal_or_not(voice: np.ndarray, seed: int) -> None:
    sound = side_by_side(voice, noise(RATE, seed=seed))
    found, taken = mixed(sound)
    np.testing.assert_array_equal(found, sound.mean(axis=1, dtype=np.float32))
    assert set(taken) == {None}


def test_stereo_with_one_side_turned_over_is_that_sound(voice: np.ndarray) -> None:
    found, taken = mixed(side_by_side(voice, -voice))
    np.testing.assert_array_equal(found[BLOCK:], voice[BLOCK:])
    assert set(taken) == {1}


@pytest.mark.parametrize(("channels", "live"), [(2, 1), (2, 2), (18, 3), (18, 18), (32, 1)])
def test_one_live_channel_of_many_keeps_its_level(voice: np.ndarray, channels: int, live: int) -> None:
    found, taken = mixed(side_by_side(*(voice if number == live else 0.0 for number in range(1, channels + 1))))
    np.testing.assert_array_equal(found[BLOCK:], voice[BLOCK:])
    assert set(taken) == {live}


def test_the_centre_of_five_one_is_taken_while_it_speaks(voice: np.ndarray) -> None:
    surround = [0.003 * noise(RATE, seed=seed) / 0.1 for seed in range(2, 7)]
    found, taken = mixed(side_by_side(*surround[:2], voice, *surround[2:]))
    np.testing.assert_array_equal(found[BLOCK:], voice[BLOCK:])
    assert set(taken) == {3}


def test_sound_in_all_of_five_one_is_the_mean() -> None:
    _, taken = mixed(np.repeat(noise(RATE)[:, None], 6, axis=1))
    assert set(taken) == {None}


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_voice_in_b_format_keeps_its_level_from_the_front_and_from_behind(voice: np.ndarray, side: float) -> None:
    found, _ = mixed(side_by_side(voice, side * voice, 0.0, 0.0))
    np.testing.assert_array_equal(found[BLOCK:], voice[BLOCK:])


def test_hum_beside_a_voice_stays_in_the_mean(voice: np.ndarray) -> None:
    hum = 0.1 * np.sin(2 * np.pi * 50 * np.arange(RATE) / RATE)
    found, taken = mixed(sound := side_by_side(voice, hum))
    np.testing.assert_array_equal(found, sound.mean(axis=1, dtype=np.float32))
    assert set(taken) == {None}


def test_an_offset_on_a_dead_channel_is_no_sound(voice: np.ndarray) -> None:
    found, taken = mixed(side_by_side(0.5, voice))
    np.testing.assert_array_equal(found[BLOCK:], voice[BLOCK:])
    assert set(taken) == {2}


def test_silence_takes_nothing_and_keeps_what_was_taken(voice: np.ndarray) -> None:
    assert set(mixed(1e-5 * side_by_side(voice, -voice))[1]) == {None}
    _, taken = mixed(np.concatenate([side_by_side(0.0, voice), np.zeros((10 * RATE, 2), np.float32)]))
    assert set(taken) == {2}


def test_a_channel_is_given_up_when_the_mean_comes_within_3_db_of_it(voice: np.ndarray) -> None:
    _, taken = mixed(np.concatenate([side_by_side(voice, 0.0), side_by_side(voice, voice)]))
    assert set(taken[:SECOND]) == {1}
    change = taken.index(None)
    assert SECOND < change < SECOND + SECOND // 2
    assert set(taken[change:]) == {None}


def test_a_channel_is_kept_while_the_mean_lies_between_3_and_6_db_below_it(voice: np.ndarray) -> None:
    uneven = side_by_side(voice, 0.2 * voice)  # the mean is 4.4 dB below
    assert set(mixed(uneven)[1]) == {None}
    assert set(mixed(np.concatenate([side_by_side(voice, 0.0), uneven]))[1]) == {1}


def test_a_channel_is_left_for_one_that_is_more_than_6_db_louder(voice: np.ndarray) -> None:
    _, taken = mixed(np.concatenate([side_by_side(voice, 0.0, 0.0), side_by_side(0.0, 0.0, voice)]))
    assert taken[SECOND - 1] == 1
    assert set(taken[SECOND + 3 * SECOND // 4 :]) == {3}


def test_a_change_crossfades_over_its_block(voice: np.ndarray) -> None:
    found, _ = mixed(side_by_side(voice, 0.0))
    share = np.arange(1, BLOCK + 1) / BLOCK
    np.testing.assert_allclose(found[:BLOCK], voice[:BLOCK] * (0.5 + 0.5 * share), rtol=1e-5)


@given(
    places=cuts(4800, most=6),
    rate=st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]),
    gains=st.lists(st.sampled_from([-1.0, 0.0, 0.01, 0.5, 1.0]), min_size=1, max_size=20),
    turn=st.integers(0, 4800),
)
@settings(max_examples=40, deadline=None)
def test_any_cut_gives_the_same_mix(places: list[int], rate: int, gains: list[float], turn: int) -> None:
    sound = noise(4800)[:, None] * np.float32(gains) + noise(4800, channels=len(gains), level=0.01, seed=1)
    sound[turn:] = sound[turn:, ::-1]
    whole, parts = Resampler(rate, len(gains)), Resampler(rate, len(gains))
    expected = np.concatenate([whole.push(sound), whole.finish()])
    found = [parts.push(sound[start:stop]) for start, stop in pairwise([0, *places, 4800])]
    np.testing.assert_array_equal(np.concatenate([*found, parts.finish()]), expected)
    assert parts.mixdown.taken == whole.mixdown.taken


@given(gains=st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=8), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_no_sound_is_lost_that_is_not_6_db_below_another(gains: list[float], seed: int) -> None:
    sound = noise(RATE // 10, seed=seed)[:, None] * np.float32(gains)
    found, _ = mixed(sound)
    powers = np.var(sound[BLOCK:], axis=0)
    assert np.var(found[BLOCK:]) >= 0.2 * powers.max() - 1e-9
