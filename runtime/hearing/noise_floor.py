"""Noise floor of a stream by minimum statistics: the smallest of its smoothed powers in the last seconds.

R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum statistics", IEEE
Transactions on Speech and Audio Processing 9(5), 2001, section IV: the minimum of pieces is kept, so that it costs one
comparison a step. Here of the whole sound rather than of each frequency, for a gate wants one number.
"""

import math
from collections import deque

from clavilux.runtime.hearing.loudness import decibels
from clavilux.runtime.sound.format import step_share

SMOOTHED = step_share(0.1)  # share of a step in the smoothed power: 0.1 s
PIECE = 100  # steps whose minimum is one number: 1 s
PIECES = 8  # of them are looked back on; speech and music have a pause in so long, a fan has none


class NoiseFloor:
    """State: the minima of the last pieces."""

    def __init__(self) -> None:
        self._smoothed: float | None = None
        self._minima: deque[float] = deque(maxlen=PIECES)
        self._minimum = math.inf  # of the piece that has begun
        self._steps = 0

    def push(self, power: float) -> None:
        """Take the mean square of 10 ms."""
        last = power if self._smoothed is None else self._smoothed
        self._smoothed = last + SMOOTHED * (power - last)
        self._minimum = min(self._minimum, self._smoothed)
        self._steps += 1
        if self._steps % PIECE == 0:
            self._minima.append(self._minimum)
            self._minimum = math.inf

    @property
    def level(self) -> float:
        """The floor in dBFS, -120 to 0; -120 before a whole piece has been heard."""
        return decibels(min(*self._minima, self._minimum)) if self._minima else decibels(0.0)
