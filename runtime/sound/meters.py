"""Channel meters: level, peak and clipping of each channel of a source, for people who set gains.

Time is counted in samples, so that the same sound shows the same however it was cut. What is measured is 10 ms behind
at most, a block.
"""

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.frame import ChannelLevel
from clavilux.runtime.pulse import SILENCE_DB
from clavilux.runtime.sound.format import BLOCK_RATE
from clavilux.runtime.sound.samples import Samples

LEVEL_BLOCKS = BLOCK_RATE // 10  # under a level: 100 ms
HOLD_BLOCKS = 3 * BLOCK_RATE // 2  # that a peak stands: 1.5 s
FALL = 20.0 / BLOCK_RATE  # dB a block, 20 a second, that it falls after that
LIGHT_BLOCKS = 3 * BLOCK_RATE  # that a clip light stays on: 3 s
FULL = 0.999  # of full scale, which a converter that clips reaches
RUN = 3  # successive samples at it, of one sign, that are no chance
LEAST = 10 ** (SILENCE_DB / 20)  # amplitude


class ChannelMeters:
    """Meters of one source; bounded, however much it hears."""

    def __init__(self, rate: int, channels: int) -> None:
        """Take the source's rate in Hz, and how many channels it has."""
        self.rate = rate
        self.channels = channels
        self._block = rate // BLOCK_RATE
        self._rest = np.zeros((0, channels), np.float32)
        self._blocks = 0  # that were taken
        self._sums = np.zeros((LEVEL_BLOCKS, 2, channels))  # of the newest blocks: samples, and their squares
        self._peaks = np.full(channels, SILENCE_DB)  # dBFS, as shown
        self._held = np.zeros(channels, np.int64)  # blocks since a peak was set
        self._lights = np.full(channels, -LIGHT_BLOCKS)  # block in which a channel clipped last
        self._ends = np.zeros((RUN - 1, channels), np.int8)  # signs of the last samples at full scale, 0 for others

    def push(self, sound: Samples) -> None:
        """Take float32 [n, channels] that `as_sound` has checked, n in any measure."""
        sound = np.concatenate([self._rest, sound])
        whole = len(sound) // self._block * self._block
        for start in range(0, whole, self._block):
            self._take(sound[start : start + self._block])
        self._rest = sound[whole:].copy()

    def read(self) -> tuple[ChannelLevel, ...]:
        """Return the meter of each channel, at the last block that is whole."""
        count = max(1, min(self._blocks, LEVEL_BLOCKS)) * self._block
        mean, square = self._sums.sum(axis=0) / count
        levels = decibels(np.sqrt(np.maximum(0.0, square - mean**2)))
        clipped = self._blocks - self._lights < LIGHT_BLOCKS
        return tuple(map(ChannelLevel, levels.tolist(), self._peaks.tolist(), clipped.tolist()))

    def _take(self, block: Samples) -> None:
        self._blocks += 1
        place = self._blocks % LEVEL_BLOCKS
        self._sums[place, 0] = block.sum(axis=0, dtype=np.float64)
        self._sums[place, 1] = np.einsum("nc,nc->c", block, block, dtype=np.float64)
        highest = np.maximum(block.max(axis=0), -block.min(axis=0))
        self._show(decibels(highest))
        if self._ends.any() or highest.max() >= FULL:
            self._watch(block, highest)

    def _show(self, found: NDArray[np.float64]) -> None:
        """Let peaks stand, fall, or be raised by the highest samples of a block, in dBFS."""
        falling = self._held >= HOLD_BLOCKS
        self._peaks[falling] = np.maximum(self._peaks[falling] - FALL, SILENCE_DB)
        raised = found >= self._peaks
        self._peaks[raised] = found[raised]
        self._held = np.where(raised, 0, self._held + 1)

    def _watch(self, block: Samples, highest: Samples) -> None:
        """Light the lights of channels that clip in a block, which the last samples of the one before lead to."""
        full = np.sign(block).astype(np.int8) * (np.abs(block) >= FULL)
        signs = np.concatenate([self._ends, full])
        successive = (signs[:-2] == signs[1:-1]) & (signs[1:-1] == signs[2:]) & (signs[2:] != 0)
        self._lights[(highest > 1) | successive.any(axis=0)] = self._blocks
        self._ends = signs[len(block) :]


def decibels(amplitude: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return amplitudes in dBFS, `SILENCE_DB` at least."""
    found: NDArray[np.float64] = 20 * np.log10(np.maximum(amplitude, LEAST, dtype=np.float64))
    return found
