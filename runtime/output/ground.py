"""Ground beside a picture: its edges go on over the plane, so that a screen of any shape is filled and nothing cropped.

The further from the picture, the softer and the darker. What is near the edge goes on beyond it; what stands in the
middle does not shine there. All of it is made of 32 x 32 pixels, once for each picture.
`server/page/screen/size.js` is its twin, with the same numbers.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.output.colour import fast_linear
from clavilux.runtime.output.resampling import Floats, linear_matrix, separably, spline_matrix

PLANE = 3  # the ground covers so many pictures a side
SMALL_SIDE = 32  # pixels of the picture that its ground is made of
TAPS = 8  # samples a side for each of them
PLANE_SIDE = SMALL_SIDE * PLANE
SIDE = 4 * PLANE_SIDE  # pixels of a ground
LEVELS = 5  # of softness, each twice the one before
SOFTEST = 0.03  # standard deviation of the first, in heights of the picture
SOFTENING = 0.5  # of it for each height of distance
RIM = 0.02  # standard deviation of what counts as edge, in sides of the picture
LEAST = 1e-4  # the middle counts for this, where there is nothing else
FALLOFF = 1.1  # heights from the picture at which its ground has half the light


def make_ground(encoded: Floats) -> Floats:
    """Return the ground of a picture [H, W, 3], encoded 0 to 1: linear light [SIDE, SIDE, 3], top row first."""
    height, width, _ = encoded.shape
    fine = fast_linear(separably(_samples(height), encoded, _samples(width)))
    small = fine.reshape(SMALL_SIDE, TAPS, SMALL_SIDE, TAPS, 3).mean(axis=(1, 3))
    weighted = np.concatenate([small, np.ones((SMALL_SIDE, SMALL_SIDE, 1), np.float32)], axis=-1) * _rim()
    enlarged = spline_matrix(PLANE_SIDE, SIDE)
    return separably(enlarged, _spread(weighted, width / height), enlarged)


@cache
def _samples(size: int) -> Floats:
    return linear_matrix((np.arange(SMALL_SIDE * TAPS) + 0.5) / (SMALL_SIDE * TAPS), size)


@cache
def _rim() -> Floats:
    """Return how much each small pixel counts [SMALL_SIDE, SMALL_SIDE, 1]: by its nearness to the edge."""
    place = (np.arange(SMALL_SIDE) + 0.5) / SMALL_SIDE
    edge = np.minimum(place, 1 - place) / RIM
    nearest = np.minimum(edge[:, None], edge)
    return (LEAST + np.exp(-0.5 * nearest**2)).astype(np.float32)[..., None]


def _spread(weighted: Floats, aspect: float) -> Floats:
    """Return the plane [PLANE_SIDE, PLANE_SIDE, 3] round small pixels [SMALL_SIDE, SMALL_SIDE, 4], weights last."""
    levels = np.stack([separably(_softness(level, 1.0), weighted, _softness(level, aspect)) for level in range(LEVELS)])
    level, light = _distances(aspect)
    first = np.minimum(level.astype(np.int64), LEVELS - 2)
    part = (level - first).astype(np.float32)[..., None]
    rows, columns = np.indices(first.shape)
    near, far = levels[first, rows, columns], levels[first + 1, rows, columns]
    near, far = near[..., :3] / near[..., 3:], far[..., :3] / far[..., 3:]
    plane: Floats = (near + part * (far - near)) * light[..., None]
    return plane


@cache
def _softness(level: int, aspect: float) -> Floats:
    """Return Gaussian weights [PLANE_SIDE, SMALL_SIDE] about the nearest place in the picture."""
    place = np.clip(_plane(), 0, 1)
    away = (np.arange(SMALL_SIDE) + 0.5) / SMALL_SIDE - place[:, None]
    weights = np.exp(-0.5 * (away * aspect / (SOFTEST * 2**level)) ** 2)
    shares: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


@cache
def _distances(aspect: float) -> tuple[NDArray[np.float64], Floats]:
    """Return level of softness and share of light on the plane, [PLANE_SIDE, PLANE_SIDE] each."""
    beyond = _plane() - np.clip(_plane(), 0, 1)
    away = np.hypot(beyond[:, None], beyond * aspect)
    level = np.clip(np.log2(1 + SOFTENING / SOFTEST * away), 0, LEVELS - 1)
    return level, (1 / (1 + (away / FALLOFF) ** 2)).astype(np.float32)


def _plane() -> NDArray[np.float64]:
    """Return the places of the plane's pixels along a side; 0 to 1 is the picture."""
    return (np.arange(PLANE_SIDE) + 0.5) / SMALL_SIDE - (PLANE - 1) / 2
