"""Tape: a sound's blocks as one stretch that is read on by any number of samples, holding no more than is asked for."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.sound.sound_file import Sound

SKIPPED = 2**16  # samples at once


@dataclass(frozen=True)
class Survey:
    """One pass over a whole sound: its length, and what it is known by."""

    samples: int  # of a channel
    sha256: str  # of the rate, the number of channels and all samples, 64 hexadecimal digits


def survey(sound: Sound) -> Survey:
    """Read all of a sound, so that whatever is wrong with it is known before anything is made of it.

    Raises SoundError.
    """
    digest, samples = hashlib.sha256(f"{sound.rate} {sound.channels} ".encode()), 0
    for block in sound.blocks():
        digest.update(np.ascontiguousarray(block).data)
        samples += len(block)
    return Survey(samples, digest.hexdigest())


class Tape:
    """A sound from its beginning. Raises SoundError as the sound's blocks do."""

    def __init__(self, sound: Sound) -> None:
        self.taken = 0  # samples
        self._blocks: Iterator[Samples] = sound.blocks()
        self._ahead = np.zeros((0, sound.channels), np.float32)

    def reach(self, samples: int) -> int:
        """Return how many samples the sound has, of `samples` from its beginning at most."""
        blocks, ahead = [self._ahead], self.taken + len(self._ahead)
        while ahead < samples and (block := next(self._blocks, None)) is not None:
            blocks.append(block)
            ahead += len(block)
        self._ahead = np.concatenate(blocks) if len(blocks) > 1 else self._ahead
        return min(ahead, samples)

    def take(self, until: int) -> Samples:
        """Return what comes up to sample `until` (excluded), float32 [n, channels]; less at the end."""
        count = self.reach(until) - self.taken
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        self.taken += count
        return taken

    def skip(self, until: int) -> None:
        """Pass over what comes up to sample `until` (excluded)."""
        while self.taken < until and len(self.take(min(until, self.taken + SKIPPED))):
            pass
