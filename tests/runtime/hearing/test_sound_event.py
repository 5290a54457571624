"""Sound events: when something short began and when it was over, by loudness alone."""

import numpy as np
import pytest

from clavilux.runtime.hearing.sound_event import GAP, SoundEvent
from clavilux.runtime.sound.format import STEP_SECONDS


def hear(event: SoundEvent, level: float, seconds: float) -> None:
    event.push(np.full(round(seconds / STEP_SECONDS), 10 ** (level / 10)))


def noise(seconds: float, level: float = -50.0) -> np.ndarray:
    """Return powers of white noise."""
    return 10 ** (level / 10) * np.random.default_rng(0).chisquare(80, round(seconds / STEP_SECONDS)) / 80


def test_before_any_sound_nothing_has_lasted() -> None:
    event = SoundEvent()
    assert (event.lasted, event.over_for) == (0.0, np.inf)


def test_a_word_lasts_until_it_is_over_and_then_stays_as_long_as_it_was() -> None:
    event = SoundEvent()
    hear(event, -90.0, 1.0)
    hear(event, -20.0, 0.6)
    assert event.lasted == pytest.approx(0.6, abs=0.03)
    assert event.over_for == 0.0
    hear(event, -90.0, 0.5)
    assert event.lasted == pytest.approx(0.65, abs=0.04)
    assert event.over_for == pytest.approx(0.45, abs=0.04)


def test_a_stop_in_a_word_belongs_to_it() -> None:
    event = SoundEvent()
    for level, seconds in ((-20.0, 0.3), (-60.0, GAP - 0.1), (-22.0, 0.3)):
        hear(event, level, seconds)
    assert event.lasted == pytest.approx(0.6 + GAP - 0.1, abs=0.03)


def test_after_a_pause_another_event_begins() -> None:
    event = SoundEvent()
    for level, seconds in ((-20.0, 2.0), (-60.0, GAP + 0.1), (-20.0, 0.2)):
        hear(event, level, seconds)
    assert event.lasted == pytest.approx(0.2, abs=0.03)


def test_in_a_room_it_is_over_before_the_room_is_silent() -> None:
    event = SoundEvent()
    hear(event, -20.0, 0.5)
    for step in range(20):  # half a second until it is 60 dB lower
        hear(event, -20.0 - 1.2 * step, STEP_SECONDS)
    assert 0.03 < event.over_for < 0.12


def test_steady_noise_is_no_event_once_it_is_known_to_be_steady() -> None:
    event = SoundEvent()
    event.push(noise(30.0))
    assert event.lasted < 2.5
    assert event.over_for > 25.0


def test_a_word_over_steady_noise_lasts_as_long_as_the_word() -> None:
    event = SoundEvent()
    event.push(noise(5.0))
    hear(event, -20.0, 0.6)
    assert (event.lasted, event.over_for) == (pytest.approx(0.6, abs=0.03), 0.0)
    event.push(noise(0.3))
    assert event.over_for == pytest.approx(0.25, abs=0.05)


def test_a_tone_that_is_held_for_a_second_is_not_over() -> None:
    event = SoundEvent()
    hear(event, -20.0, 1.0)
    assert event.over_for == 0.0


def test_what_falls_slowly_is_not_over() -> None:
    event = SoundEvent()
    for step in range(300):
        hear(event, -20.0 - 0.1 * step, STEP_SECONDS)
    assert event.over_for == 0.0


def test_pieces_are_the_whole() -> None:
    powers = 10 ** (np.random.default_rng(1).uniform(-9, -1, 400))
    whole, pieces = SoundEvent(), SoundEvent()
    whole.push(powers)
    for piece in np.split(powers, [3, 50, 51, 200]):
        pieces.push(piece)
    assert (pieces.lasted, pieces.over_for) == (whole.lasted, whole.over_for)
