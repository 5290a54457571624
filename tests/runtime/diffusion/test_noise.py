"""Seeded noise: the same everywhere, and of variance 1 along the whole walk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.diffusion.noise import draw, walk

SHAPE = (1, 4, 16, 16)


def test_a_draw_is_the_same_every_time() -> None:
    first = draw(SHAPE, 7, 0).copy()
    draw.cache_clear()
    np.testing.assert_array_equal(draw(SHAPE, 7, 0), first)


def test_a_draw_has_not_changed_since_it_was_written_down() -> None:
    np.testing.assert_allclose(draw((1, 1, 1, 3), 7, 0).ravel(), [-0.50237358, 0.50684536, 2.01934862], rtol=1e-6)


@pytest.mark.parametrize("other", [(8, 0, 0), (7, 1, 0), (7, 0, 1)])
def test_another_seed_index_or_step_is_another_draw(other: tuple[int, int, int]) -> None:
    assert np.abs(draw(SHAPE, *other) - draw(SHAPE, 7, 0)).mean() > 0.5


def test_draws_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        draw(SHAPE, 7, 0)[:] = 0


@given(st.integers(0, 50))
def test_at_whole_positions_the_walk_is_at_a_draw(index: int) -> None:
    np.testing.assert_allclose(walk(SHAPE, 7, float(index)), draw(SHAPE, 7, index), atol=1e-6)


@given(st.floats(0, 100))
def test_the_walk_keeps_the_variance(position: float) -> None:
    assert 0.8 < walk(SHAPE, 7, position).var() < 1.2


@given(st.floats(0, 100))
def test_a_small_step_of_the_walk_is_a_small_change(position: float) -> None:
    step = np.abs(walk(SHAPE, 7, position + 0.001) - walk(SHAPE, 7, position)).max()
    assert step < 0.02


def test_noise_is_float32() -> None:
    assert walk(SHAPE, 7, 0.3).dtype == draw(SHAPE, 7, 0).dtype == np.float32
