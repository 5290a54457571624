"""Seeded noise for the latents: the same seed gives the same draws on every machine, in any order."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Noise = NDArray[np.float32]
QUARTER_TURN = np.pi / 2
DRAWS_KEPT = 24  # a walk needs two of each layer at a time, and as many per further step


@lru_cache(maxsize=DRAWS_KEPT)
def draw(shape: tuple[int, ...], seed: int, index: int, step: int = 0, layer: int = 0) -> Noise:
    """Return draw `index` of `seed` for denoising step `step`: read-only N(0, 1), float32 of `shape`.

    Each `layer`, also below 0, has draws of its own.
    """
    layers = (2 * abs(layer) - (layer < 0),) if layer else ()
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, index, step, *layers))))
    noise = generator.standard_normal(shape, np.float32)
    noise.flags.writeable = False
    return noise


def walk(shape: tuple[int, ...], seed: int, position: float, step: int = 0, layer: int = 0) -> Noise:
    """Return the noise at `position` on a walk through the draws of `seed`: at k it is draw k.

    Between two draws it turns from one to the other on a quarter circle, which keeps the variance at 1.
    """
    index = int(position // 1)
    angle = (position - index) * QUARTER_TURN
    here, there = (draw(shape, seed, one, step, layer) for one in (index, index + 1))
    return here * np.float32(np.cos(angle)) + there * np.float32(np.sin(angle))
