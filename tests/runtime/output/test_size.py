"""Upscaling: no halos, no stairs, nothing moved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clavilux.runtime.output.colour import to_linear
from clavilux.runtime.output.size import edge_metric, enlarge, enlarged_size, make_plate, sharpen

seeds = st.integers(0, 10_000)


def noise(seed: int, height: int = 9, width: int = 12):
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def disc(side: int, radius: float, softness: float):
    """A soft disc, sampled from the formula at any size, [side, side, 3] of 0.1 to 0.9."""
    place = (np.arange(side) + 0.5) / side - 0.5
    edge = (radius - np.hypot(place[:, None], place)) / softness
    return np.repeat((0.1 + 0.8 / (1 + np.exp(-4 * edge)))[..., None], 3, axis=-1).astype(np.float32)


@given(seeds)
def test_sharpening_never_leaves_the_range_of_the_neighbours(seed: int):
    picture = noise(seed)
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = np.stack([padded[1:-1, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]])
    sharp = sharpen(picture)
    assert np.all(sharp >= around.min(axis=0))
    assert np.all(sharp <= around.max(axis=0))


def test_sharpening_makes_an_edge_steeper_and_a_slope_stays():
    edge = np.tile(np.array([0.2, 0.2, 0.3, 0.7, 0.8, 0.8], np.float32)[None, :, None], (3, 1, 3))
    steeper = sharpen(edge)[1, :, 0]
    assert steeper[3] - steeper[2] > 0.44
    slope = np.tile(np.linspace(0, 1, 9, dtype=np.float32)[None, :, None], (3, 1, 3))
    assert np.allclose(sharpen(slope)[:, 1:-1], slope[:, 1:-1], atol=1e-6)


@given(seeds)
def test_an_enlarged_picture_has_no_light_that_was_not_there(seed: int):
    picture = noise(seed)
    large = enlarge(picture, 40, 55)
    assert large.shape == (40, 55, 3)
    assert large.min() >= picture.min()
    assert large.max() <= picture.max()


def test_what_is_even_stays_even():
    assert np.allclose(enlarge(np.full((5, 6, 3), 0.3, np.float32), 33, 21), 0.3, atol=1e-6)


def test_a_round_edge_is_nearer_to_the_truth_than_a_bicubic_filter_makes_it():
    small, truth = disc(48, 0.31, 0.02), disc(240, 0.31, 0.02)
    ours = enlarge(small, 240, 240)[..., 0]
    bicubic = np.array(Image.fromarray(small[..., 0]).resize((240, 240), Image.Resampling.BICUBIC))
    assert np.abs(ours - truth[..., 0]).mean() < 0.95 * np.abs(bicubic - truth[..., 0]).mean()


def test_distance_counts_less_along_an_edge():
    upright = np.zeros((7, 8, 3), np.float32)
    upright[:, 4:] = 1
    across, along, product = edge_metric(upright)[3, 4]
    assert across == pytest.approx(1, abs=0.01)
    assert along == pytest.approx(0.25, abs=0.01)
    assert product == pytest.approx(0, abs=0.01)


def test_where_there_is_no_edge_distance_counts_the_same_everywhere():
    assert np.allclose(edge_metric(np.full((4, 4, 3), 0.5, np.float32)), [1, 1, 0])


def test_a_picture_is_never_made_smaller_nor_larger_than_a_screen_needs():
    assert enlarged_size(256, 256, 1080) == (1080, 1080)
    assert enlarged_size(1024, 512, 720) == (1024, 512)
    assert enlarged_size(100, 400, 2000) == (640, 2560)


def test_a_plate_is_the_picture_in_linear_light():
    plate = make_plate(np.full((8, 8, 3), 128, np.uint8), 20)
    assert plate.picture.shape == (20, 20, 3)
    assert np.allclose(plate.picture, to_linear(np.array([128], np.uint8)), atol=1e-4)


def test_plates_mix_as_light():
    dark, bright = (make_plate(np.full((4, 4, 3), value, np.uint8), 4) for value in (0, 255))
    assert np.allclose(dark.mixed(bright, 0.25).picture, 0.25, atol=1e-4)
    assert np.allclose(dark.mixed(bright, 0.25).ground.max(), 0.25 * bright.ground.max(), atol=1e-4)
