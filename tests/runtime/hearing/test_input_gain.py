"""The input gain: exact where it stands still, smooth where it moves, and never a pump."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.hearing.input_gain import FALL, RAMP, RANGE, RISE, TARGET, AutomaticGain, Gain
from clavilux.runtime.sound.format import STEP_SECONDS


def after(level: float, seconds: float, gain: AutomaticGain | None = None, **how: bool) -> AutomaticGain:
    """Return an automatic gain that has heard so many seconds of a level in dBFS."""
    gain = gain or AutomaticGain()
    powers = np.full(round(seconds / STEP_SECONDS), 10 ** (level / 10))
    gain.follow(powers, sounds=how.get("sounds", True), enabled=how.get("enabled", True))
    return gain


def test_quiet_sound_is_brought_to_the_target() -> None:
    assert after(-45.0, 60.0).gain == pytest.approx(TARGET + 45.0)


def test_loud_sound_is_brought_down() -> None:
    assert after(-5.0, 60.0).gain == pytest.approx(TARGET + 5.0)


def test_it_stays_within_its_range() -> None:
    assert after(-100.0, 200.0).gain == RANGE[1]
    assert after(20.0, 200.0).gain == RANGE[0]


def test_it_moves_by_its_decibels_a_second_and_no_faster() -> None:
    assert after(-60.0, 2.0).gain == pytest.approx(2.0 * RISE)
    assert after(0.0, 2.0).gain == pytest.approx(-2.0 * FALL)


def test_after_a_loud_passage_it_rises_within_seconds() -> None:
    gain = after(-5.0, 30.0)
    before = gain.gain
    assert after(-53.0, 15.0, gain).gain > before + 10


def test_it_stands_still_in_a_pause() -> None:
    gain = after(-45.0, 60.0)
    before = gain.gain
    assert after(-90.0, 60.0, gain, sounds=False).gain == before


def test_switched_off_it_goes_back_to_nothing() -> None:
    assert after(-45.0, 60.0, after(-45.0, 60.0), enabled=False).gain == pytest.approx(0.0)
    assert after(-45.0, 60.0, enabled=False).gain == 0.0


def test_six_decibels_are_twice_the_amplitude() -> None:
    gain = Gain()
    gain.apply(np.zeros(RAMP, np.float32), 6.0206)
    assert gain.apply(np.full(10, 0.1, np.float32), 6.0206) == pytest.approx(0.2, rel=1e-5)


def test_no_gain_gives_the_very_samples() -> None:
    samples = np.full(10, 0.1, np.float32)
    assert Gain().apply(samples, 0.0) is samples


@given(
    st.lists(st.integers(0, 1000), max_size=8),
    st.lists(st.tuples(st.integers(0, 999), st.sampled_from([0.0, 6.0, 20.0])), max_size=3),
)
def test_a_change_of_gain_makes_no_step_however_the_sound_was_cut(
    cuts: list[int], changes: list[tuple[int, float]]
) -> None:
    wanted = dict(sorted(changes))
    whole, pieces = Gain(), Gain()
    places = sorted({*cuts, *wanted, 0, 1000})

    def apply(gain: Gain, ends: list[int]) -> np.ndarray:
        told, made = 0.0, []
        for start, end in pairwise(ends):
            told = wanted.get(start, told)
            made.append(gain.apply(np.ones(end - start, np.float32), told))
        return np.concatenate(made)

    one, other = apply(whole, sorted({*wanted, 0, 1000})), apply(pieces, places)
    np.testing.assert_array_equal(one, other)
    assert np.abs(np.diff(one, prepend=1.0)).max() < 0.06
