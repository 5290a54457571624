"""A whole sound at 16 kHz mono, as libraries load a file: the mean of its channels, resampled by soxr.

The live path has a filter of its own (`clavilux.runtime.sound.resample`), which waits for less of the future and lets a
little less of the highest band through. What is known to its end need not hurry.
"""

import logging
from collections.abc import Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

from clavilux.runtime.sound.channels import AUDIBLE
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.sound.sound_file import Sound
from clavilux.runtime.sound.tape import Tape

log = logging.getLogger("clavilux.sound")

LOST = 10**-2.0  # of power, 20 dB: so far below unrelated channels' mean that one is taken for lost

QUALITY = "HQ"
"""Quality of soxr: librosa's default, with which the reference loads a file, and soxr's own, with which
`clavilux train` reads clips. In another one the highest mel bins differ."""


def read_whole(sound: Sound) -> Iterator[Samples]:
    """Yield all of a sound at 16 kHz, float32 [n], about a second at a time; what it yields is the same however read.

    The mean of the channels is taken. Where they cancel each other, as in phase-inverted stereo, the loudest one is
    taken alone, which is logged. Raises SoundError.
    """
    taken = None if sound.channels == 1 else channel_alone(_powers(sound))
    if taken is not None:
        log.info("channel %d of %d is heard alone, for the mean would lose it", taken + 1, sound.channels)
    tape, resampler = Tape(sound), soxr.ResampleStream(sound.rate, SAMPLE_RATE, 1, "float32", QUALITY)
    while len(block := tape.take(tape.taken + sound.rate)):
        mono = block.mean(axis=1, dtype=np.float32) if taken is None else np.ascontiguousarray(block[:, taken])
        yield mono if sound.rate == SAMPLE_RATE else resampler.resample_chunk(mono)
    if sound.rate != SAMPLE_RATE:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def channel_alone(powers: NDArray[np.float64]) -> int | None:
    """Return the channel to take alone, counted from 0, where the channels cancel each other in their mean; else None.

    `powers` are the mean squares [channels + 1] of each channel, and last of the mean. That of unrelated channels, or
    of one that is live among silent ones, is their sum over the squared count, which is no loss: the picture does not
    depend on loudness.
    """
    each, mean = powers[:-1], powers[-1]
    loudest = int(each.argmax())
    unrelated = each.sum() / len(each) ** 2
    return loudest if each[loudest] >= AUDIBLE and mean < LOST * unrelated else None


def _powers(sound: Sound) -> NDArray[np.float64]:
    """Return the mean squares of each channel of a whole sound, and of the mean; an offset is no sound."""
    count, sums, squares = 0, np.zeros(sound.channels + 1), np.zeros(sound.channels + 1)
    for block in sound.blocks():
        parts = np.column_stack([block, block.mean(axis=1)]).astype(np.float64)
        count, sums, squares = count + len(parts), sums + parts.sum(axis=0), squares + np.square(parts).sum(axis=0)
    powers: NDArray[np.float64] = squares / max(count, 1) - np.square(sums / max(count, 1))
    return powers
