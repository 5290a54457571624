"""Filters between pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.output.resampling import (
    blur_matrix,
    box_matrix,
    enlarge_linearly,
    linear_matrix,
    sample,
    separably,
    spline_matrix,
)

sizes = st.integers(1, 40)


def noise(height: int, width: int, channels: int = 3):
    return np.random.default_rng(height * 100 + width).random((height, width, channels), np.float32)


@given(sizes, st.integers(1, 60))
def test_every_filter_keeps_what_is_even(size: int, out: int):
    for matrix in (
        linear_matrix(np.linspace(0, 1, out), size),
        spline_matrix(size, out),
        box_matrix(size, out, 3),
        blur_matrix(size, 2.0, 5),
    ):
        assert matrix.shape[1] == size
        assert np.allclose(matrix.sum(axis=1), 1, atol=1e-5)
        assert matrix.min() >= 0


def test_linear_samples_at_pixel_centres_are_the_pixels():
    picture = noise(5, 7)
    x, y = np.meshgrid((np.arange(7, dtype=np.float32) + 0.5) / 7, (np.arange(5, dtype=np.float32) + 0.5) / 5)
    assert np.allclose(sample(picture, x, y), picture, atol=1e-5)


def test_a_sample_between_four_pixels_is_their_mean_and_beyond_the_edge_goes_the_edge():
    picture = noise(4, 4)
    middle, outside = (sample(picture, *np.full((2, 1), place, np.float32))[0] for place in (0.5, 7.0))
    assert np.allclose(middle, picture[1:3, 1:3].mean(axis=(0, 1)), atol=1e-6)
    assert np.allclose(outside, picture[-1, -1])


def test_samples_and_matrices_are_the_same_filter():
    picture = noise(6, 9)
    rows, columns = ((np.arange(size, dtype=np.float32) + 0.5) / size for size in (13, 17))
    by_matrix = separably(linear_matrix(rows, 6), picture, linear_matrix(columns, 9))
    assert np.allclose(by_matrix, sample(picture, *np.meshgrid(columns, rows)), atol=1e-5)
    assert np.allclose(by_matrix, enlarge_linearly(picture, 13, 17), atol=1e-5)


def test_a_spline_of_a_slope_is_the_slope():
    inner = slice(10, 80)
    assert (spline_matrix(30, 90) @ np.arange(30))[inner] == pytest.approx(
        ((np.arange(90) + 0.5) / 3 - 0.5)[inner], abs=1e-4
    )


def test_a_box_of_half_the_size_is_the_mean_of_pairs():
    assert np.allclose(box_matrix(8, 4, 2) @ np.arange(8), [0.5, 2.5, 4.5, 6.5])
