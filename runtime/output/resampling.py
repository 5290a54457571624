"""Resampling of pictures: matrices for what is separable, and samples anywhere between pixels.

Texture filters as graphics processors have them: pixel centres lie at half pixels, and beyond the edge goes the edge.
Pictures are float32 [height, width, channels]; a matrix that acts on one side is [out, in].
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def linear_matrix(places: NDArray[np.floating], size: int) -> Floats:
    """Return the weights of linear filtering [len(places), size] at places of 0 to 1 along `size` pixels."""
    low, part = _between(np.asarray(places, np.float64), size)
    matrix = np.zeros((len(places), size), np.float32)
    rows = np.arange(len(places))
    np.add.at(matrix, (rows, np.clip(low, 0, size - 1)), 1 - part)
    np.add.at(matrix, (rows, np.clip(low + 1, 0, size - 1)), part)
    return matrix


def spline_matrix(size: int, out: int) -> Floats:
    """Return the weights [out, size] of a uniform cubic B-spline that enlarges `size` pixels to `out`."""
    low, t = _between((np.arange(out) + 0.5) / out, size)
    s = 1 - t
    weights = (s**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (4 - 6 * s**2 + 3 * s**3) / 6, t**3 / 6)
    matrix = np.zeros((out, size), np.float32)
    for offset, weight in enumerate(weights, start=-1):
        np.add.at(matrix, (np.arange(out), np.clip(low + offset, 0, size - 1)), weight)
    return matrix


def box_matrix(size: int, out: int, taps: int) -> Floats:
    """Return the weights [out, size] of means over `taps` linear samples spread evenly over each of `out` cells."""
    places = (np.arange(out * taps) + 0.5) / (out * taps)
    means: Floats = linear_matrix(places, size).reshape(out, taps, size).mean(axis=1)
    return means


def blur_matrix(size: int, deviation: float, reach: int) -> Floats:
    """Return the weights [size, size] of a Gaussian blur over `reach` pixels to each side; the edge goes on."""
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / deviation) ** 2)
    matrix = np.zeros((size, size), np.float32)
    for offset, weight in zip(offsets, weights / weights.sum(), strict=True):
        np.add.at(matrix, (np.arange(size), np.clip(np.arange(size) + offset, 0, size - 1)), weight)
    return matrix


def separably(rows: Floats, picture: Floats, columns: Floats) -> Floats:
    """Return `picture` [H, W, C] with one matrix for its rows [out, H] and one for its columns [out, W]."""
    height, width, channels = picture.shape
    tall = (rows @ picture.reshape(height, -1)).reshape(len(rows), width, channels)
    wide: Floats = np.tensordot(tall, columns, axes=(1, 1)).transpose(0, 2, 1)
    return np.ascontiguousarray(wide)


def enlarge_linearly(picture: Floats, rows: int, columns: int) -> Floats:
    """Return linear samples of `picture` [H, W, C] at the centres of `rows` x `columns` pixels over all of it."""
    for axis, out in enumerate((rows, columns)):
        size = picture.shape[axis]
        low, part = _between((np.arange(out, dtype=np.float32) + np.float32(0.5)) / np.float32(out), size)
        before, after = (picture.take(np.clip(low + step, 0, size - 1), axis=axis) for step in (0, 1))
        after -= before
        after *= part.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        picture = before + after
    return picture


def sample(picture: Floats, x: Floats, y: Floats) -> Floats:
    """Return linear samples of `picture` [H, W, C] at places of 0 to 1, `x` from the left and `y` from the top."""
    height, width, channels = picture.shape
    left, across = _between(x, width)
    top, down = _between(y, height)
    left, right = np.clip(left, 0, width - 1), np.clip(left + 1, 0, width - 1)
    top, below = np.clip(top, 0, height - 1) * width, np.clip(top + 1, 0, height - 1) * width
    flat = picture.reshape(-1, channels)
    across, down = across[..., None], down[..., None]
    upper = flat.take(top + left, axis=0)
    upper += across * (flat.take(top + right, axis=0) - upper)
    lower: Floats = flat.take(below + left, axis=0)
    lower += across * (flat.take(below + right, axis=0) - lower)
    lower -= upper
    lower *= down
    lower += upper
    return lower


def _between(places: NDArray[np.floating], size: int) -> tuple[NDArray[np.int32], NDArray[np.floating]]:
    """Return the pixels before places of 0 to 1, and how far on the places lie towards the next ones."""
    pixels = places * places.dtype.type(size) - places.dtype.type(0.5)
    low = np.floor(pixels)
    return low.astype(np.int32), pixels - low
