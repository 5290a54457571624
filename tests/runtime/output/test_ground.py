"""Ground beside pictures."""

import numpy as np
import pytest

from clavilux.runtime.output.ground import PLANE, SIDE, make_ground

FIRST, LAST = SIDE // PLANE, SIDE - SIDE // PLANE  # pixels of the plane between which the picture lies
MIDDLE = SIDE // 2


def test_ground_meets_an_even_picture_at_its_edge_and_falls_off_from_there():
    row = make_ground(np.full((16, 16, 3), 0.5, np.float32))[MIDDLE, :, 0]
    assert row[FIRST] == pytest.approx(0.214, abs=0.002)
    assert np.all(np.diff(row[:FIRST]) > -1e-6)
    assert row[0] < 0.65 * row[FIRST]


def test_each_side_goes_on_in_its_own_colour():
    picture = np.zeros((32, 32, 3), np.float32)
    picture[:, :8, 0] = picture[:, -8:, 2] = 0.8
    ground = make_ground(picture)
    assert ground[MIDDLE, FIRST - 20, 0] > 20 * ground[MIDDLE, FIRST - 20, 2]
    assert ground[MIDDLE, LAST + 20, 2] > 20 * ground[MIDDLE, LAST + 20, 0]


def test_what_stands_in_the_middle_does_not_shine_beside_the_picture():
    picture = np.full((64, 64, 3), 0.1, np.float32)
    picture[12:52, 12:52] = 1.0
    ground = make_ground(picture)
    assert ground[MIDDLE, : FIRST - 4].max() < 1.5 * ground[0, 0].max() + 0.02


def test_the_top_of_the_picture_is_the_top_of_its_ground():
    picture = np.zeros((32, 32, 3), np.float32)
    picture[:8] = 0.8
    ground = make_ground(picture)
    assert ground[FIRST - 20, MIDDLE].min() > 20 * ground[LAST + 20, MIDDLE].max()


def test_ground_is_the_same_for_any_size_of_the_same_picture():
    small, large = (np.mgrid[0:1:side, 0:1:side].astype(np.float32).transpose(1, 2, 0) for side in (64j, 200j))
    small, large = (np.concatenate([each, each[..., :1]], axis=-1) for each in (small, large))
    assert np.abs(make_ground(small) - make_ground(large)).max() < 0.02
