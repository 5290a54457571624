"""Light numbers follow the readings, stand still in a still sound, and change a prompt by the bundle's rows alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.output.light_numbers import (
    CROWDED,
    DULL,
    FULL,
    PALE,
    REST_LIGHT,
    SHARP,
    STEPS,
    LightNumbers,
    lit,
    numbers_of,
)
from clavilux.runtime.output.light_state import MAX_SHEETS, LightSettings
from clavilux.runtime.pulse import Pulse

A4 = Pulse(
    level=0.9, level_db=-12.0, brightness=0.4, noisiness=0.1, harmonicity=0.9, pitch_class=0.75, pitch_height=0.5,
    pitch_confidence=1.0, density=0.2,
)  # fmt: skip
SHARES = LIGHT_NUMBERS[2:]


def after(pulse: Pulse, seconds: float = 20.0) -> dict[str, float]:
    """The numbers after a reading that stays, by name."""
    light = LightNumbers()
    for _ in range(round(seconds * 10)):
        numbers = light.advance([pulse], 0.1)
    return dict(zip(LIGHT_NUMBERS, numbers.tolist(), strict=True))


def test_numbers_lie_within_one_and_have_the_type_of_embeddings():
    numbers = numbers_of(LightSettings(extent=1.0, breath=1.0, light=1.0, sheets=4.0))
    assert numbers.dtype == np.float32
    assert numbers.shape == (len(LIGHT_NUMBERS),)
    assert np.abs(numbers).max() == 1.0


@pytest.mark.parametrize(
    ("reading", "number"),
    [
        ("pitch_height", "place"),
        ("brightness", "fineness"),
        ("noisiness", "turbulence"),
        ("density", "sheets"),
        ("harmonicity", "symmetry"),
        ("level", "extent"),
        ("level", "light"),
    ],
)
def test_each_reading_moves_its_own_number(reading, number):
    low, high = (after(replace(A4, **{reading: share})) for share in (0.1, 0.8))
    assert high[number] > low[number]
    others = {"extent", "light"} if reading == "level" else {number}
    assert all(low[name] == high[name] for name in set(SHARES) - others)


@pytest.mark.parametrize(
    ("setting", "number", "least", "most"),
    [("fineness", "fineness", DULL, SHARP), ("sheets", "sheets", 1.0, 1 + (MAX_SHEETS - 1) * CROWDED)],
)
def test_the_range_is_that_where_sounds_lie(setting, number, least, most):
    low, high = (numbers_of(LightSettings(**{setting: value})) for value in (least, most))
    at = LIGHT_NUMBERS.index(number)
    assert [low[at], high[at]] == pytest.approx([-1.0, 1.0], abs=1 / STEPS)


def test_a_light_is_whole_before_a_sound_clips():
    full, clipped = (numbers_of(LightSettings(light=share, extent=share)) for share in (FULL, 1.0))
    np.testing.assert_array_equal(full, clipped)
    assert full[-2:].tolist() == [1.0, 1.0]


@given(st.floats(0, 1))
def test_the_pitch_class_is_an_angle(pitch_class):
    found = after(replace(A4, pitch_class=pitch_class))
    turn = math.atan2(found["hue_sine"], found["hue_cosine"]) / (2 * math.pi)
    away = (turn - pitch_class + 0.5) % 1.0 - 0.5
    assert abs(away) < 0.01


def test_what_has_no_pitch_is_pale():
    found = after(replace(A4, pitch_confidence=0.0))
    assert math.hypot(found["hue_cosine"], found["hue_sine"]) == pytest.approx(PALE, abs=2 / STEPS)
    assert math.hypot(*(after(A4)[name] for name in LIGHT_NUMBERS[:2])) == pytest.approx(1.0, abs=2 / STEPS)


def test_silence_keeps_the_colour_and_comes_to_rest():
    light = LightNumbers()
    for _ in range(50):
        loud = light.advance([A4], 0.1)
    found = [light.advance([Pulse()], 0.1) for _ in range(600)]
    np.testing.assert_array_equal(found[-1][:2], loud[:2])
    assert found[-1][-1] == pytest.approx(2 * REST_LIGHT - 1, abs=1 / STEPS)
    np.testing.assert_array_equal(found[-1], found[-2])


def test_without_a_new_reading_the_last_one_goes_on_to_count():
    light, told = LightNumbers(), LightNumbers()
    light.advance([A4], 0.1)
    told.advance([A4], 0.1)
    np.testing.assert_array_equal(light.advance([], 0.1), told.advance([replace(A4)], 0.1))


def test_a_light_is_added_to_every_token_but_the_first():
    prompt, rows = np.ones((1, 4, 3), np.float32), np.arange(27, dtype=np.float32).reshape(9, 3)
    numbers = np.zeros(9, np.float32)
    numbers[2] = 0.5
    found = lit(prompt, numbers, rows)
    np.testing.assert_array_equal(found[0, 0], prompt[0, 0])
    np.testing.assert_array_equal(found[0, 1:], np.tile(1 + 0.5 * rows[2], (3, 1)))
    assert prompt.max() == 1.0
