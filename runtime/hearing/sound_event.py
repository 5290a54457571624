"""Sound events: whether what sounds is one short thing, such as a word or a bark, and for how long it has been over.

By loudness alone. An event is over when the power has fallen well below its peak, which in a room it does before it has
died away, or to what is steady, such as the noise of that room. Pauses that are shorter than `GAP` belong to it.
"""

import math
from collections import deque

from clavilux.runtime.hearing.high_pass import Floats
from clavilux.runtime.hearing.loudness import decibels
from clavilux.runtime.sound.format import STEP_SECONDS, step_share

SMOOTHED = step_share(0.015)  # share of a step in the power that is looked at
DROP = 12.0  # dB below the peak, from which on it is a pause
FALL = 12.0  # dB a second that the peak is forgotten
GAP = 0.35  # s of pause, after which a sound is another one
STEADY_SMOOTHED = step_share(0.1)  # share of a step in the power whose steadiness is looked at
STEADY_STEPS = 200  # of 10 ms, 2 s, in which what is steady
STEADY_RANGE = 5.0  # dB, stays within so many; music and voices do not
LEAST = -80.0  # dBFS, below which nothing is loud
ABOVE_STEADY = 9.0  # dB, from which on something is louder than what is steady


class SoundEvent:
    """State: the newest event of a stream, and what it is heard over."""

    def __init__(self) -> None:
        self.lasted = 0.0  # s from its beginning to its last loud step
        self.over_for = math.inf  # s since then
        self._power = 0.0  # smoothed
        self._peak = -math.inf  # dBFS
        self._slow = 0.0  # power, smoothed more
        self._levels: deque[float] = deque(maxlen=STEADY_STEPS)  # of it, dBFS
        self._steady = -math.inf  # dBFS, what is steady

    def push(self, powers: Floats) -> None:
        """Take the mean squares of steps of 10 ms, [n]."""
        for power in powers.tolist():
            self._listen_for_steady(power)
            self._power += SMOOTHED * (power - self._power)
            level = decibels(self._power)
            self._peak = max(level, self._peak - FALL * STEP_SECONDS)
            if level < max(self._peak - DROP, self._steady + ABOVE_STEADY, LEAST):
                self.over_for += STEP_SECONDS
                continue
            self.lasted = STEP_SECONDS + (self.lasted + self.over_for if self.over_for < GAP else 0.0)
            self.over_for = 0.0

    def _listen_for_steady(self, power: float) -> None:
        """Note what is steady, as long as nothing is quieter."""
        self._slow += STEADY_SMOOTHED * (power - self._slow)
        level = decibels(self._slow)
        self._levels.append(level)
        if level < self._steady - STEADY_RANGE:
            self._steady = -math.inf
        if len(self._levels) == STEADY_STEPS and (most := max(self._levels)) - min(self._levels) < STEADY_RANGE:
            self._steady = most
