"""Noise spectrum: noise takes the colour of a light, so that the forms which it folds have that light's scale.

    noise = coloured(draw(shape, seed, 0), numbers)

A one-step model shows the mean over everything that its noise does not decide. A bundle that paints light therefore
paints from coloured noise: a band whose middle rises with the light's fineness, and under it, as far as the light is
turbulent, all scales at once, as turbulence has them. Over a picture the variance stays 1, and each channel keeps its
own mean, by which things stand where they stood. The same light gives the same spectrum at every size: it is counted in
waves to the picture's height. As far as the light is symmetric, the noise is its own mirror image, so that what it
folds to the left it folds to the right; near the axis, where a cell and its image are alike, it is stronger then, or
weaker in the channels that go sideways.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.diffusion.noise import Noise

COARSEST = 1.2  # waves to the height, the middle of the band of the least fine light
OCTAVES = 2.2  # from there to the middle of the finest one
WIDTH = 0.55  # octaves, standard deviation of the band
CASCADE = 0.7  # of all scales beside the band, in the most turbulent light, relative to the band's middle
TINY = 1e-12  # power of latents of one cell, that have no waves
SIDEWAYS = (0, 4, 9)  # channels that move something to the right: their mirror image moves it to the left
FINENESS, TURBULENCE, SYMMETRY = (LIGHT_NUMBERS.index(name) for name in ("fineness", "turbulence", "symmetry"))


def middle(fineness: Any) -> Any:
    """Return the middle of the band, waves to the height, of a fineness or an array of them, 0..1."""
    return COARSEST * 2 ** (OCTAVES * fineness)


def coloured(noise: Noise, numbers: NDArray[np.float32]) -> Noise:
    """Return white noise, float32 [..., C, h, w], with the spectrum of a light; `numbers` are [9], -1..1."""
    height, width = noise.shape[-2:]
    gains = _gains(height, width, float(numbers[FINENESS]), float(numbers[TURBULENCE]))
    band = np.fft.irfft2(np.fft.rfft2(noise) * gains, s=(height, width)).astype(np.float32)
    return _mirrored(band, (float(numbers[SYMMETRY]) + 1) / 2)


def _mirrored(noise: Noise, share: float) -> Noise:
    """Return noise with so much of its own mirror image, left to right, 0..1."""
    mean: Noise = noise.mean((-2, -1), keepdims=True)
    own = noise - mean
    signs = np.ones((noise.shape[-3], 1, 1), np.float32)
    signs[[channel for channel in SIDEWAYS if channel < len(signs)]] = -1
    both: Noise = mean + (own + np.float32(share) * signs * own[..., ::-1]) / np.float32(np.sqrt(1 + share * share))
    return both


@lru_cache(maxsize=64)
def _gains(height: int, width: int, fineness: float, turbulence: float) -> NDArray[np.float64]:
    """Return what each wave is multiplied by, [h, w // 2 + 1]."""
    down, across = np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None] * height
    waves = np.hypot(down, across)
    waves[0, 0] = 1.0
    band = np.exp(-0.5 * (np.log2(waves / middle((fineness + 1) / 2)) / WIDTH) ** 2)
    power = np.square(band) + np.square(CASCADE * (turbulence + 1) / 2)
    power[0, 0] = 0.0
    twice = np.full(width // 2 + 1, 2.0)  # of a real signal: waves that stand for their mirror images, too
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    whole = max((power * twice).sum(), TINY)
    gains: NDArray[np.float64] = np.sqrt(power * (height * width - 1) / whole)
    gains[0, 0] = 1.0
    return gains
