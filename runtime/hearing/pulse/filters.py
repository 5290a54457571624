"""Filter bank of overlapping triangles, a fifth of an octave apart where the bins allow it."""

import math

import numpy as np

from clavilux.runtime.hearing.pulse.spectrum import BIN_HZ, BINS, Floats

MIN_HZ, MAX_HZ = 40.0, 7200.0  # of the middles; above that resamplers begin to fall
PER_OCTAVE = 5


def _middles() -> list[int]:
    """Return the filters' middles in bins, each once, and one more at either end."""
    steps = math.floor(PER_OCTAVE * math.log2(MAX_HZ / MIN_HZ)) + 1
    bins = {math.floor(MIN_HZ * 2 ** (step / PER_OCTAVE) / BIN_HZ + 0.5) for step in range(steps)}
    return [0, *sorted(bins - {0}), math.floor(MAX_HZ * 2 ** (1 / PER_OCTAVE) / BIN_HZ + 0.5)]


MIDDLES = _middles()
COUNT = len(MIDDLES) - 2


def _bank() -> Floats:
    bins = np.arange(BINS)
    bank = np.zeros((COUNT, BINS))
    for row, (low, mid, high) in enumerate(zip(MIDDLES, MIDDLES[1:], MIDDLES[2:], strict=False)):
        bank[row] = np.maximum(0.0, np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid)))
    return bank


BANK: Floats = _bank()  # [COUNT, 257]
WIDTHS: Floats = BANK.sum(axis=1)  # bins
CENTRES_HZ: Floats = np.array(MIDDLES[1:-1]) * BIN_HZ
