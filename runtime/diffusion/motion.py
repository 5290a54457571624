"""Image warping of latents: zoom, rotation, pan and slow currents of the last picture before it comes back as feedback.

    motion = motion_of(parameters, seconds=1 / 30, time=12.3)
    latents = warp(latents, motion)

What Deforum made known with pictures, done where feedback lies. Each value of the result is a sum over sixteen of the
old ones: bicubic convolution (Keys 1981, IEEE TASSP 29(6), with a = -1/2, which is Catmull and Rom's spline), mirrored
at the edges. Interpolation still smooths, thirty times a second, so that the spread of each channel is put back to what
it was. The places and their weights do not depend on the latents: on a card they alone go up (`warp.onnx`).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.control.parameters import Parameters

Latents = NDArray[np.float32]
Field = NDArray[np.floating[Any]]

MAX_STEP = 0.5  # s of motion between two pictures: after a stall it goes on, it does not leap
TAPS = 4  # values in a row, and rows, that a new one is made of
GAIN = 0.8, 1.25  # how far the spread of a channel is put back in one step: what really leaves the picture may leave it
OFFSETS = np.arange(-1, TAPS - 1, dtype=np.int32)[:, None, None]
TINY_VARIANCE = 1e-12  # of a channel that is the same everywhere
CURRENT_SPEED = 0.25  # heights per second: the fastest place of the currents at drift 1, about
CURRENTS = ((1, 1, 0.11), (2, 1, 0.17), (1, 2, 0.13), (3, 2, 0.23), (2, 3, 0.19))
"""Eddies: how many across, how many down, and how often a second they turn round; none is a multiple of another."""


@dataclass(frozen=True)
class Motion:
    """Motion between two pictures, in the picture's own frame; the plain one moves nothing."""

    zoom: float = 1.0  # factor; above 1 all grows from the middle
    angle: float = 0.0  # radians, to the left
    x: float = 0.0  # widths, to the right
    y: float = 0.0  # heights, upwards
    current: float = 0.0  # heights, where the currents are fastest, about
    time: float = 0.0  # s, when the currents are looked at

    @property
    def is_still(self) -> bool:
        """Whether nothing moves, to the bit."""
        return (self.zoom, self.angle, self.x, self.y, self.current) == (1.0, 0.0, 0.0, 0.0, 0.0)

    def and_then(self, other: "Motion | None") -> "Motion":
        """Return both in one, near enough where they are small."""
        if other is None:
            return self
        zoom, angle, current = self.zoom * other.zoom, self.angle + other.angle, self.current + other.current
        return Motion(zoom, angle, self.x + other.x, self.y + other.y, current, other.time)


@dataclass(frozen=True, eq=False)
class Taps:
    """Where the values of a warped channel come from."""

    places: NDArray[np.int32]  # in a channel read row by row, [16, h, w]
    weights: NDArray[np.float32]  # [16, h, w]; each place's sixteen sum to 1


def motion_of(parameters: Parameters, seconds: float, time: float) -> Motion | None:
    """Return what moves in `seconds` at `time`, s, as the parameters want it; None where nothing does."""
    seconds = min(seconds, MAX_STEP)
    motion = Motion(
        zoom=float(np.exp(parameters.motion_zoom * seconds)),
        angle=float(np.radians(parameters.motion_rotation * seconds)),
        x=parameters.motion_x * seconds,
        y=parameters.motion_y * seconds,
        current=parameters.motion_drift * CURRENT_SPEED * seconds,
        time=time,
    )
    return None if motion.is_still else motion


def warp(latents: Latents, motion: Motion) -> Latents:
    """Return the latents, float32 [1, C, h, w], moved; the same array where nothing moves.

    Each channel keeps its spread, as far as GAIN allows.
    """
    if motion.is_still:
        return latents
    *_, height, width = latents.shape
    return _spread_again(gather(latents, taps(height, width, motion)), latents)


def taps(height: int, width: int, motion: Motion) -> Taps:
    """Return where each value of a channel [height, width] comes from; beyond the edges it is mirrored."""
    return taps_at(*_sources(height, width, motion), _mirror(height), _mirror(width))


def taps_at(columns: Field, rows: Field, down: NDArray[np.int32], across: NDArray[np.int32]) -> Taps:
    """Return the taps of values that come from these columns and rows, [h, w] each, of a channel.

    `down` and `across` say which row and which column stands for 0, 1, 2 ... and after the last one for 0 again.
    """
    places_x, weights_x = _neighbours(columns, across)
    places_y, weights_y = _neighbours(rows, down)
    whole = TAPS * TAPS, *places_x.shape[1:]
    places = places_y[:, None] * np.int32(across.max() + 1) + places_x[None]
    return Taps(places.reshape(whole), (weights_y[:, None] * weights_x[None]).reshape(whole))


def gather(channels: Latents, found: Taps) -> Latents:
    """Return channels, float32 [1, C, h, w], of values that are the weighted sums of their taps."""
    flat = channels.reshape(channels.shape[1], -1)
    gathered = np.zeros((1, len(flat), *found.places.shape[1:]), np.float32)
    for row in range(0, TAPS * TAPS, TAPS):  # a row at a time stays in the cache, and in memory that is here already
        places, weights = found.places[row : row + TAPS], found.weights[row : row + TAPS]
        gathered += np.einsum("ckhw,khw->chw", np.take(flat, places, axis=1), weights)
    return gathered


def grid(height: int, width: int) -> tuple[Field, Field]:
    """Return how far to the right and down of the middle each place is, in cells, [1, width] and [height, 1]."""
    across, down = (np.arange(size) - (size - 1) / 2 for size in (width, height))
    return across[None, :], down[:, None]


def currents(height: int, width: int, strengths: Field) -> Field:
    """Return how far eddies of these strengths, heights [eddies], carry right and down, in cells [2, height, width].

    They are the curl of standing waves, so that nothing gathers anywhere and nothing crosses the edges.
    """
    return np.tensordot(strengths * height, _eddies(height, width), 1)


def sway(time: float) -> Field:
    """Return how fast each of the CURRENTS turns at `time`, s: -1 to 1."""
    turns = [often * time + number / len(CURRENTS) for number, (*_, often) in enumerate(CURRENTS)]
    return np.sin(2 * np.pi * np.array(turns))


def _spread_again(moved: Latents, before: Latents) -> Latents:
    """Return `moved` with the spread that each channel had before, round its own mean."""
    mean, variance = moved.mean((2, 3), keepdims=True), moved.var((2, 3), keepdims=True)
    ratio = before.var((2, 3), keepdims=True) / np.maximum(variance, np.float32(TINY_VARIANCE))
    least, most = map(np.float32, GAIN)
    gain = np.clip(np.sqrt(ratio), least, most)
    return np.asarray((moved - mean) * gain + mean, np.float32)


def _sources(height: int, width: int, motion: Motion) -> tuple[Field, Field]:
    """Return the column and the row, [height, width] each, that every place of the moved picture shows."""
    across, down = grid(height, width)
    cosine, sine = np.cos(motion.angle) / motion.zoom, np.sin(motion.angle) / motion.zoom
    x, y = across - motion.x * width, down + motion.y * height
    columns, rows = cosine * x - sine * y, sine * x + cosine * y
    if motion.current:
        carried = currents(height, width, motion.current * sway(motion.time))
        columns, rows = columns - carried[0], rows - carried[1]
    return columns + (width - 1) / 2, rows + (height - 1) / 2


def _neighbours(position: Field, cells: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the four cells round each position and their weights, [4, ...] each."""
    first = np.floor(position)
    found = cells.take(first.astype(np.int32) + OFFSETS, mode="wrap")
    return found, _cubic((position - first).astype(np.float32))


@lru_cache(maxsize=4)
def _mirror(size: int) -> NDArray[np.int32]:
    """Return the cells forth and back, int32 [2 * size]."""
    forth = np.arange(size, dtype=np.int32)
    return np.concatenate([forth, forth[::-1]])


def _cubic(part: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return Keys' weights, [4, ...], of the four cells round a place, `part` of the way from second to third."""
    square = part * part
    cube = square * part
    weights = np.stack(
        [2 * square - cube - part, 3 * cube - 5 * square + 2, 4 * square - 3 * cube + part, cube - square]
    )
    weights *= np.float32(0.5)
    return weights


@lru_cache(maxsize=4)
def _eddies(height: int, width: int) -> Field:
    """Return the speed of each of the CURRENTS to the right and down, [eddies, 2, height, width]."""
    x = (np.arange(width) + 0.5) / width * np.pi
    y = ((np.arange(height) + 0.5) / height * np.pi)[:, None]
    speeds = []
    for across, down, _ in CURRENTS:
        size = np.hypot(across, down) * np.sqrt(len(CURRENTS) / 2)
        right, fall = down * np.sin(across * x) * np.cos(down * y), -across * np.cos(across * x) * np.sin(down * y)
        speeds.append(np.stack([right, fall]) / size)
    return np.stack(speeds)
