"""The mixdown: sound of several channels becomes one, and what sounds in one is not lost to silence or cancellation.

The mean of the channels, unless it lies far below the loudest of them: phase-inverted stereo, one live channel of
eighteen, a dead channel beside a live one. Then the loudest is taken alone. server/page/mixdown.js is its twin.
"""

import math

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.sound.format import BLOCK_RATE
from clavilux.runtime.sound.samples import Samples

SMOOTHING = 0.4  # s, time constant of the powers that are compared
KEPT = math.exp(-1 / (SMOOTHING * BLOCK_RATE))  # of the smoothed power, from block to block
FAR = 10**-0.6  # of power, 6 dB: so far below the loudest channel the mean is given up,
NEAR = 10**-0.3  # and 3 dB: so near the taken channel it is taken again
AUDIBLE = 1e-9  # mean square, -90 dBFS: while the loudest channel is below, nothing changes


class Mixdown:
    """Mixes blocks of 10 ms of one source; owns which channel is taken, and the crossfade to it."""

    def __init__(self, channels: int) -> None:
        self.taken: int | None = None  # channel that is taken alone, counted from 1; None: the mean of all
        self._channels = channels
        self._powers = np.zeros(channels + 1)  # smoothed mean squares: of each channel, then of the mean
        self._kept = 0.0  # share of them that the next block leaves; the first one leaves nothing

    def mix(self, block: Samples) -> Samples:
        """Return a whole block, float32 [n, channels], as float32 [n]; a change crossfades over the block."""
        if self._channels == 1:
            return block[:, 0]
        mean = block.mean(axis=1, dtype=np.float32)
        self._listen(np.column_stack([block, mean]).astype(np.float64))
        before, self.taken = self.taken, self._choice()
        old, new = (mean if taken is None else block[:, taken - 1] for taken in (before, self.taken))
        if before == self.taken:
            return new
        share = np.arange(1, len(block) + 1, dtype=np.float32) / np.float32(len(block))
        return old + share * (new - old)

    def rest(self, block: Samples) -> Samples:
        """Return what is less than a block and the last of its source, as it was mixed before; nothing is decided."""
        return block.mean(axis=1, dtype=np.float32) if self.taken is None else block[:, self.taken - 1]

    def _listen(self, parts: NDArray[np.float64]) -> None:
        """Smooth the power of each part [n, parts]; an offset is no sound, and does not count."""
        powers = np.square(parts - parts.mean(axis=0)).mean(axis=0)
        self._powers = powers + self._kept * (self._powers - powers)
        self._kept = KEPT

    def _choice(self) -> int | None:
        """Return the channel to take from now on, counted from 1; None: the mean."""
        mean, loudest = self._powers[-1], int(self._powers[:-1].argmax())
        top = self._powers[loudest]
        if top < AUDIBLE:
            return self.taken
        afresh = loudest + 1 if mean < FAR * top else None
        if self.taken is None:
            return afresh
        own = self._powers[self.taken - 1]
        is_near = mean >= NEAR * own
        if own < FAR * top:
            return afresh if is_near else loudest + 1
        return None if is_near else self.taken
