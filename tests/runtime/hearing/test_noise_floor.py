"""The noise floor: what is always there, and nothing that only comes and goes."""

import numpy as np
import pytest

from clavilux.runtime.hearing.noise_floor import PIECE, PIECES, NoiseFloor
from clavilux.runtime.pulse import SILENCE_DB


def power(level: float) -> float:
    return float(10 ** (level / 10))


def heard(*parts: tuple[float, int]) -> float:
    """Return the floor after parts of a level in dBFS and so many steps each."""
    floor = NoiseFloor()
    for level, steps in parts:
        for _ in range(steps):
            floor.push(power(level))
    return floor.level


def test_nothing_is_known_before_a_whole_second() -> None:
    assert heard((-40.0, PIECE - 1)) == SILENCE_DB
    assert heard((-40.0, PIECE)) == pytest.approx(-40.0)


def test_words_with_pauses_leave_the_floor_at_the_pauses() -> None:
    assert heard(*[(-60.0, 150), (-20.0, 300)] * 5) == pytest.approx(-60.0, abs=0.5)


def test_it_falls_within_a_second_and_rises_when_nothing_was_quieter_for_eight() -> None:
    assert heard((-40.0, 1000), (-60.0, PIECE)) == pytest.approx(-60.0, abs=0.5)
    assert heard((-60.0, 1000), (-40.0, (PIECES - 1) * PIECE)) < -59.0
    assert heard((-60.0, 1000), (-40.0, (PIECES + 1) * PIECE)) > -41.0


def test_one_loud_or_silent_step_does_not_move_it_far() -> None:
    assert heard((-50.0, 500), (0.0, 1), (-50.0, 500)) == pytest.approx(-50.0, abs=0.1)
    assert heard((-50.0, 500), (SILENCE_DB, 1), (-50.0, 500)) == pytest.approx(-50.0, abs=0.5)


def test_noise_is_at_its_own_level() -> None:
    floor = NoiseFloor()
    for level in 10 * np.log10(np.random.default_rng(0).chisquare(40, 1500) / 40) - 50.0:
        floor.push(power(level))
    assert floor.level == pytest.approx(-50.5, abs=1.0)
