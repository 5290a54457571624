"""Timbre: where the middle of a sound lies, and how much it is like noise."""

import math

import numpy as np

from clavilux.runtime.hearing.pulse.filters import COUNT, WIDTHS
from clavilux.runtime.hearing.pulse.spectrum import FREQUENCIES, Floats
from clavilux.runtime.pulse import PULSE_RATE

DARK_HZ, BRIGHT_HZ = 100.0, 8000.0  # brightness 0 and 1
OCTAVES = math.log2(BRIGHT_HZ / DARK_HZ)
TONE_DB = 40.0  # of flatness: a tone's is that far below white noise's
AUDIBLE_DB = -70.0  # dBFS, below which the readings stay where they were
SETTLE = 1 - math.exp(-1 / (0.03 * PULSE_RATE))  # of the way in one reading
AVERAGE = 1 - math.exp(-1 / (0.06 * PULSE_RATE))  # of the powers that flatness is told of
MIN_POWER = 1e-14  # mean square in a band


class Timbre:
    """State: the two readings, and the averaged powers of the bands."""

    def __init__(self) -> None:
        self.brightness = 0.0
        self.noisiness = 0.0
        self._average: Floats = np.zeros(COUNT)

    def push(self, magnitude: Floats, bands: Floats, level_db: float) -> None:
        """Take the magnitude of each bin [257], the power of each band [COUNT] and the loudness in dBFS."""
        self._average += AVERAGE * (bands - self._average)
        if level_db <= AUDIBLE_DB:
            return
        self.brightness += SETTLE * (brightness(magnitude) - self.brightness)
        self.noisiness += SETTLE * (noisiness(self._average) - self.noisiness)


def brightness(magnitude: Floats) -> float:
    """Return the spectral centroid on a scale of octaves, 0 at DARK_HZ to 1 at BRIGHT_HZ."""
    centroid = float(magnitude @ FREQUENCIES) / float(magnitude.sum())
    return min(1.0, max(0.0, math.log2(max(centroid, DARK_HZ) / DARK_HZ) / OCTAVES))


def noisiness(bands: Floats) -> float:
    """Return the spectral flatness in decibels, 0 for a tone and 1 for white noise (Johnston 1988)."""
    density = np.maximum(bands, MIN_POWER) / WIDTHS
    flatness = 10 * float(np.log10(density).mean()) - 10 * math.log10(float(density.mean()))
    return min(1.0, max(0.0, 1 + flatness / TONE_DB))
