"""Short-time spectra of a stream: one each 10 ms, from a window whose weight lies on the newest sound.

A window that rises slowly and falls fast (the low-delay windows of speech coders) lets an attack be seen within one or
two steps, where a symmetric one of the same length would wait for its middle.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.pulse import PULSE_STEP
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.samples import Samples

Floats = NDArray[np.float64]

WINDOW = 512  # samples, 32 ms: bins 31 Hz apart
RISE = 416  # samples of the window that rise; the others fall
BINS = WINDOW // 2 + 1
BIN_HZ = SAMPLE_RATE / WINDOW
HISTORY = 1024  # samples that are kept, for the pitch
FREQUENCIES: Floats = np.arange(BINS, dtype=np.float64) * BIN_HZ  # Hz


def _window() -> Floats:
    rise = np.sin(np.pi / 2 * (np.arange(RISE) + 0.5) / RISE) ** 2
    fall = np.cos(np.pi / 2 * (np.arange(WINDOW - RISE) + 0.5) / (WINDOW - RISE)) ** 2
    return np.concatenate([rise, fall])


_WEIGHTS = _window()
_MEAN = _WEIGHTS / _WEIGHTS.sum()
_SCALE: Floats = np.full(
    BINS, 2.0 / (WINDOW * float(np.square(_WEIGHTS).sum()))
)  # powers of all bins sum to the mean square
_SCALE[-1] /= 2


@dataclass(frozen=True)
class Step:
    """Spectra as they stand after another 10 ms."""

    power: Floats  # [257], mean square per bin; a constant part of the sound is not in it
    history: Floats  # [1024], the newest samples


class Steps:
    """Steps of one stream, however its samples come."""

    def __init__(self) -> None:
        self._history: Floats = np.zeros(HISTORY)
        self._rest: Samples = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> Iterator[Step]:
        """Take float32 [n] at 16 kHz; give a step for each PULSE_STEP samples that are whole."""
        waiting = np.concatenate([self._rest, samples])
        whole = len(waiting) // PULSE_STEP * PULSE_STEP
        self._rest = waiting[whole:]
        for start in range(0, whole, PULSE_STEP):
            self._history = np.concatenate([self._history[PULSE_STEP:], waiting[start : start + PULSE_STEP]])
            yield Step(power_spectrum(self._history[-WINDOW:]), self._history)


def power_spectrum(samples: Floats) -> Floats:
    """Return the mean square in each bin, [257], of float64 [512]."""
    spectrum = np.fft.rfft((samples - samples @ _MEAN) * _WEIGHTS)
    power: Floats = (spectrum.real**2 + spectrum.imag**2) * _SCALE
    return power
