"""Noise transport: the noise that pictures are painted from travels with their motion, and stays noise.

    journey = journey.after(motion, height, width)
    noise = carry(lambda layer: draw(shape, seed, 0, step, layer), journey)

What is painted keeps to the structure of its noise. Noise that stays in place holds a picture back, however its
latents move, and fresh noise flickers. So noise travels, as Chang et al. 2024 (How I Warped Your Noise, ICLR) let it.
To resample it again and again would blur it away: a journey is kept as one map from the picture to endless noise, and
the noise is interpolated once, each value divided by the length of its weights, so that its variance is 1 everywhere.

Flight never ends: noise lies in layers, each twice as fine as the one before, as Shepard's tones do. Two of them are
seen at any time, and each is gone before its cells have grown to twice their size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.diffusion.motion import CURRENTS, Motion, Taps, currents, gather, grid, sway, taps_at
from clavilux.runtime.diffusion.noise import QUARTER_TURN, Noise

FARTHEST_CURRENT = 0.3  # heights: currents that the sound drives one way bend the noise no further


@dataclass(frozen=True)
class Journey:
    """How far the noise has travelled: a map from the picture to the layer that is nearest to its cells' size."""

    octaves: float = 0.0  # doublings in size since the start; their whole part is the nearer layer
    angle: float = 0.0  # radians, to the left
    x: float = 0.0  # cells of the nearer layer: what lies in the middle of the picture
    y: float = 0.0
    carried: tuple[float, ...] = (0.0,) * len(CURRENTS)  # heights, by each of the currents

    @property
    def layer(self) -> int:
        """The nearer layer; the further one, twice as fine, is the next."""
        return int(self.octaves // 1)

    @property
    def size(self) -> float:
        """How large the nearer layer's cells are seen, 1 to 2 in cells of the picture."""
        return float(2 ** (self.octaves - self.layer))

    def after(self, motion: Motion, height: int, width: int) -> "Journey":
        """Return the journey after another motion of a picture whose latents are [height, width]."""
        size, angle = self.size * motion.zoom, float((self.angle + motion.angle) % (2 * np.pi))
        right, down = motion.x * width / size, -motion.y * height / size
        cosine, sine = np.cos(angle), np.sin(angle)
        octaves = self.octaves + float(np.log2(motion.zoom))
        finer = 2.0 ** (octaves // 1 - self.layer)
        driven = np.array(self.carried) + motion.current * sway(motion.time)
        return Journey(
            octaves,
            angle,
            float((self.x - cosine * right + sine * down) * finer % width),
            float((self.y - sine * right - cosine * down) * finer % height),
            tuple(float(one) for one in np.clip(driven, -FARTHEST_CURRENT, FARTHEST_CURRENT)),
        )


START = Journey()


def carry(noise: Callable[[int], Noise], journey: Journey) -> Noise:
    """Return noise as it is seen after a journey, N(0, 1), float32 [1, C, h, w]; before any it is layer 0, to the bit.

    `noise(layer)` gives white noise of that shape, which goes on beyond its edges as it begins on the other side.
    """
    if journey == START:
        return noise(0)
    near = noise(journey.layer)
    *_, height, width = near.shape
    turn = (journey.octaves - journey.layer) * QUARTER_TURN
    seen = gather(near, _seen(height, width, journey, finer=1)) * np.float32(np.cos(turn))
    if turn > 0:
        far = gather(noise(journey.layer + 1), _seen(height, width, journey, finer=2))
        seen = seen + far * np.float32(np.sin(turn))
    return seen


def _seen(height: int, width: int, journey: Journey, *, finer: int) -> Taps:
    """Return what every place of the picture sees of a layer: of the nearer one, or one that is twice as fine."""
    across, down = grid(height, width)
    if any(journey.carried):
        by_currents = currents(height, width, np.array(journey.carried))
        across, down = across - by_currents[0], down - by_currents[1]
    cosine, sine = np.cos(journey.angle) / journey.size, np.sin(journey.angle) / journey.size
    x = finer * (cosine * across - sine * down + journey.x) + (width - 1) / 2
    y = finer * (sine * across + cosine * down + journey.y) + (height - 1) / 2
    found = taps_at(x, y, _around(height), _around(width))
    return Taps(found.places, found.weights / np.sqrt(np.square(found.weights).sum(0)))


def _around(size: int) -> NDArray[np.int32]:
    return np.arange(size, dtype=np.int32)
