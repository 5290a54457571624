"""Banks of short clips: many mono sounds of 16 kHz with a label and a voice each, in one safetensors file.

Assumes that a bank fits in memory (a thousand seconds are 32 MB).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

SAMPLE_RATE = 16_000  # Hz, the rate of everything that the encoder hears
QUIET = 0.01  # of the peak; softer ends are cut off
MARGIN = 480  # samples kept before and after the sound: 30 ms
PEAK = 0.5  # of full scale, for every clip
FULL_SCALE = 32767.0


@dataclass
class ClipBank:
    """Sounds [n] float32 in -1..1 with their labels (a concept's name, or "" for none) and voices."""

    sounds: list[NDArray[np.float32]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    voices: list[str] = field(default_factory=list)

    def add(self, sound: NDArray[np.float32], label: str, voice: str) -> None:
        """Append one clip."""
        self.sounds.append(sound)
        self.labels.append(label)
        self.voices.append(voice)

    def __len__(self) -> int:
        return len(self.sounds)

    def only(self, prefix: str) -> "ClipBank":
        """Return the clips whose voice begins with `prefix`."""
        chosen = [i for i, voice in enumerate(self.voices) if voice.startswith(prefix)]
        sounds, labels, voices = self.sounds, self.labels, self.voices
        return ClipBank([sounds[i] for i in chosen], [labels[i] for i in chosen], [voices[i] for i in chosen])

    def merged(self, other: "ClipBank") -> "ClipBank":
        """Return these clips and then the other's."""
        return ClipBank(self.sounds + other.sounds, self.labels + other.labels, self.voices + other.voices)

    def save(self, path: Path) -> None:
        """Write the bank as 16-bit samples; a half-written file never carries the final name."""
        samples = np.concatenate([np.round(sound * FULL_SCALE) for sound in self.sounds]).astype(np.int16)
        lengths = np.array([len(sound) for sound in self.sounds], np.int64)
        names = {"labels": json.dumps(self.labels), "voices": json.dumps(self.voices)}
        partial = path.with_suffix(".partial")
        save_file({"samples": samples, "lengths": lengths}, str(partial), metadata=names)
        partial.rename(path)


def load_bank(path: Path) -> ClipBank:
    """Read what `ClipBank.save` wrote."""
    with safe_open(str(path), framework="np") as file:
        samples, lengths, names = file.get_tensor("samples"), file.get_tensor("lengths"), file.metadata()
    sounds = np.split(samples.astype(np.float32) / np.float32(FULL_SCALE), np.cumsum(lengths)[:-1])
    return ClipBank(sounds, json.loads(names["labels"]), json.loads(names["voices"]))


def tidy(samples: NDArray[np.float32], rate: int, longest: float = 4.0) -> NDArray[np.float32]:
    """Return mono samples at SAMPLE_RATE without their silent ends, at most `longest` seconds, with peak PEAK.

    `samples` is [n] or [n, channels] at `rate` Hz. Silence comes back empty.
    """
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    sound: NDArray[np.float32] = soxr.resample(mono, rate, SAMPLE_RATE).astype(np.float32)
    loud = np.flatnonzero(np.abs(sound) > QUIET * np.abs(sound).max(initial=0.0))
    if not len(loud):
        return sound[:0]
    kept = sound[max(0, loud[0] - MARGIN) : loud[-1] + MARGIN][: int(longest * SAMPLE_RATE)]
    result: NDArray[np.float32] = kept * np.float32(PEAK / np.abs(kept).max())
    return result
