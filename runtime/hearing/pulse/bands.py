"""Loudness of the whole sound and of three bands, in dBFS and in their automatic ranges."""

import math
from dataclasses import dataclass

import numpy as np

from clavilux.runtime.hearing.loudness import decibels
from clavilux.runtime.hearing.pulse.automatic_range import AutomaticRange
from clavilux.runtime.hearing.pulse.spectrum import BIN_HZ, Floats
from clavilux.runtime.pulse import PULSE_RATE

LOW_HZ, HIGH_HZ = 200.0, 2000.0
_EDGES = np.array([1, math.ceil(LOW_HZ / BIN_HZ), math.ceil(HIGH_HZ / BIN_HZ)])  # first bins of the bands
RELEASE = math.exp(-1 / (0.04 * PULSE_RATE))  # power that is left after a reading: 40 ms, so that basses do not flutter
MASKED = 1e-8  # of the whole power, that no band falls below: 80 dB down it would be rounding that is read
WHOLE_SHARE, BAND_SHARE = 0.3, 0.5  # of the automatic ranges: bands differ more between instruments
REFERENCES = (-12.0, -20.0, -18.0, -30.0)  # dBFS of loud music: whole, low, mid, high


@dataclass(frozen=True)
class Loudness:
    """One reading: whole, low, mid and high."""

    levels: tuple[float, ...]  # 0 to 1
    decibels: tuple[float, ...]  # dBFS, -120 to 0


class Bands:
    """State: four ranges, and what still sounds in them."""

    def __init__(self) -> None:
        whole, *bands = REFERENCES
        self._ranges = [AutomaticRange(whole, WHOLE_SHARE), *(AutomaticRange(one, BAND_SHARE) for one in bands)]
        self._held = [0.0] * len(self._ranges)

    def push(self, power: Floats) -> Loudness:
        """Take the mean square of each bin, [257]."""
        low, mid, high = np.add.reduceat(power, _EDGES).tolist()
        whole = low + mid + high
        powers = (whole, *(band + MASKED * whole for band in (low, mid, high)))
        self._held = [max(now, RELEASE * held) for now, held in zip(powers, self._held, strict=True)]
        levels = (one.push(min(0.0, decibels(held))) for one, held in zip(self._ranges, self._held, strict=True))
        return Loudness(tuple(levels), tuple(min(0.0, decibels(power)) for power in powers))
