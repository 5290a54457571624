"""Sound of any rate and channel count becomes the last seconds of 16 kHz mono, in a ring.

Indices are absolute: sample k is the k-th of the stream at 16 kHz, and whatever lies before sample 0 reads as silence.
The same sound in other chunks gives the same samples, bit for bit: the resampler is always fed whole blocks.
"""

from collections import deque

import numpy as np

from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.resample import Resampler
from clavilux.runtime.sound.samples import Samples


class SlidingWindow:
    """The newest `length` samples of the stream, and when each was captured."""

    def __init__(self, length: int) -> None:
        self.length = length  # samples at 16 kHz that can be read back
        self.heard = 0  # samples at 16 kHz since the stream began
        self._ring = np.zeros(length, np.float32)
        self._anchors: deque[tuple[float, float]] = deque()  # (index, capture time of that index), oldest first
        self._resampler: Resampler | None = None
        self._origin = 0  # index at which the present source began

    @property
    def taken(self) -> int | None:
        """Channel of the present source that is taken alone, counted from 1; None: the mean of all."""
        return None if self._resampler is None else self._resampler.mixdown.taken

    def push(self, sound: Samples, rate: int, captured_at: float) -> int:
        """Take sound that `as_sound` checked, float32 [n, channels] at `rate` Hz; return how many samples became ready.

        Its first sample was captured at `captured_at` seconds. A change of rate or channel count starts a new source:
        the old one is finished first.
        """
        before = self.heard
        channels = sound.shape[1]
        if self._resampler is None or (self._resampler.rate, self._resampler.channels) != (rate, channels):
            self.finish()
            self._resampler, self._origin = Resampler(rate, channels), self.heard
        pending = self._resampler.waiting
        self._write(self._resampler.push(sound))
        self._anchor(self._resampler, captured_at - pending / rate, pending + len(sound))
        return self.heard - before

    def finish(self) -> int:
        """End the present source: what the resampler holds back comes out; return how many samples that were."""
        if self._resampler is None:
            return 0
        tail = self._resampler.finish()
        self._write(tail)
        self._resampler = None
        return len(tail)

    def write_silence(self, samples: int) -> None:
        """Take `samples` of silence at 16 kHz, which no source gave; the present one is finished first."""
        self.finish()
        self._write(np.zeros(samples, np.float32))

    def read(self, start: int, stop: int) -> Samples:
        """Return samples `start` to `stop` (absolute, stop excluded), float32; zeros before the stream began.

        Raises SoundError when a part is no longer in the ring or not yet heard.
        """
        if start < self.heard - self.length or stop > self.heard:
            raise SoundError(
                f"samples {start} to {stop} are asked for; {self.heard - self.length} to {self.heard} are here"
            )
        indices = np.arange(start, stop)
        return np.where(indices < 0, np.float32(0), self._ring[indices % self.length])

    def captured_at(self, index: int) -> float | None:
        """Return when sample `index` was captured, in seconds of the clock of `push`; None before any sound."""
        time = None
        for anchor, when in reversed(self._anchors):
            if time is not None and anchor < index:
                break
            time = when - (anchor - index) / SAMPLE_RATE
        return time

    def _write(self, samples: Samples) -> None:
        kept = samples[-self.length :]
        first = self.heard + len(samples) - len(kept)
        self._ring[np.arange(first, first + len(kept)) % self.length] = kept
        self.heard += len(samples)

    def _anchor(self, source: Resampler, captured_at: float, fed: int) -> None:
        """Note when the end of what the resampler has taken was captured."""
        taken_now = fed - source.waiting
        index = self._origin + source.taken * SAMPLE_RATE / source.rate
        self._anchors.append((index, captured_at + taken_now / source.rate))
        while len(self._anchors) > 1 and self._anchors[1][0] < self.heard - self.length:
            self._anchors.popleft()
