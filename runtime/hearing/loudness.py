"""Loudness of a stream after a high-pass: the power of every 10 ms, kept as long as windows of it may be asked for."""

import math

import numpy as np

from clavilux.runtime.hearing.high_pass import Floats, HighPass
from clavilux.runtime.pulse import SILENCE_DB
from clavilux.runtime.sound.format import FRAME_STEP
from clavilux.runtime.sound.samples import Samples

_MIN_POWER = 10 ** (SILENCE_DB / 10)


def decibels(power: float) -> float:
    """Return a mean square of samples in -1 to 1, in dBFS, not below `SILENCE_DB`."""
    return 10 * math.log10(max(power, _MIN_POWER))


class Loudness:
    """The newest `length` steps of the stream: step k covers samples 160 k to 160 k + 160."""

    def __init__(self, length: int) -> None:
        self.length = length  # steps that can be read back
        self.steps = 0  # steps since the stream began
        self._powers: Floats = np.zeros(length)
        self._high_pass = HighPass()
        self._rest: Samples = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> None:
        """Take float32 [n] at 16 kHz in -1 to 1."""
        waiting = np.concatenate([self._rest, samples])
        whole = len(waiting) // FRAME_STEP * FRAME_STEP
        self._rest = waiting[whole:]
        for start in range(0, whole, FRAME_STEP):
            passed = self._high_pass.push(waiting[start : start + FRAME_STEP])
            self._powers[self.steps % self.length] = np.square(passed).mean()
            self.steps += 1

    def read(self, start: int, stop: int) -> Floats:
        """Return the mean squares of steps `start` to `stop` (absolute, stop excluded), float64 [n], the newest kept.

        What is no longer here is left out; what has not been heard yet, too.
        """
        first = max(start, self.steps - self.length, 0)
        powers: Floats = self._powers[np.arange(first, min(stop, self.steps)) % self.length]
        return powers
