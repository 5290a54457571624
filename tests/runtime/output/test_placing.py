"""Where pictures lie on screens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.output.effects import NEUTRAL
from clavilux.runtime.output.placing import FEATHER, draw_plate, move_places, place_picture
from clavilux.runtime.output.size import make_plate

SIDE = 60
PICTURE = np.random.default_rng(2).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
PLATE = make_plate(PICTURE, SIDE)


def seen(height: int = SIDE, width: int = SIDE, *, cover: bool = False, time: float = 0.0, **values: float):
    chosen = NEUTRAL | values
    return draw_plate(PLATE, place_picture(height, width, 1.0, chosen, cover=cover), chosen, time)


def test_a_picture_that_just_fills_the_screen_is_shown_as_it_is():
    assert np.allclose(seen(), PLATE.picture, atol=1e-4)


def test_quarter_turns_are_exact_and_go_to_the_left():
    inner = slice(8, -8)
    assert np.allclose(seen(rotation=90)[inner, inner], np.rot90(PLATE.picture)[inner, inner], atol=1e-3)
    assert np.allclose(seen(rotation=180)[inner, inner], PLATE.picture[::-1, ::-1][inner, inner], atol=1e-3)


def test_zoom_of_two_shows_the_middle_twice_as_large():
    middle = PLATE.picture[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
    means = seen(zoom=2).reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(means.ravel(), middle.ravel())[0, 1] > 0.9


def test_a_wide_screen_shows_all_of_the_picture_and_ground_beside_it():
    wide = seen(width=120)
    across = round(FEATHER * SIDE) + 1
    assert np.allclose(wide[:, 30 + across : 90 - across], PLATE.picture[:, across:-across], atol=1e-4)
    assert wide[:, :30].mean() > 0.3 * PLATE.picture.mean()
    assert np.abs(np.diff(wide[:, :28], axis=1)).max() < 0.05


def test_a_tall_screen_has_ground_above_and_below():
    tall = seen(height=120)
    assert np.allclose(tall[35:85, 5:-5], PLATE.picture[5:-5, 5:-5], atol=1e-4)


def test_cover_crops_and_leaves_no_ground():
    placing = place_picture(90, 160, 1.0, NEUTRAL, cover=True)
    assert placing.rows == 160
    assert max(placing.feather) <= 1e-5
    assert place_picture(90, 160, 1.0, NEUTRAL, cover=False).rows == 90


@given(st.floats(0.9, 1.1))
def test_edges_melt_away_without_a_leap(zoom: float):
    near, next_to_it = (place_picture(SIDE, SIDE, 1.0, NEUTRAL | {"zoom": z}, cover=False) for z in (zoom, zoom + 1e-4))
    assert np.abs(np.subtract(near.feather, next_to_it.feather)).max() < 1e-3


@pytest.mark.parametrize("mirrors", [1, 2, 3, 7, 12])
def test_mirrors_show_each_sector_turned_over(mirrors: int):
    angle, distance = np.array([0.1, -0.1, 0.1 + 2 * np.pi / mirrors]), 0.4
    x, y = (distance * f(angle).astype(np.float32) for f in (np.sin, np.cos))
    moved = move_places(x, y, NEUTRAL | {"mirror": mirrors}, 0.0)
    assert np.allclose(np.ptp(np.stack(moved), axis=1), 0, atol=1e-5)


def test_one_mirror_stands_upright_in_the_middle():
    assert np.allclose(seen(mirror=1), seen(mirror=1)[:, ::-1], atol=1e-3)


@given(st.floats(0.01, 0.2), st.floats(0, 1000))
def test_ripples_are_as_high_as_they_are_called_and_the_same_every_time(size: float, time: float):
    y, x = (side.astype(np.float32) for side in np.mgrid[-0.5:0.5:20j, -0.5:0.5:20j])
    moved_x, moved_y = move_places(x, y, NEUTRAL | {"displacement": size}, time)
    assert max(np.abs(moved_x - x).max(), np.abs(moved_y - y).max()) <= size * 1.001
    assert np.array_equal(moved_x, move_places(x, y, NEUTRAL | {"displacement": size}, time)[0])


def test_ripples_move():
    assert np.abs(seen(displacement=0.1, time=1.0) - seen(displacement=0.1, time=1.5)).mean() > 0.01
