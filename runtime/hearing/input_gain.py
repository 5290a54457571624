"""Input gain: what the performer sets, and where it is asked for a slow one that brings the sound to a fair loudness.

It adds no latency and never pumps: the automatic part moves by decibels a second, while something sounds, and stands
still in pauses.
"""

import math

import numpy as np

from clavilux.runtime.hearing.loudness import Floats, decibels
from clavilux.runtime.sound.format import FRAME_STEP, STEP_SECONDS
from clavilux.runtime.sound.samples import Samples

TARGET = -20.0  # dBFS: speech and music as they are recorded
RANGE = (-20.0, 40.0)  # dB of the automatic part
RISE, FALL = 1.0, 3.0  # dB a second
RAMP = FRAME_STEP  # samples at 16 kHz over which a change of gain comes in: 10 ms
SMOOTHED = 1 - math.exp(-STEP_SECONDS / 3.0)  # share of a step in the loudness that is brought to TARGET: 3 s


def amplitude(gain: float) -> float:
    """Return the factor of a gain in dB."""
    return float(10 ** (gain / 20))


class AutomaticGain:
    """State: the gain in dB, and how loud it has been while something sounded."""

    def __init__(self) -> None:
        self.gain = 0.0  # dB
        self._power: float | None = None  # mean square, smoothed; None before any sound

    def follow(self, powers: Floats, *, sounds: bool, enabled: bool) -> None:
        """Take the mean squares of steps of 10 ms, [n], before this gain; switched off it glides back to 0 dB."""
        if enabled and not sounds:
            return
        for power in powers.tolist():
            last = power if self._power is None else self._power
            self._power = last + SMOOTHED * (power - last)
            low, high = RANGE
            wanted = min(high, max(low, TARGET - decibels(self._power))) if enabled else 0.0
            self.gain += min(RISE * STEP_SECONDS, max(-FALL * STEP_SECONDS, wanted - self.gain))


def amplified(samples: Samples, before: float, now: float) -> Samples:
    """Return float32 [n] with a gain that goes from `before` to `now`, both in dB, over their first `RAMP`."""
    if before == now == 0.0:
        return samples
    gains = np.full(len(samples), amplitude(now), np.float32)
    if before != now:
        gains[:RAMP] = np.linspace(amplitude(before), amplitude(now), RAMP, dtype=np.float32)[: len(samples)]
    louder: Samples = samples * gains
    return louder
