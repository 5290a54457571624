"""Sound of a film: any rate and any channels become AAC in mono or stereo, none of them lost.

Channels whose meaning is known are mixed as FFmpeg mixes them (ITU-R BS.775: centre and surrounds 3 dB lower, no LFE).
Of more than two that nobody knows, odd ones go to the left and even ones to the right, as loud as one of them.
"""

from fractions import Fraction
from typing import Any

import numpy as np

from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.sound.sound_file import Sound
from clavilux.runtime.sound.tape import Tape

CODEC = "aac"
RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)  # Hz, AAC's own
BLOCK = 4_096  # samples of each channel that are mixed at once


def aac_rate(rate: int) -> int:
    """Return AAC's lowest rate in Hz that loses nothing of sound at `rate` Hz, or its highest one."""
    return next((one for one in RATES if one >= rate), RATES[-1])


def known_layout(sound: Sound) -> str:
    """Return FFmpeg's name of a sound's channels after `divided`."""
    return sound.layout or ("mono" if sound.channels == 1 else "stereo")


def divided(samples: Samples, layout: str) -> Samples:
    """Return sound, float32 [n, channels], as [n, 2] where its layout is "" and there are more; else as it is.

    Each side is the sum of its channels by the root of their number: what is heard of independent ones is as loud as
    one of them is on the average.
    """
    if layout or samples.shape[1] <= 2:
        return samples
    sides = [samples[:, side::2] for side in (0, 1)]
    mixed: Samples = np.stack([one.sum(axis=1) / np.sqrt(one.shape[1]) for one in sides], axis=1).astype(np.float32)
    return mixed


class Soundtrack:
    """Sound that is written into a container piece by piece, beside the pictures that belong to it."""

    def __init__(self, av: Any, container: Any, sound: Sound) -> None:
        """Add a stream for `sound` to PyAV's `container`."""
        self._av, self._container, self._sound = av, container, sound
        self._tape = Tape(sound)
        self._layout = known_layout(sound)
        self._mixed = "mono" if self._layout == "mono" else "stereo"
        self._rate = aac_rate(sound.rate)
        self._stream = container.add_stream(CODEC, rate=self._rate, layout=self._mixed)
        self._resampler = av.AudioResampler(format="fltp", layout=self._mixed, rate=self._rate)
        self._written = 0  # samples at the stream's rate

    def write(self, until: Fraction) -> None:
        """Write what sounds before `until` seconds. Raises SoundError."""
        end = round(until * self._sound.rate)
        while self._tape.taken < end and len(block := self._tape.take(min(end, self._tape.taken + BLOCK))):
            self._encode(self._resampler.resample(self._frame(divided(block, self._sound.layout))))

    def finish(self) -> None:
        """Write the rest. Raises SoundError."""
        while len(block := self._tape.take(self._tape.taken + BLOCK)):
            self._encode(self._resampler.resample(self._frame(divided(block, self._sound.layout))))
        if self._tape.taken:
            self._encode(self._resampler.resample(None))
        self._container.mux(self._stream.encode(None))

    def _frame(self, samples: Samples) -> Any:
        packed = np.ascontiguousarray(samples).reshape(1, -1)  # PyAV has no more than seven planes
        frame = self._av.AudioFrame.from_ndarray(packed, format="flt", layout=self._layout)
        frame.sample_rate = self._sound.rate
        return frame

    def _encode(self, frames: list[Any]) -> None:
        """Write resampled frames, cut at full scale: what is beyond it wraps in some players."""
        for frame in frames:
            samples = np.clip(frame.to_ndarray(), -1, 1)
            cut = self._av.AudioFrame.from_ndarray(samples, format="fltp", layout=self._mixed)
            cut.sample_rate, cut.pts, cut.time_base = self._rate, self._written, Fraction(1, self._rate)
            self._written += samples.shape[1]
            self._container.mux(self._stream.encode(cut))
