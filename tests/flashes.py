"""Strobes, and a count of flashes after WCAG 2.3.1 that shares nothing with the limiter: per pixel, on 8-bit pictures.

A turn is a change of 10 % of the largest luminance against the one before, the darker side below 0.80, or a change to
or from a saturated red by more than 0.2 in u'v'; two turns are a flash. What counts is what a quarter of the pixels
reach, or the mean of the field, so that a strobe that moves is seen.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # [H, W, 3]
Light = NDArray[np.float64]  # linear, [frames, H, W, 3]
Marks = NDArray[np.bool_]  # [frames, pixels], true where one turns

AREA = 0.25  # of the field
LUMINANCE = np.array((0.2126, 0.7152, 0.0722))
STEP, DARK = 0.10, 0.80  # of luminance
RED_STEP = 20 / 320  # of the mean of R - G - B over saturated reds, as PEAT and IRIS count
FAR = 0.2  # in u'v'
DARK_RED = 0.07  # R - G - B; below, a red is almost black


def linear(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return sRGB as linear light (IEC 61966-2-1)."""
    s = picture.astype(np.float32) / 255
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4).astype(np.float32)


def srgb(picture: NDArray[np.float32]) -> Picture:
    """Return linear light as sRGB, rounded."""
    c = np.clip(picture, 0, 1)
    return np.rint(255 * np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055)).astype(np.uint8)


def most_flashes(pictures: list[Picture], times: list[float]) -> float:
    """Return the largest number of flashes in any second, half ones too."""
    light = linear(np.stack(pictures)).astype(np.float64)
    luminance, red = light @ LUMINANCE, np.where(saturated(light), 2 * light[..., 0] - light.sum(-1), 0)
    turns = (
        zigzag(luminance.reshape(len(light), -1), STEP, DARK),
        zigzag(luminance.mean((1, 2))[:, None], STEP, DARK),
        zigzag(red.mean((1, 2))[:, None], RED_STEP),
        red_turns(light),
    )
    return max(most_per_second(one, times) for one in turns) / 2


def most_per_second(turned: Marks, times: list[float]) -> int:
    """Return the largest number of turns within a second that a quarter of the pixels reach."""
    counts = turned.cumsum(axis=0)
    first = np.searchsorted(times, np.array(times) - 1, side="right")
    before = np.where((first > 0)[:, None], counts[first - 1], 0)
    reached = np.sort(counts - before, axis=1)
    return int(reached[:, -math.ceil(AREA * reached.shape[1])].max())


def zigzag(values: NDArray[np.float64], step: float, dark: float = math.inf) -> Marks:
    """Return where `values`, [frames, pixels], turn: the most opposing changes of `step` or more that there are."""
    low, high = values[0].copy(), values[0].copy()
    way = np.zeros(len(low))
    turns = []
    for value in values:
        low, high = np.minimum(low, value), np.maximum(high, value)
        up = (way <= 0) & (value >= low + step) & (low < dark)
        down = (way >= 0) & (value <= high - step) & (value < dark) & ~up
        way = np.where(up, 1, np.where(down, -1, way))
        low, high = np.where(up | down, value, low), np.where(up | down, value, high)
        turns.append(up | down)
    return np.stack(turns)


def red_turns(light: Light) -> Marks:
    """Return where pixels become saturated red or leave it, further than 0.2 in u'v' from where they were before."""
    red, place = saturated(light).reshape(len(light), -1), chromaticity(light).reshape(len(light), -1, 2)
    was, base = red[0], place[0]
    turns = []
    for now, here in zip(red, place, strict=True):
        turned = (now != was) & (np.linalg.norm(here - base, axis=-1) > FAR)
        base = np.where((turned | (now == was))[:, None], here, base)
        was = np.where(turned, now, was)
        turns.append(turned)
    return np.stack(turns)


def saturated(light: Light) -> NDArray[np.bool_]:
    """Return which pixels are R / (R + G + B) >= 0.8, and not almost black."""
    total = light.sum(-1)
    return (light[..., 0] >= 0.8 * total) & (2 * light[..., 0] - total >= DARK_RED)


def chromaticity(light: Light) -> NDArray[np.float64]:
    """Return CIE 1976 u' and v', those of white for black."""
    xyz = light @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    total = xyz @ np.array((1, 15, 3))
    black = total < 1e-4
    safe = np.where(black, 1, total)
    return np.where(black[..., None], (0.1978, 0.4683), xyz[..., :2] * (4, 9) / safe[..., None])


@dataclass(frozen=True)
class Strobe:
    """A flickering sequence of small pictures."""

    kind: str  # one of KINDS
    hertz: float  # flashes per second
    rate: int = 60  # frames per second
    seconds: float = 4.0
    size: tuple[int, int] = (18, 32)  # rows and columns

    @property
    def times(self) -> list[float]:
        """Times of the pictures in seconds."""
        return [i / self.rate for i in range(int(self.seconds * self.rate))]

    def __iter__(self) -> Iterator[Picture]:
        for time in self.times:
            half = int(time * 2 * self.hertz + 1e-6)
            yield KINDS[self.kind](self.size, half % 2 == 1, half // 2)

    def __str__(self) -> str:
        return f"{self.kind}, {self.hertz:g} Hz, {self.rate} frames/s"


Size = tuple[int, int]
Draw = Callable[[Size, bool, int], Picture]  # size, lit or not, how many flashes before


def _plain(on: tuple[int, int, int], off: tuple[int, int, int]) -> Draw:
    return lambda size, lit, _: np.full((*size, 3), on if lit else off, np.uint8)


def _quarter(size: Size, lit: bool, _: int) -> Picture:
    """The middle quarter of a grey field, white and black."""
    picture = np.full((*size, 3), 90, np.uint8)
    (rows, columns), (y, x) = (size[0] // 2 + 1, size[1] // 2 + 1), (size[0] // 4, size[1] // 4)
    picture[y : y + rows, x : x + columns] = 255 * lit
    return picture


def _moving(size: Size, lit: bool, count: int) -> Picture:
    """A white quarter of the field, on and off, elsewhere each time."""
    picture = np.zeros((*size, 3), np.uint8)
    rows, columns = size[0] // 2, size[1] // 2
    y, x = (count // 2 % 2) * rows, (count % 2) * columns
    picture[y : y + rows, x : x + columns] = 255 * lit
    return picture


def _stripes(size: Size, lit: bool, _: int) -> Picture:
    """Three pairs of black and white stripes that swap."""
    stripe = (np.arange(size[1]) * 6 // size[1]) % 2 == lit
    return np.broadcast_to(255 * stripe[None, :, None], (*size, 3)).astype(np.uint8)


WHITE, BLACK, RED, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255)
KINDS: dict[str, Draw] = {
    "black and white": _plain(WHITE, BLACK),
    "two greys": _plain((170, 170, 170), (120, 120, 120)),
    "red and black": _plain(RED, BLACK),
    "red and grey": _plain(RED, (128, 128, 128)),
    "red and blue": _plain(RED, BLUE),
    "quarter": _quarter,
    "moving quarter": _moving,
    "swapping stripes": _stripes,
}
