"""Onsets: beginnings of sounds, told as soon as the spectral flux rises over an adaptive threshold.

Flux is the SuperFlux of Böck and Widmer (DAFx 2013): growth of logarithmic bands over the loudest of three
neighbours 20 ms ago, so that vibrato is no onset.
"""

import math

import numpy as np

from clavilux.runtime.hearing.pulse.filters import CENTRES_HZ, COUNT
from clavilux.runtime.hearing.pulse.spectrum import Floats
from clavilux.runtime.pulse import PULSE_RATE

ONSET_GAIN = 1e4  # of the magnitudes before the logarithm: bands 80 dB below full scale begin to count
BEAT_GAIN = 1e3  # the beat is in what is louder
LAG = 2  # readings
LOW_BANDS = int(np.sum(CENTRES_HZ < 200))
DEEP_SHARE = 3.0  # of the deep bands in the flux of the beat, beside all bands

MEAN_SHARE = 1 - math.exp(-1 / (0.15 * PULSE_RATE))
PEAK_LEFT = math.exp(-1 / (2.0 * PULSE_RATE))
LEAST = 0.14  # flux over the mean of the last 150 ms; steady noise wavers by a third of that
OF_PEAK = 0.05
PAUSE = 5  # readings between two onsets at least
STRONG = 0.5  # flux of an onset of strength tanh(1)
DENSITY_SECONDS = 2.0
DENSE = 10.0  # onsets a second
_DENSITY_LEFT = math.exp(-1 / (DENSITY_SECONDS * PULSE_RATE))


class Flux:
    """State: the bands of the last readings."""

    def __init__(self, gain: float) -> None:
        """Take what magnitudes are multiplied by before their logarithm."""
        self._gain = gain
        self._past: list[Floats] = [np.zeros(COUNT)] * LAG  # largest of three neighbours, oldest first

    def push(self, magnitude: Floats) -> Floats:
        """Take the magnitude of each band [COUNT]; return how much each has grown, [COUNT], from 0 on."""
        loud = np.log1p(self._gain * magnitude)
        growth: Floats = np.maximum(0.0, loud - self._past[0])
        widened = loud.copy()
        np.maximum(widened[1:], loud[:-1], out=widened[1:])
        np.maximum(widened[:-1], loud[1:], out=widened[:-1])
        self._past = [*self._past[1:], widened]
        return growth


def flux(growth: Floats) -> float:
    """Return the mean growth of the bands, [COUNT]."""
    return float(growth.sum()) / COUNT


def beat_flux(growth: Floats) -> float:
    """Return the growth in which beats are sought: most of it is that of the deep bands."""
    return flux(growth) + DEEP_SHARE * float(growth[:LOW_BANDS].sum()) / LOW_BANDS


class Onsets:
    """State: how much flux is usual, and how long ago an onset was."""

    def __init__(self) -> None:
        self.density = 0.0
        self._mean = 0.0
        self._peak = 0.0
        self._since = PAUSE

    def push(self, flux: float) -> float:
        """Take the mean growth of the bands; return the strength of an onset, 0 where there is none."""
        threshold = max(LEAST + self._mean, OF_PEAK * self._peak)
        self._mean += MEAN_SHARE * (flux - self._mean)
        self._peak = max(flux, PEAK_LEFT * self._peak)
        self._since += 1
        self.density *= _DENSITY_LEFT
        if flux <= threshold or self._since < PAUSE:
            return 0.0
        self._since = 0
        self.density = min(1.0, self.density + 1 / (DENSITY_SECONDS * DENSE))
        return math.tanh(flux / STRONG)
