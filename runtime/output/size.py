"""Upscaling of a picture of few pixels for a large screen.

Once for each picture: sharpened without overshoot, then enlarged by a kernel of two lobes that is drawn out along
edges, so that it leaves no stairs and no rings. The idea of edge-directed kernels is that of AMD's FSR 1 (Lottes,
2021); the kernel and the rest are not.
`server/page/screen/size.js` is its twin, with the same numbers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.output.colour import BYTE, fast_linear
from clavilux.runtime.output.ground import make_ground
from clavilux.runtime.output.resampling import Floats

SHARPEN = 0.6  # times the difference from the neighbours
NOISE = 0.0008  # squared gradient below which no edge is believed
ALONG = 0.75  # how much less distance counts along an edge than across it, at most
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of encoded colours (ITU-R BT.601)
MAX_SIDE = 2560  # pixels a side of an enlarged picture
STRIP = 32  # rows that are enlarged at a time: they stay in the processor's cache


@dataclass(frozen=True)
class Plate:
    """One picture as it is shown, in linear light, top row first."""

    picture: Floats  # [rows, columns, 3], as large as it is on the screen
    ground: Floats  # [ground.SIDE, ground.SIDE, 3], ground.PLANE pictures a side

    def mixed(self, newest: "Plate", share: float) -> "Plate":
        """Return this plate with `share` of a newer one of its size over it."""
        return Plate(_mix(self.picture, newest.picture, share), _mix(self.ground, newest.ground, share))


def _mix(before: Floats, newest: Floats, share: float) -> Floats:
    mixed: Floats = before + np.float32(share) * (newest - before)
    return mixed


def make_plate(picture: NDArray[np.uint8], rows: int) -> Plate:
    """Return the plate of a picture, uint8 [H, W, 3] sRGB, that is `rows` pixels high on the screen."""
    height, width, _ = picture.shape
    sharp = sharpen(picture.astype(np.float32) / np.float32(BYTE))
    return Plate(fast_linear(enlarge(sharp, *enlarged_size(height, width, rows))), make_ground(sharp))


def enlarged_size(height: int, width: int, rows: int) -> tuple[int, int]:
    """Return the rows and columns of a picture that is `rows` high on the screen: never fewer than it has."""
    most = min(MAX_SIDE, MAX_SIDE * height / width)
    tall = min(max(rows, height), most)
    return max(round(tall), 1), max(round(tall * width / height), 1)


def sharpen(encoded: Floats) -> Floats:
    """Return a picture [H, W, 3], encoded 0 to 1, with steeper edges: nothing beyond its neighbours, so no halos."""
    padded = np.pad(encoded, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = (padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1])
    least, most = encoded, encoded
    for neighbour in around:
        least, most = np.minimum(least, neighbour), np.maximum(most, neighbour)
    mean = (around[0] + around[1] + around[2] + around[3]) / np.float32(4)
    steeper: Floats = np.clip(encoded + np.float32(SHARPEN) * (encoded - mean), least, most)
    return steeper


def edge_metric(encoded: Floats) -> Floats:
    """Return how distance counts at each pixel [H, W, 3]: for x², y² and xy, y downwards; less along edges.

    From the structure tensor (Förstner and Gülch, 1987) of luma, softened over 3 x 3 pixels.
    """
    height, width, _ = encoded.shape
    luma = np.pad(encoded @ LUMA, 2, mode="edge")
    across = 0.5 * (luma[1:-1, 2:] - luma[1:-1, :-2])
    down = 0.5 * (luma[2:, 1:-1] - luma[:-2, 1:-1])
    products = np.stack([across * across, down * down, across * down], axis=-1)
    tensor = np.zeros((height, width, 3), np.float32)
    for row, tall in enumerate((0.25, 0.5, 0.25)):
        for column, wide in enumerate((0.25, 0.5, 0.25)):
            tensor += np.float32(tall * wide) * products[row : row + height, column : column + width]
    return _metric(tensor)


def _metric(tensor: Floats) -> Floats:
    energy, difference, both = tensor[..., 0] + tensor[..., 1], tensor[..., 0] - tensor[..., 1], 2 * tensor[..., 2]
    root = np.sqrt(difference**2 + both**2)
    less = np.float32(ALONG) * root / (energy + np.float32(NOISE))
    turn = less / np.maximum(root, np.float32(1e-20))
    whole = 1 - 0.5 * less
    return np.stack([whole + 0.5 * turn * difference, whole - 0.5 * turn * difference, turn * both], axis=-1)


def enlarge(encoded: Floats, rows: int, columns: int) -> Floats:
    """Return a picture [H, W, 3] as [rows, columns, 3], each value within those of its four neighbours."""
    height, width, _ = encoded.shape
    if rows == height:
        return encoded
    metric = edge_metric(encoded)
    top, down = _places(rows, height)
    left, across = _places(columns, width)
    wide = encoded[:, np.clip(left[None, :] + np.arange(-1, 3)[:, None], 0, width - 1)]  # [H, 4, columns, 3]
    metric = _stretch(metric, left, across)
    result = np.empty((rows, columns, 3), np.float32)
    for start in range(0, rows, STRIP):
        strip = slice(start, min(start + STRIP, rows))
        _enlarge_strip(result[strip], wide, metric, (top[strip], down[strip], across))
    return result


def _places(out: int, size: int) -> tuple[NDArray[np.int32], Floats]:
    places = (np.arange(out) + 0.5) * size / out - 0.5
    low = np.floor(places)
    return low.astype(np.int32), (places - low).astype(np.float32)


def _stretch(metric: Floats, left: NDArray[np.int32], across: Floats) -> Floats:
    last = metric.shape[1] - 1
    before, after = metric[:, np.clip(left, 0, last)], metric[:, np.clip(left + 1, 0, last)]
    return before + across[None, :, None] * (after - before)


def _enlarge_strip(
    result: Floats, wide: Floats, metric: Floats, places: tuple[NDArray[np.int32], Floats, Floats]
) -> None:
    top, down, across = places
    last = len(wide) - 1
    rows = np.clip(top[:, None] + np.arange(-1, 3), 0, last)
    upper, lower = metric[rows[:, 1]], metric[rows[:, 2]]
    along = upper + down[:, None, None] * (lower - upper)
    square_x, square_y, product = np.moveaxis(along, -1, 0)
    taps = [[wide[rows[:, j], i] for i in range(4)] for j in range(4)]
    total, weights = np.zeros_like(result), np.zeros(result.shape[:2], np.float32)
    for j in range(4):
        y = (j - 1 - down)[:, None]
        for i in range(4):
            x = (i - 1 - across)[None, :]
            weight = _kernel(x * x * square_x + y * y * square_y + x * y * product)
            weights += weight
            total += weight[..., None] * taps[j][i]
    nearest = (taps[1][1], taps[1][2], taps[2][1], taps[2][2])
    least = np.minimum(np.minimum(nearest[0], nearest[1]), np.minimum(nearest[2], nearest[3]))
    most = np.maximum(np.maximum(nearest[0], nearest[1]), np.maximum(nearest[2], nearest[3]))
    np.clip(total / weights[..., None], least, most, out=result)


def _kernel(squared: Floats) -> Floats:
    """Return weights by squared distance: near those of Lanczos' kernel of two lobes, without a sine."""
    inner = np.maximum(1 - np.float32(0.25) * squared, 0)
    inner *= inner
    inner *= inner
    weights: Floats = (1 - squared) * inner
    return weights
