"""Cells of the field in which flashes are counted, and the way back from a number per cell to one per pixel.

WCAG counts a flash where it covers a quarter of 10 degrees of the visual field, and lets fine, balanced patterns pass
(squares of 0.1 degrees). Cells are a third of a degree wide where a picture is 30 degrees wide: small enough for
stripes that swap, large enough that grain is none. What moves across them is seen by *windows* of a third of the field,
which overlap by half, and by the field as a whole. `screen/limiter.js` has the same cells.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.output.colour import LUMINANCE, to_linear, to_srgb

Plane = NDArray[np.float32]  # [rows, columns]

SATURATED = 4.0  # times G + B: R / (R + G + B) >= 0.8,
NEARLY = 3.0  # as SATURATED; from there on a colour may become one by being rounded to 8 bits
CALMED = 0.75  # R / (R + G + B) of a red that has lost its saturation: below the rule's 0.8 also in 8 bits
CELL = 4  # pixels; cells are at least so wide, or their reds waver with grain
MAX_CELLS = 96  # along the longer side
TILES = 6  # along each side; a window is two tiles wide
WINDOWS = TILES - 1  # along each side
REACH = 2  # tiles round a tile that is held back which are held back with it, see `tiled`;
HELD = 3  # cells round a cell, see `spread`,
SOFT = 2  # and over so many of them on each side it is let go: parts that stand still have no edges


@dataclass(frozen=True)
class Values:
    """Means over cells, of one picture or of both that are compared."""

    luminance: Plane  # relative, 0 to 1
    red: Plane  # R - G - B where that is a saturated red, otherwise 0; 0 to 1


def grid(height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of cells for a picture."""
    side = max(CELL, -(-max(height, width) // MAX_CELLS))
    return max(TILES, -(-height // side)), max(TILES, -(-width // side))


def starts(length: int, count: int) -> NDArray[np.intp]:
    """Return where each of `count` parts of `length` begins; parts may be empty where there is less than one each."""
    return np.arange(count) * length // count


def measure(picture: NDArray[np.float32], rows: int, columns: int) -> Values:
    """Return luminance and saturated red of a picture, linear [H, W, 3] from 0 to 1, as means over cells.

    Whether a red is saturated is asked of the bytes that will be shown.
    """
    others = picture[..., 1] + picture[..., 2]
    red = np.zeros_like(others)
    reddish = picture[..., 0] > NEARLY * others
    if reddish.any():
        shown = to_linear(to_srgb(picture[reddish]))
        others = shown[:, 1] + shown[:, 2]
        red[reddish] = np.where(shown[:, 0] >= SATURATED * others, shown[:, 0] - others, 0)
    return Values(means(picture @ LUMINANCE, rows, columns), means(red, rows, columns))


def calm(picture: NDArray[np.float32], calmness: Plane) -> None:
    """Take from the saturated reds of `picture`, linear [H, W, 3], a share [H, W] of what makes them so, in place.

    They are mixed with grey of their own luminance, in whole until they are CALMED; nothing else is touched.
    """
    luminance, total = picture @ LUMINANCE, picture.sum(axis=2)
    excess = np.maximum(picture[..., 0] - CALMED * total, 0)
    scale = np.maximum(excess + (3 * CALMED - 1) * luminance, np.float32(1e-9))
    picture += (calmness * excess / scale)[..., None] * (luminance[..., None] - picture)


def means(plane: Plane, rows: int, columns: int) -> Plane:
    """Return the means of `plane` over rows x columns parts."""
    down, across = starts(plane.shape[0], rows), starts(plane.shape[1], columns)
    sums = np.add.reduceat(_sums(plane, down), across, axis=1)
    areas = _sizes(down, plane.shape[0])[:, None] * _sizes(across, plane.shape[1])
    return np.asarray(sums / areas, np.float32)


def _sums(plane: Plane, first: NDArray[np.intp]) -> Plane:
    """Return the sums of each part's rows, as `np.add.reduceat` does, but row by row of all: five times as fast."""
    sizes = _sizes(first, len(plane))
    sums = plane[first]
    for i in range(1, sizes.max()):
        longer = sizes > i
        if longer.all():
            sums += plane[first + i]
        else:
            sums[longer] += plane[first[longer] + i]
    return np.asarray(sums, np.float32)


def _sizes(first: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Return the sizes of the parts, at least 1: an empty part is its neighbour's first row."""
    return np.maximum(np.diff(first, append=length), 1)


def windows(tiles: Plane) -> Plane:
    """Return the means of all windows and then that of the field, [WINDOWS * WINDOWS + 1], of means of tiles."""
    two = (tiles[:-1] + tiles[1:]) / 2
    return np.append((two[:, :-1] + two[:, 1:]).ravel() / 2, tiles.mean()).astype(np.float32)


def tiled(shares: NDArray[np.float32]) -> Plane:
    """Return the least share for each tile, [TILES, TILES], of windows that touch it or a neighbour, and of the field.

    Neighbours too, so that interpolating between tiles nowhere gives more than the share of the pixel's own windows.
    """
    wide = np.pad(shares[:-1].reshape(WINDOWS, WINDOWS), REACH, constant_values=1)
    return np.asarray(np.minimum(_least(wide, 2 * REACH), shares[-1]), np.float32)


def spread(shares: Plane) -> Plane:
    """Return shares of cells, smooth, and in no cell more than its own, also when they are interpolated."""
    if shares.min() >= 1:
        return shares
    plane = np.pad(_least(np.pad(shares, HELD, mode="edge"), 2 * HELD + 1), SOFT, mode="edge")
    size = 2 * SOFT + 1
    for axis in (0, 1):
        length = plane.shape[axis] - size + 1
        plane = np.add.reduce([plane.take(range(i, i + length), axis) for i in range(size)]) / np.float32(size)
    return plane


def _least(plane: Plane, size: int) -> Plane:
    """Return the least of each size x size block."""
    for axis in (0, 1):
        length = plane.shape[axis] - size + 1
        plane = np.minimum.reduce([plane.take(range(i, i + length), axis) for i in range(size)])
    return plane


class Enlargement:
    """Bilinear interpolation from cells to pixels, cells' centres in the middle, edges going on."""

    def __init__(self, cells: tuple[int, int], pixels: tuple[int, int]) -> None:
        self._above, self._below, self._down = _between(cells[0], pixels[0])
        self._left, self._right, self._across = _between(cells[1], pixels[1])

    def __call__(self, plane: Plane) -> Plane:
        """Return `plane` enlarged."""
        rows = plane.take(self._left, 1)
        rows += (plane.take(self._right, 1) - rows) * self._across
        above = rows.take(self._above, 0)
        below = rows.take(self._below, 0)
        below -= above
        below *= self._down[:, None]
        above += below
        return above


def _between(count: int, length: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return for each of `length` pixels the cells on its two sides and how far it is from the first, 0 to 1."""
    place = np.clip((np.arange(length) + 0.5) * count / length - 0.5, 0, count - 1)
    first = np.floor(place).astype(np.intp)
    return first, np.minimum(first + 1, count - 1), (place - first).astype(np.float32)
