"""Caustics of the light, drawn in NumPy for films: the same numbers that `server/page/screen/light.js` draws.

A mesh of rays for each sheet; the triangles between them are filled as graphics processors fill them, each ray as
bright as its piece of the source is large beside its piece of the wall.
"""

from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.output.light_sheets import Sheet, Wave, rise, sheets
from clavilux.runtime.output.light_state import RINGS, LightSettings

Floats = NDArray[np.float64]
Picture = NDArray[np.float32]

MESH = 128  # rays along a side of a sheet
REACH = 2  # rays, of the triangles whose area tells how bright a ray is
SHARPEST = 0.2  # of the unfolded area: rays never pile up more than this lets them
EXPOSURE = 2.6
BRIGHTEST = np.nextafter(np.float32(1), np.float32(0))
TOE = 0.3  # light below this is held back, in each colour, so that folds stand in the dark
SHADED, TURNED = 0.7, 0.8  # how much waves and the side of a sheet that is seen move its colour
CLOSE_GLOW, WIDE_GLOW = 0.05, 0.17  # heights, of the two blurs of the glow
CLOSE_SHARE, WIDE_SHARE = 0.22, 0.2
SOFTEST_PIXELS = 0.9  # so that no fold has steps
SOFT_FINE, SOFT_COARSE, SOFT_TURBULENT = 0.0022, 0.008, 0.003  # heights, of the soft focus
SYMMETRY_LOSS = 0.85  # of light, as a power of the number of copies
GAUSSIANS = 8  # blurs that are kept: the glow's, and the newest of the soft focus, which changes all the time
PUSH_ACROSS = 0.26  # half sheets that a whole push displaces rays outwards


def draw_light(settings: LightSettings, height: int, width: int, *, mesh: int = MESH) -> Picture:
    """Return the light, linear float32 [height, width, 3] in 0 to below 1, rows from the top. It is to be added."""
    caustics = np.zeros((3, height, width))
    middle = rise(settings)
    for sheet in sheets(settings):
        x, y, colours = _fold(sheet, settings.ripple, mesh)
        _fill(caustics, (x * height / width + 1) * width / 2, (1 - y - middle) * height / 2, colours)
    soft = SOFT_COARSE + (SOFT_FINE - SOFT_COARSE) * settings.fineness**0.5 + SOFT_TURBULENT * settings.turbulence
    figure = _blur(caustics, max(soft * height, SOFTEST_PIXELS))
    figure = _symmetrical(figure, settings.symmetry, middle)
    glow = CLOSE_SHARE * _blur(figure, CLOSE_GLOW * height) + WIDE_SHARE * _blur(figure, WIDE_GLOW * height)
    light = figure + glow
    light = settings.amount * -np.expm1(-EXPOSURE * light * light / (light + TOE))
    return np.minimum(light.transpose(1, 2, 0), BRIGHTEST, dtype=np.float32, order="C", casting="same_kind")


@cache
def _source(mesh: int) -> tuple[Floats, Floats, Floats]:
    """Return coordinates along a side, distance from the middle, and the soft source, each of the whole sheet."""
    side = np.linspace(-1.0, 1.0, mesh)
    square = side[:, None] ** 2 + side[None, :] ** 2
    soft = np.exp(-2.2 * square**2) * (1 - side[:, None] ** 8) * (1 - side[None, :] ** 8)
    return side, np.sqrt(square), soft


def _field(waves: tuple[Wave, ...], u: Floats, v: Floats) -> Floats:
    total = np.zeros(np.broadcast_shapes(u.shape, v.shape))
    for along, up, phase, size in waves:
        total += size * np.sin(along * u + up * v + phase)
    return total


def _pushed(ripple: tuple[float, ...], distance: Floats) -> Floats:
    """Return the ripple at a distance from the middle: a uniform cubic B-spline through its rings."""
    at = distance * (RINGS - 1) / 1.1
    total = np.zeros_like(distance)
    for ring, value in enumerate(ripple):
        gap = np.abs(at - ring)
        total += value * (np.maximum(2 - gap, 0) ** 3 - 4 * np.maximum(1 - gap, 0) ** 3) / 6
    return total


def _fold(sheet: Sheet, ripple: tuple[float, ...], mesh: int) -> tuple[Floats, Floats, Floats]:
    """Return where the rays meet the wall (x, y in half heights) and their light [3, mesh, mesh]."""
    side, distance, soft = _source(mesh)
    push = 1 + PUSH_ACROSS * _pushed(ripple, distance)
    u, v = side[None, :] * push, side[:, None] * push
    x = sheet.middle[0] + sheet.stretch[0] * u + _field(sheet.across, u, v)
    y = sheet.middle[1] + sheet.stretch[1] * v + _field(sheet.up, u, v)
    whole, turned = _areas(x, y)
    even = 6 * (2 / (mesh - 1)) ** 2
    piled = sheet.light * soft * even / (whole + SHARPEST * even)
    mixed = SHADED * _field(sheet.shade, side[None, :], side[:, None]) + TURNED * turned / (whole + 1e-9)
    mixed = 0.5 + 0.5 * mixed / np.sqrt(1 + mixed * mixed)
    one, other = (np.array(tone)[:, None, None] for tone in sheet.colours)
    return x, y, piled * (one + mixed * (other - one))


def _areas(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return twice the area of the six triangles round each ray; and where the sheet is turned over, less than 0.

    They reach two rays far, so that a fold, which runs between rays, is as bright in one place as in the next.
    """
    x, y = np.pad(x, REACH, mode="edge"), np.pad(y, REACH, mode="edge")
    rows, columns = x.shape
    inner = (slice(REACH, -REACH), slice(REACH, -REACH))
    around = ((0, 1), (1, 0), (1, -1), (0, -1), (-1, 0), (-1, 1), (0, 1))  # rows and columns, once round
    arms = []
    for row, column in around:
        there = (
            slice(REACH * (1 + row), rows - REACH * (1 - row)),
            slice(REACH * (1 + column), columns - REACH * (1 - column)),
        )
        arms.append((x[there] - x[inner], y[there] - y[inner]))
    crosses = [(x0 * y1 - y0 * x1) / REACH**2 for (x0, y0), (x1, y1) in pairwise(arms)]
    return sum(map(np.abs, crosses)), sum(crosses)  # type: ignore[return-value]


def _fill(picture: Floats, x: Floats, y: Floats, colours: Floats) -> None:
    """Add the mesh's triangles to `picture` [3, height, width]; x and y in pixels from the upper left corner."""
    corners = (
        ((slice(None, -1), slice(None, -1)), (slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))),
        ((slice(1, None), slice(1, None)), (slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))),
    )
    xs = np.stack([np.concatenate([x[half[i]].ravel() for half in corners]) for i in range(3)])
    ys = np.stack([np.concatenate([y[half[i]].ravel() for half in corners]) for i in range(3)])
    lights = np.stack(
        [np.concatenate([colours[(slice(None), *half[i])].reshape(3, -1) for half in corners], 1) for i in range(3)]
    )
    _triangles(picture, xs, ys, lights)


def _triangles(picture: Floats, xs: Floats, ys: Floats, lights: Floats) -> None:
    """Add triangles (corners first: [3, n], lights [3, 3, n]), as graphics processors do: where pixels are inside.

    Each row that a triangle crosses is a span; spans are summed as differences along the row.
    """
    height, width = picture.shape[1:]
    top = np.maximum(np.ceil(ys.min(0) - 0.5), 0).astype(np.int64)
    below = np.minimum(np.ceil(ys.max(0) - 0.5), height).astype(np.int64)
    doubled = (xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0])
    inside = (below > top) & (xs.max(0) > 0) & (xs.min(0) < width) & (np.abs(doubled) > 1e-9)
    rows = (below - top)[inside]
    which = np.repeat(np.flatnonzero(inside), rows)
    row = np.arange(len(which)) - np.repeat(np.cumsum(rows) - rows, rows) + top[which]
    at = row + 0.5
    left, right = np.full(len(which), np.inf), np.full(len(which), -np.inf)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        y0, y1 = ys[one][which], ys[other][which]
        crosses = (y0 <= at) != (y1 <= at)
        cross = xs[one][which] + (xs[other] - xs[one])[which] * (at - y0) / np.where(crosses, y1 - y0, 1)
        left = np.where(crosses, np.minimum(left, cross), left)
        right = np.where(crosses, np.maximum(right, cross), right)
    first = np.clip(np.ceil(left - 0.5), 0, width)
    last = np.clip(np.ceil(right - 0.5), 0, width)
    some = last > first
    which, row, first, last = which[some], row[some], first[some].astype(np.int64), last[some].astype(np.int64)
    starts, ends = row * (width + 1) + first, row * (width + 1) + last
    x0, y0 = xs[0][which], ys[0][which]
    x1, y1, x2, y2 = xs[1][which] - x0, ys[1][which] - y0, xs[2][which] - x0, ys[2][which] - y0
    scale = 1 / doubled[which]
    for channel in range(3):
        c0 = lights[0, channel][which]
        c1, c2 = lights[1, channel][which] - c0, lights[2, channel][which] - c0
        slope = (c1 * y2 - c2 * y1) * scale
        down = (c2 * x1 - c1 * x2) * scale
        value = c0 + slope * (0.5 - x0) + down * (row + 0.5 - y0)
        size = height * (width + 1)
        flat = np.bincount(starts, value, size) - np.bincount(ends, value, size)
        tilt = np.bincount(starts, slope, size) - np.bincount(ends, slope, size)
        flat, tilt = (np.cumsum(part.reshape(height, width + 1), 1)[:, :width] for part in (flat, tilt))
        picture[channel] += flat + tilt * np.arange(width)


@lru_cache(maxsize=GAUSSIANS)
def _gaussian(size: int, sigma: float) -> Floats:
    """Return the matrix that blurs `size` pixels; what would lie outside is like the last pixel inside."""
    reach = int(np.ceil(3 * sigma)) + 1
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    matrix = np.zeros((size, size))
    for offset, tap in zip(range(-reach, reach + 1), taps, strict=True):
        np.add.at(matrix, (np.arange(size), np.clip(np.arange(size) + offset, 0, size - 1)), tap)
    return matrix


def _blur(picture: Floats, sigma: float) -> Floats:
    """Return [3, height, width], blurred with a Gaussian of `sigma` pixels."""
    height, width = picture.shape[1:]
    return _gaussian(height, sigma) @ picture @ _gaussian(width, sigma).T


def _symmetrical(figure: Floats, symmetry: float, middle: float) -> Floats:
    """Return the figure with its copies turned round its middle: three, then six, which fade in."""
    third, sixth = _smooth(2 * symmetry), _smooth(2 * symmetry - 1)
    if third == 0:
        return figure
    total = figure.copy()
    for part, turns in ((third, (2, 4)), (sixth, (1, 3, 5))):
        for turn in turns if part > 0 else ():
            total += part * _turned(figure, turn * np.pi / 3, middle)
    return total / float((1 + 2 * third + 3 * sixth) ** SYMMETRY_LOSS)


def _turned(figure: Floats, angle: float, middle: float) -> Floats:
    """Return the figure turned by an angle about a point above the middle of the wall; its cut edges are made soft."""
    height, width = figure.shape[1:]
    aspect = width / height
    x = ((np.arange(width) + 0.5) / width * 2 - 1)[None, :] * aspect
    y = (1 - (np.arange(height) + 0.5) / height * 2)[:, None] - middle
    across = 0.5 + 0.5 * (np.cos(angle) * x - np.sin(angle) * y) / aspect
    down = 0.5 - 0.5 * (np.sin(angle) * x + np.cos(angle) * y + middle)
    window = _smooth(np.minimum(across, 1 - across) / 0.25) * _smooth(np.minimum(down, 1 - down) / 0.25)
    column, row = np.clip(across * width - 0.5, 0, width - 1), np.clip(down * height - 0.5, 0, height - 1)
    left, upper = column.astype(np.int64), row.astype(np.int64)
    right, lower = np.minimum(left + 1, width - 1), np.minimum(upper + 1, height - 1)
    column, row = column - left, row - upper
    above = figure[:, upper, left] * (1 - column) + figure[:, upper, right] * column
    below = figure[:, lower, left] * (1 - column) + figure[:, lower, right] * column
    return np.asarray((above * (1 - row) + below * row) * window)


def _smooth(value: Any) -> Any:
    part = np.clip(value, 0, 1)
    return part * part * (3 - 2 * part)
