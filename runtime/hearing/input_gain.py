"""Input gain: what the performer sets, and where it is asked for a slow one that brings the sound to a fair loudness.

It adds no latency and never pumps: the automatic part moves by decibels a second, while something sounds, and stands
still in pauses.
"""

from typing import Any

import numpy as np

from clavilux.runtime.hearing.high_pass import Floats
from clavilux.runtime.hearing.loudness import decibels
from clavilux.runtime.sound.format import FRAME_STEP, STEP_SECONDS, step_share
from clavilux.runtime.sound.samples import Samples

TARGET = -20.0  # dBFS: speech and music as they are recorded
RANGE = (-20.0, 40.0)  # dB of the automatic part
RISE, FALL = 1.0, 3.0  # dB a second
RAMP = FRAME_STEP  # samples at 16 kHz over which a change of gain comes in: 10 ms
SMOOTHED = step_share(3.0)  # share of a step in the loudness that is brought to TARGET: 3 s


def amplitude(gain: float) -> float:
    """Return the factor of a gain in dB."""
    return float(10 ** (gain / 20))


class Gain:
    """State: the factor on a stream, which goes to where it is wanted over `RAMP` samples, however they are cut."""

    def __init__(self) -> None:
        self._wanted = 0.0  # dB
        self._from = self._to = 1.0  # factors
        self._gone = RAMP  # samples of the way

    def apply(self, samples: Samples, wanted: float) -> Samples:
        """Return float32 [n] with a gain of `wanted` dB, or on its way to it."""
        if wanted != self._wanted:
            self._from, self._to = self._factor(self._gone), amplitude(wanted)
            self._wanted, self._gone = wanted, 0
        if self._gone == RAMP:
            return samples if self._to == 1.0 else samples * np.float32(self._to)
        places = np.minimum(np.arange(self._gone + 1, self._gone + len(samples) + 1), RAMP)
        self._gone = min(RAMP, self._gone + len(samples))
        louder: Samples = samples * self._factor(places).astype(np.float32)
        return louder

    def _factor(self, place: Any) -> Any:
        """Return the factor after so many samples of the way, a number or an array of them."""
        return self._from + (self._to - self._from) * (place / RAMP)


class AutomaticGain:
    """State: the gain in dB, and how loud it has been while something sounded."""

    def __init__(self) -> None:
        self.gain = 0.0  # dB
        self._level: float | None = None  # dBFS, smoothed; None before any sound

    def follow(self, powers: Floats, *, sounds: bool, enabled: bool) -> None:
        """Take the mean squares of steps of 10 ms, [n], before this gain; switched off it glides back to 0 dB."""
        if enabled and not sounds:
            return
        for power in powers.tolist():
            level = decibels(power)  # not the mean power, which a loud passage would fill for half a minute
            last = level if self._level is None else self._level
            self._level = last + SMOOTHED * (level - last)
            low, high = RANGE
            wanted = min(high, max(low, TARGET - self._level)) if enabled else 0.0
            self.gain += min(RISE * STEP_SECONDS, max(-FALL * STEP_SECONDS, wanted - self.gain))
