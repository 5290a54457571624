"""Noise that travels: white all the way, carried where the picture goes, and untouched before it sets out."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.diffusion.journey import FARTHEST_CURRENT, START, Journey, carry
from clavilux.runtime.diffusion.motion import Motion
from clavilux.runtime.diffusion.noise import draw
from tests.runtime.diffusion.test_motion import MOTIONS

SHAPE = (1, 8, 32, 48)
SIZE = SHAPE[2:]
noise = partial(draw, SHAPE, 7, 0, 0)
JOURNEYS = st.builds(
    Journey,
    octaves=st.floats(-20, 20),
    angle=st.floats(0, 6),
    x=st.floats(0, 48),
    y=st.floats(0, 32),
    carried=st.tuples(*[st.floats(-0.05, 0.05)] * 5),
)


def travelled(*motions: Motion) -> Journey:
    journey = START
    for motion in motions:
        journey = journey.after(motion, *SIZE)
    return journey


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two fields."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_before_it_sets_out_it_is_the_very_draw() -> None:
    assert carry(noise, START) is noise(0)
    assert carry(noise, START.after(Motion(), *SIZE)) is noise(0)


@given(JOURNEYS)
def test_its_variance_is_one_wherever_it_is(journey: Journey) -> None:
    seen = carry(noise, journey)
    assert (seen.dtype, seen.shape) == (np.float32, SHAPE)
    assert 0.85 < seen.var() < 1.15


@given(JOURNEYS)
def test_neighbours_stay_nearly_strangers(journey: Journey) -> None:
    seen = carry(noise, Journey(journey.octaves, journey.angle, journey.x, journey.y))
    assert abs(likeness(seen[..., 1:], seen[..., :-1])) < 0.55
    assert abs(likeness(seen[..., 2:], seen[..., :-2])) < 0.25


def test_a_pan_by_whole_cells_rolls_it_round_the_edges() -> None:
    seen = carry(noise, travelled(Motion(x=3 / 48, y=2 / 32)))
    np.testing.assert_allclose(seen, np.roll(noise(0), (-2, 3), (2, 3)), atol=1e-5)


def test_two_half_turns_bring_it_back() -> None:
    np.testing.assert_allclose(carry(noise, travelled(*[Motion(angle=np.pi)] * 2)), noise(0), atol=1e-4)


@pytest.mark.parametrize("turn", [1, -1])
def test_it_turns_with_the_picture(turn: int) -> None:
    square = partial(draw, (1, 4, 16, 16), 7, 0, 0)
    seen = carry(square, START.after(Motion(angle=turn * np.pi / 2), 16, 16))
    np.testing.assert_allclose(seen, np.rot90(square(0), turn, (2, 3)), atol=1e-4)


def test_pan_after_a_turn_is_still_to_the_right_of_the_picture() -> None:
    turned = carry(noise, travelled(Motion(angle=0.5)))
    seen = carry(noise, travelled(Motion(angle=0.5), Motion(x=4 / 48)))
    np.testing.assert_allclose(seen[..., 4:], turned[..., :-4], atol=1e-4)


def test_each_octave_of_flight_it_is_white_noise_of_another_layer() -> None:
    for octaves in (1, -1, 5):
        np.testing.assert_allclose(carry(noise, travelled(Motion(zoom=2.0**octaves))), noise(octaves), atol=1e-5)
    assert abs(likeness(noise(1), noise(0))) < 0.05
    assert abs(likeness(noise(-1), noise(1))) < 0.05


@given(JOURNEYS, MOTIONS)
def test_a_small_step_is_a_small_change(journey: Journey, motion: Motion) -> None:
    """Also over the border of an octave, in flight and in retreat."""
    for zoom in (1.0001, 1 / 1.0001):
        onward = journey.after(Motion(zoom, motion.angle / 1e4, motion.x / 1e4, motion.y / 1e4), *SIZE)
        assert np.abs(carry(noise, onward) - carry(noise, journey)).max() < 0.05


@pytest.mark.parametrize("octaves", [0.0, 1.0, -1.0])
def test_nothing_leaps_where_one_layer_takes_the_place_of_another(octaves: float) -> None:
    below, above = (
        START.after(Motion(x=0.1, y=0.2), *SIZE).after(Motion(zoom=2.0 ** (octaves + by)), *SIZE)
        for by in (-1e-6, 1e-6)
    )
    np.testing.assert_allclose(carry(noise, above), carry(noise, below), atol=1e-3)


def test_a_thousand_small_steps_are_one_journey() -> None:
    small, large = Motion(zoom=1.001, angle=0.002), Motion(zoom=1.001**1000, angle=2.0)
    np.testing.assert_allclose(carry(noise, travelled(*[small] * 1000)), carry(noise, travelled(large)), atol=1e-3)


def test_after_hours_of_flight_it_is_as_sharp_as_ever() -> None:
    far = Journey(octaves=1e5 + 0.3, angle=1.0, x=11.0, y=7.0)
    onward = far.after(Motion(zoom=1.001), *SIZE)
    assert likeness(carry(noise, far), carry(noise, onward)) > 0.99
    assert carry(noise, onward).var() == pytest.approx(1, abs=0.1)


def test_currents_bend_it_and_never_tear_it() -> None:
    journey = START
    for step in range(4000):
        journey = journey.after(Motion(current=0.05, time=step * 0.001), *SIZE)
    assert max(map(abs, journey.carried)) == FARTHEST_CURRENT
    assert carry(noise, journey).var() == pytest.approx(1, abs=0.15)
