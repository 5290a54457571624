"""One source's stateful way to 16 kHz mono, 2 to 5 ms behind its last whole block of 10 ms.

A windowed-sinc filter bank (Crochiere and Rabiner 1983, "Multirate Digital Signal Processing", section 4.3; Kaiser's
window), because a library's resampler hands its output over in bursts of 30 ms, which a live picture waits for.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.sound.channels import Mixdown
from clavilux.runtime.sound.format import BLOCK_RATE, SAMPLE_RATE
from clavilux.runtime.sound.samples import Samples

PASS, STOP = 0.4625, 0.5375  # edges of the transition, relative to the lower of both rates: 7.4 and 8.6 kHz
STOPBAND = 90.0  # dB below
PHASES = 2048  # filters for each sample of the lower of both rates; what needs more lies between two of them
BANKS = 8  # kept in memory, half a megabyte each: sources come back, and two readers share each


class Resampler:
    """Resamples one source, mixed to one channel first. Output n is the sound at n / 16 000 s of the source."""

    def __init__(self, rate: int, channels: int) -> None:
        """Take the source's rate in Hz, and how many channels it has."""
        self.rate = rate
        self.channels = channels
        self.mixdown = Mixdown(channels)
        self.taken = 0  # input samples that have come in, in whole blocks
        self._block = rate // BLOCK_RATE
        self._rest = np.zeros((0, channels), np.float32)
        common = math.gcd(rate, SAMPLE_RATE)
        self._up, self._down = SAMPLE_RATE // common, rate // common
        self._made = 0  # output samples
        if rate != SAMPLE_RATE:
            self._phases = min(self._up, most_phases(rate))
            self._bank = filter_bank(rate, self._phases)
            self._reach = self._bank.shape[1] // 2
            self._kept = np.zeros(self._reach - 1, np.float32)  # newest input, from sample `_first` on
            self._first = 1 - self._reach

    @property
    def waiting(self) -> int:
        """Input samples that wait for their block to be whole."""
        return len(self._rest)

    def push(self, sound: Samples) -> Samples:
        """Take float32 [n, channels]; return the samples that became ready, float32 [m]."""
        sound = np.concatenate([self._rest, sound])
        whole = len(sound) // self._block * self._block
        self._rest = sound[whole:]
        blocks = np.split(sound[:whole], whole // self._block) if whole else []
        return np.concatenate([np.zeros(0, np.float32), *(self._take(self.mixdown.mix(block)) for block in blocks)])

    def finish(self) -> Samples:
        """Return what is still inside, float32 [m]; the source has ended, and silence follows."""
        rest, self._rest = self._rest, self._rest[:0]
        ready = self._take(self.mixdown.rest(rest))
        if self.rate == SAMPLE_RATE:
            return ready
        whole = -(-self.taken * self._up // self._down)
        self._kept = np.concatenate([self._kept, np.zeros(self._reach, np.float32)])
        return np.concatenate([ready, self._filtered(whole)])

    def _take(self, block: Samples) -> Samples:
        self.taken += len(block)
        if self.rate == SAMPLE_RATE:
            self._made += len(block)
            return block
        self._kept = np.concatenate([self._kept, block])
        newest = self._first + len(self._kept) - 1 - self._reach  # input index up to which there is enough after it
        return self._filtered((newest * self._up + self._up - 1) // self._down + 1 if newest >= 0 else 0)

    def _filtered(self, until: int) -> Samples:
        """Return the outputs from the last one made to `until`, excluded; forget the input before them."""
        if until <= self._made:
            return np.zeros(0, np.float32)
        outputs = np.arange(self._made, until)
        places, phases = np.divmod(outputs * self._down, self._up)
        windows = np.lib.stride_tricks.sliding_window_view(self._kept, 2 * self._reach)
        chosen = windows[places - self._first - self._reach + 1]
        made: Samples = np.einsum("nk,nk->n", chosen, self._filters(phases))
        self._made += len(outputs)
        needed = self._made * self._down // self._up - self._reach + 1
        self._kept, self._first = self._kept[needed - self._first :], needed
        return made

    def _filters(self, phases: NDArray[np.int64]) -> Samples:
        """Return the filters [n, taps] at phases of `_up`."""
        if self._phases == self._up:
            exact: Samples = self._bank[phases]
            return exact
        low, share = np.divmod(phases * (self._phases / self._up), 1.0)
        low, share = low.astype(np.int64), share.astype(np.float32)[:, None]
        between: Samples = (1 - share) * self._bank[low] + share * self._bank[low + 1]
        return between


def most_phases(rate: int) -> int:
    """Return how many filters a bank for `rate` Hz has at most: all banks cost the same, whatever somebody sends.

    The longer the filters are, the less differ those of one phase and the next: what lies between two of them is as
    near everywhere, 120 dB down, and its places are exact, so that nothing drifts.
    """
    return math.ceil(PHASES * min(rate, SAMPLE_RATE) / rate)


@lru_cache(BANKS)
def filter_bank(rate: int, phases: int) -> Samples:
    """Return filters [phases + 1, taps] float32 for outputs at 0, 1 / phases, ... 1 input samples after their place.

    Tap k weighs the input k - taps / 2 + 1 samples from the place; every filter sums to 1. Read-only: it is shared.
    """
    lower = min(rate, SAMPLE_RATE) / rate
    width = 2 * math.pi * (STOP - PASS) * lower
    reach = math.ceil((STOPBAND - 8) / (2.285 * width) / 2) + 1  # Kaiser's estimate of the length, half of it
    beta = 0.1102 * (STOPBAND - 8.7)
    away = np.arange(1 - reach, reach + 1)[None, :] - np.arange(phases + 1)[:, None] / phases
    cutoff = (PASS + STOP) * lower
    window = np.i0(beta * np.sqrt(np.maximum(0.0, 1 - (away / reach) ** 2))) / np.i0(beta)
    bank = cutoff * np.sinc(cutoff * away) * window
    even: Samples = (bank / bank.sum(axis=1, keepdims=True)).astype(np.float32)
    even.flags.writeable = False
    return even
