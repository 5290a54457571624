"""Pitch of one voice, by the normalised square difference of the newest 64 ms (McLeod and Wyvill, ICMC 2005).

The autocorrelation comes from the spectrum, padded to twice the rate, so that high notes have enough points a period.
The lowest clear maximum within a share of the best one is the period; a median of three forgives one wrong octave.
"""

import math

import numpy as np

from clavilux.runtime.hearing.pulse.spectrum import HISTORY, Floats
from clavilux.runtime.sound.format import SAMPLE_RATE

FINER = 2  # lags a sample
MAX_PERIOD = 340  # samples of the longest period: 47 Hz
MIN_PERIOD = 2  # of the shortest: 8 kHz
CLEAR = 0.9  # of the best maximum, for an earlier one to be the period
MIN_HZ, OCTAVES = 55.0, 6  # of the height
C_HZ = 440.0 * 2 ** (-9 / 12)
NOISY, HARMONIC = 0.3, 1.0  # correlations at which harmonicity is 0 and 1
DOUBTFUL, CERTAIN = 0.6, 0.92  # and confidence
TRUSTED = 0.4  # confidence from which class and height follow
AUDIBLE = 1e-7  # mean square, -70 dBFS
EVERY = 2  # readings between two estimates
_LAGS = np.arange(MAX_PERIOD * FINER + 2)
_WHOLE, _PART = _LAGS // FINER, (_LAGS % FINER) / FINER
_SIZE = 2 * HISTORY


class Pitch:
    """State: the readings, and the periods found last."""

    def __init__(self) -> None:
        self.harmonicity = 0.0
        self.pitch_class = 0.0
        self.height = 0.0
        self.confidence = 0.0
        self._recent: list[float] = []  # Hz, the newest last
        self._turn = 0

    def push(self, history: Floats) -> None:
        """Take the newest samples, [1024]."""
        self._turn = (self._turn + 1) % EVERY
        if self._turn:
            return
        hertz, correlation = fundamental(history)
        self.harmonicity = _ramp(correlation, NOISY, HARMONIC)
        self.confidence = _ramp(correlation, DOUBTFUL, CERTAIN)
        if self.confidence < TRUSTED:
            self._recent = []
            return
        self._recent = [*self._recent[-2:], hertz]
        self._tell(sorted(self._recent)[len(self._recent) // 2])

    def _tell(self, hertz: float) -> None:
        self.pitch_class = math.log2(hertz / C_HZ) % 1.0
        self.height = min(1.0, max(0.0, math.log2(hertz / MIN_HZ) / OCTAVES))


def fundamental(history: Floats) -> tuple[float, float]:
    """Return the frequency in Hz and how alike the sound is to itself one period later, 0 to 1; (0, 0) without any."""
    sound = history - history.mean()
    squares = sound * sound
    if float(squares.mean()) < AUDIBLE:
        return 0.0, 0.0
    alike = _alike(sound, squares)
    best = _maxima(alike)
    if not len(best):
        return 0.0, 0.0
    offset, height = _vertex(alike[best - 1], alike[best], alike[best + 1])
    chosen = int(np.argmax(height >= CLEAR * height.max()))
    period = (float(best[chosen]) + float(offset[chosen])) / FINER
    return SAMPLE_RATE / period, min(1.0, float(height[chosen]))


def _alike(sound: Floats, squares: Floats) -> Floats:
    """Return the normalised square difference at each lag, -1 to 1."""
    spectrum = np.fft.rfft(sound, _SIZE)
    correlation = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, FINER * _SIZE)[: len(_LAGS)] * FINER
    sums = np.concatenate([[0.0], np.cumsum(squares)])
    ends = sums[-1] - sums[: MAX_PERIOD + 3] + sums[HISTORY - MAX_PERIOD - 2 :][::-1]
    energy = ends[_WHOLE] * (1 - _PART) + ends[_WHOLE + 1] * _PART
    alike: Floats = 2 * correlation / np.maximum(energy, 1e-12)
    return alike


def _maxima(alike: Floats) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return the lags of positive maxima after the correlation has first been negative."""
    below = alike < 0
    first = int(np.argmax(below))
    if not below[first]:
        return np.zeros(0, np.int64)
    first = max(first, MIN_PERIOD * FINER)
    middle = alike[first:-1]
    peaks = (middle > alike[first - 1 : -2]) & (middle >= alike[first + 1 :]) & (middle > 0)
    return np.flatnonzero(peaks) + first


def _vertex(left: Floats, middle: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return where the parabolas through three points have their maxima, -0.5 to 0.5, and how high."""
    slope, bend = (right - left) / 2, np.maximum(2 * middle - left - right, 1e-12)
    return slope / bend, middle + slope**2 / (2 * bend)


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
