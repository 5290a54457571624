"""Motion of the latents: what moves goes where it should, keeps its spread, and what stays is not touched."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.diffusion.motion import MAX_STEP, Motion, motion_of, taps, warp

SHAPE = (1, 4, 16, 16)
MOTIONS = st.builds(
    Motion,
    zoom=st.floats(0.9, 1.1),
    angle=st.floats(-0.3, 0.3),
    x=st.floats(-0.2, 0.2),
    y=st.floats(-0.2, 0.2),
    current=st.floats(0.0, 0.1),
    time=st.floats(0.0, 1000.0),
)


def noise(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).normal(0.5, 1, shape).astype(np.float32)


def smooth(height: int = 32, width: int = 32) -> np.ndarray:
    """Return a hill left of the middle and above it, float32 [1, 2, height, width], and its negative."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    hill = np.exp(-(((x - width * 0.4) / 4) ** 2) - ((y - height * 0.4) / 4) ** 2)
    return np.stack([hill, -hill])[None]


def hilltop(latents: np.ndarray) -> tuple[float, float]:
    """Return how far to the right and above the middle the hill's centre of mass is, in cells."""
    hill = np.maximum(latents[0, 0] - latents.max() / 2, 0)
    y, x = np.mgrid[: hill.shape[0], : hill.shape[1]]
    across, down = (
        (place * hill).sum() / hill.sum() - (size - 1) / 2 for place, size in zip((x, y), hill.shape[::-1], strict=True)
    )
    return float(across), float(-down)


def test_what_stays_is_the_same_array() -> None:
    latents = noise()
    assert warp(latents, Motion()) is latents
    assert warp(latents, Motion(time=3.0)) is latents


@pytest.mark.parametrize("shape", [SHAPE, (1, 3, 5, 5)])
def test_four_quarter_turns_are_none(shape: tuple[int, ...]) -> None:
    latents = noise(shape)
    turned = latents
    for turn in range(1, 5):
        turned = warp(turned, Motion(angle=np.pi / 2))
        np.testing.assert_allclose(turned, np.rot90(latents, turn, (2, 3)), atol=1e-4)


@pytest.mark.parametrize(
    ("motion", "roll", "inside"),
    [
        (Motion(x=1 / 16), (0, 1), np.s_[:, :, :, 1:]),
        (Motion(x=-2 / 16), (0, -2), np.s_[:, :, :, :-2]),
        (Motion(y=1 / 16), (-1, 0), np.s_[:, :, :-1]),
    ],
)
def test_a_pan_by_whole_cells_moves_them_to_the_right_and_up(
    motion: Motion, roll: tuple[int, int], inside: tuple
) -> None:
    latents = smooth(16, 16)
    np.testing.assert_allclose(warp(latents, motion)[inside], np.roll(latents, roll, (2, 3))[inside], atol=1e-2)


def test_beyond_the_edge_the_latents_are_mirrored() -> None:
    places = taps(16, 16, Motion(x=2 / 16)).places[5]  # of the sixteen, the one in the middle: row 0, column 0
    np.testing.assert_array_equal(places[3, :4], 3 * 16 + np.array([1, 0, 0, 1]))


def test_a_turn_is_to_the_left_and_a_zoom_is_away_from_the_middle() -> None:
    x, y = hilltop(smooth())
    turned = hilltop(warp(smooth(), Motion(angle=np.pi / 2)))
    np.testing.assert_allclose(turned, (-y, x), atol=1e-3)
    near = hilltop(warp(smooth(), Motion(zoom=1.3)))
    np.testing.assert_allclose(near, (1.3 * x, 1.3 * y), atol=0.1)


def test_a_picture_that_is_not_square_turns_without_shear() -> None:
    x, y = hilltop(smooth(32, 48))
    np.testing.assert_allclose(
        hilltop(warp(smooth(32, 48), Motion(angle=0.3))),
        (x * np.cos(0.3) - y * np.sin(0.3), x * np.sin(0.3) + y * np.cos(0.3)),
        atol=0.05,
    )


def test_flying_in_and_out_again_returns() -> None:
    latents = smooth()
    back = warp(warp(latents, Motion(zoom=1.1)), Motion(zoom=1 / 1.1))
    np.testing.assert_allclose(back, latents, atol=0.02)


@given(MOTIONS)
def test_the_spread_of_each_channel_stays(motion: Motion) -> None:
    latents = noise()
    moved = warp(latents, motion)
    np.testing.assert_allclose(moved.std((2, 3)), latents.std((2, 3)), rtol=0.25)
    assert (moved.dtype, moved.shape) == (np.float32, SHAPE)


def test_after_ten_seconds_of_small_steps_the_spread_is_still_there() -> None:
    latents = moved = smooth()
    for step in range(300):
        moved = warp(moved, Motion(angle=0.02, current=0.002, time=step / 30))
    np.testing.assert_allclose(moved.std((2, 3)), latents.std((2, 3)), rtol=1e-3)


def test_a_channel_that_is_the_same_everywhere_stays_so() -> None:
    flat = np.full(SHAPE, 3.0, np.float32)
    np.testing.assert_allclose(warp(flat, Motion(zoom=1.1, angle=0.1)), flat, rtol=1e-5)


@given(MOTIONS)
def test_sixteen_weights_sum_to_one_and_their_places_exist(motion: Motion) -> None:
    found = taps(9, 13, motion)
    np.testing.assert_allclose(found.weights.sum(0), 1, atol=1e-5)
    assert (found.places.dtype, found.places.shape) == (np.int32, (16, 9, 13))
    assert found.places.min() >= 0
    assert found.places.max() < 9 * 13


def test_the_same_motion_gives_the_same_bits() -> None:
    motion = Motion(1.02, 0.03, 0.01, -0.02, 0.05, 12.5)
    np.testing.assert_array_equal(warp(noise(), motion), warp(noise(), motion))


def test_motion_has_not_changed_since_it_was_written_down() -> None:
    latents = (np.arange(64, dtype=np.float32) % 7).reshape(1, 1, 8, 8)
    found = warp(latents, Motion(1.05, 0.1, 0.02, 0.03, 0.02, 4.0))[0, 0, 3, 2:6]
    np.testing.assert_allclose(found, [5.363156, 5.523818, -0.0105, 0.688094], atol=1e-4)


def test_two_half_steps_lead_where_one_does() -> None:
    moving = Parameters().merge({"motion_zoom": 0.5, "motion_rotation": 40.0, "motion_x": 0.1, "motion_drift": 0.5})
    whole = warp(smooth(), motion_of(moving, 0.1, 2.0))
    half = motion_of(moving, 0.05, 2.0)
    np.testing.assert_allclose(warp(warp(smooth(), half), half), whole, atol=0.02)


def test_the_currents_sway_and_are_the_same_at_the_same_time() -> None:
    now, later = (warp(smooth(), Motion(current=0.1, time=time)) for time in (1.0, 3.0))
    assert np.abs(now - later).max() > 0.05
    np.testing.assert_array_equal(now, warp(smooth(), Motion(current=0.1, time=1.0)))


def test_parameters_say_how_much_moves_in_a_second() -> None:
    moving = Parameters().merge(
        {"motion_zoom": 0.5, "motion_rotation": 90.0, "motion_x": 0.2, "motion_y": -0.1, "motion_drift": 1.0}
    )
    motion = motion_of(moving, 0.2, 7.0)
    assert motion is not None
    found = [motion.zoom, motion.angle, motion.x, motion.y, motion.current, motion.time]
    np.testing.assert_allclose(found, [np.exp(0.1), np.pi / 10, 0.04, -0.02, 0.05, 7.0])


def test_where_nothing_is_asked_for_or_no_time_has_passed_nothing_moves() -> None:
    assert motion_of(Parameters(), 0.1, 1.0) is None
    assert motion_of(Parameters().merge({"motion_zoom": 1.0}), 0.0, 1.0) is None


def test_after_a_stall_it_goes_on_and_does_not_leap() -> None:
    moving = Parameters().merge({"motion_x": 0.5})
    assert motion_of(moving, 20.0, 1.0) == motion_of(moving, MAX_STEP, 1.0)


@given(MOTIONS, MOTIONS)
def test_two_motions_in_one_are_their_sum(one: Motion, other: Motion) -> None:
    both = one.and_then(other)
    assert both.zoom == pytest.approx(one.zoom * other.zoom)
    found = [both.angle, both.x, both.y, both.current]
    sums = [one.angle + other.angle, one.x + other.x, one.y + other.y, one.current + other.current]
    assert (found, both.time) == (pytest.approx(sums), other.time)
    assert one.and_then(None) == one
