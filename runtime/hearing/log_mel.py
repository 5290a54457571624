"""Log-mel frames of a stream, each computed once, on the grid that the sliding window moves on.

Equal to SeamlessM4TFeatureExtractor before its normalisation (Kaldi's filter bank: povey window, pre-emphasis 0.97,
DC removed per frame, 20-8000 Hz, natural log), because a Kaldi frame depends on its own 400 samples alone.
"""

from collections.abc import Iterable
from typing import Any

import kaldi_native_fbank as knf
import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound.format import FRAME_LENGTH, FRAME_STEP, MEL_BINS, SAMPLE_RATE
from clavilux.runtime.sound.samples import Samples

INT16_SCALE = 2.0**15  # Kaldi works on the scale of 16-bit integers
LEAD_FRAMES = -(-FRAME_LENGTH // FRAME_STEP) - 1  # frames before sample 0 that reach into the stream
SILENCE = float(np.log(np.finfo(np.float32).eps))  # a frame of zeros, in every bin


class LogMel:
    """The newest `length` frames of the stream, [length, 80] float32, natural log, not normalised.

    Frame k covers samples 160 k to 160 k + 400; frames before the stream began are those of silence. It can be pickled
    between two pushes: the bank, which cannot, is made again from the samples that its next frame needs.
    """

    def __init__(self, length: int) -> None:
        self.length = length  # frames that can be read back
        self.frames = 0  # frames since the stream began
        self._ring = np.full((length, MEL_BINS), SILENCE, np.float32)
        self._taken = 0  # frames taken from banks, which began LEAD_FRAMES early
        self._begin(np.zeros(LEAD_FRAMES * FRAME_STEP, np.float32))

    def _begin(self, tail: Samples) -> None:
        """Make the bank; `tail` begins where the next frame does."""
        self._tail = tail  # on Kaldi's scale, all that the bank still needs
        self._skipped = self._taken  # frames that were taken from another bank
        self._bank = knf.OnlineFbank(_options())
        self._bank.accept_waveform(SAMPLE_RATE, tail)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_bank", "_skipped")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin(self._tail)

    def push(self, samples: Samples) -> int:
        """Take float32 [n] at 16 kHz in -1 to 1; return how many frames became ready."""
        scaled = samples * np.float32(INT16_SCALE)
        self._bank.accept_waveform(SAMPLE_RATE, scaled)
        ready: int = self._skipped + self._bank.num_frames_ready
        for index in range(self._taken, ready):
            self._ring[(index - LEAD_FRAMES) % self.length] = self._bank.get_frame(index - self._skipped)
        self._bank.pop(ready - self._taken)
        self._tail = np.concatenate([self._tail, scaled])[(ready - self._taken) * FRAME_STEP :]
        before, self._taken = self.frames, ready
        self.frames = max(0, ready - LEAD_FRAMES)
        return self.frames - before

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return frames `start` to `stop` (absolute, stop excluded), float32 [stop - start, 80].

        Raises SoundError when a part is no longer in the ring or not yet heard.
        """
        if start < self.frames - self.length or stop > self.frames:
            raise SoundError(
                f"frames {start} to {stop} are asked for; {self.frames - self.length} to {self.frames} are here"
            )
        window: NDArray[np.float32] = self._ring[np.arange(start, stop) % self.length]
        return window


def log_mel_frames(blocks: Iterable[Samples]) -> NDArray[np.float32]:
    """Return all whole log-mel frames of a sound, float32 [frames, 80]; of its blocks none is kept."""
    bank = LogMel(1)
    frames = [np.zeros((0, MEL_BINS), np.float32)]
    for block in blocks:
        for start in range(0, len(block), FRAME_STEP):
            if bank.push(block[start : start + FRAME_STEP]):
                frames.append(bank.read(bank.frames - 1, bank.frames))
    return np.concatenate(frames)


def _options() -> knf.FbankOptions:
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "povey"
    options.frame_opts.snip_edges = True
    options.mel_opts.num_bins = MEL_BINS
    options.mel_opts.low_freq = 20.0
    options.mel_opts.high_freq = SAMPLE_RATE / 2
    return options
