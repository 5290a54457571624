"""Stretches of sound files as the encoder hears them: read in part, at 16 kHz, mono, then log-mel, normalised, stacked.

A whole clip passes as in the reference: its mel bins are normalised over all of it, then it is cut to the window. That
reads no more than the first MAX_SECONDS, as long as FSD50K's longest clips. Windows from elsewhere in a clip are
normalised by themselves, as the instrument does when it slides. Formats are those that libsndfile reads.
"""

import io
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from clavilux.export.models.feature_extractor import STACK
from clavilux.runtime.bundle.graphs import MIN_FRAMES
from clavilux.runtime.bundle.manifest import LEAD_INS
from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound.format import FRAME_LENGTH, FRAME_STEP, MEL_BINS, SAMPLE_RATE
from clavilux.training.alignment.data.window import Window
from clavilux.training.features import VARIANCE_FLOOR, log_mel

MAX_SECONDS = 30  # of a clip that its statistics are taken from
MIN_SAMPLES = FRAME_LENGTH + (MIN_FRAMES - 1) * FRAME_STEP
MIN_HEARD = 6400  # samples of a clip in a partial window, at least: 0.4 s
CHECK_FRAMES = 1 << 20  # of a file, looked at together
LOUDEST = 1e9  # of a sample: float32 holds the log-mel powers of a thousand times as much
STREAMED = 0x7FFF_F000  # bytes and more: what those write as a WAV's length who do not know it yet
WAV_HEADER = 44  # bytes, which some writers count as sound

EncodedSound = Path | bytes
"""A file, or what is in one."""


@dataclass(frozen=True)
class Placing:
    """How training windows are laid on their clips; with both shares 0 as in the reference: at the beginning."""

    shift: float = 0.0  # share of windows at a random place inside a longer clip
    partial: float = 0.0  # share of windows that reach over a clip's beginning or end
    lead_in: str = LEAD_INS[0]  # what a window holds before its clip began: nothing, or digital silence

    def __post_init__(self) -> None:
        for name, share in (("shift", self.shift), ("partial", self.partial)):
            if not 0 <= share <= 1:
                raise SoundError(f"the share {name} is {share:g}; expected 0 to 1")
        if self.lead_in not in LEAD_INS:
            raise SoundError(f"the lead-in is {self.lead_in!r}; expected one of {', '.join(LEAD_INS)}")


REFERENCE = Placing()


def open_sound(sound: EncodedSound) -> soundfile.SoundFile:
    """Open a file for reading. Raises SoundError, in a few words, when libsndfile cannot."""
    try:
        return soundfile.SoundFile(io.BytesIO(sound) if isinstance(sound, bytes) else sound)
    except soundfile.LibsndfileError as error:
        raise SoundError(error.error_string.strip().rstrip(".")) from error


def bytes_missing(sound: EncodedSound) -> int:
    """Return how many bytes a WAV's header promises beyond the file's end, where libsndfile only shortens the sound."""
    with io.BytesIO(sound) if isinstance(sound, bytes) else sound.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        riff, _, kind = struct.unpack("<4sI4s", file.read(12).ljust(12))
        while (riff, kind) == (b"RIFF", b"WAVE") and file.tell() + 8 <= end:
            name, size = struct.unpack("<4sI", file.read(8))
            if name == b"data":
                missing = file.tell() + size - end
                return missing if missing > WAV_HEADER and size < STREAMED else 0
            file.seek(size + size % 2, os.SEEK_CUR)
    return 0


def length(file: soundfile.SoundFile) -> int:
    """Return how many samples a file has at 16 kHz, mono."""
    return int(file.frames * SAMPLE_RATE / file.samplerate)


def stretch(file: soundfile.SoundFile, start: int, count: int) -> NDArray[np.float32]:
    """Return up to `count` samples from sample `start` on, 16 kHz mono float32: fewer where the file ends.

    Raises SoundError when the file cannot be read there, or holds what is no sound.
    """
    rate = file.samplerate
    try:
        file.seek(min(start * rate // SAMPLE_RATE, file.frames))
        raw = file.read(math.ceil(count * rate / SAMPLE_RATE), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise SoundError(error.error_string.strip().rstrip(".")) from error
    if not np.abs(raw).max(initial=0.0) <= LOUDEST:
        raise SoundError("it holds samples that are no numbers, or too large")
    mono = raw.mean(axis=1)
    resampled: NDArray[np.float32] = mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE)
    return resampled[:count].astype(np.float32, copy=False)


def heard_whole(sound: EncodedSound, window: Window) -> NDArray[np.float32]:
    """Return a clip as the reference feeds it, float32 [frames / 2, 160]."""
    with open_sound(sound) as file:
        samples = stretch(file, 0, MAX_SECONDS * SAMPLE_RATE)
    return prepared(log_mel(samples), window)


def heard_at(sound: EncodedSound, window: Window, end: int, lead_in: str) -> NDArray[np.float32]:
    """Return what a sliding window hears when it ends at sample `end` of a clip, float32 [frames / 2, 160].

    What lies before the clip is digital silence or, with the lead-in "nothing", not there yet: the window is shorter,
    and padded behind. After the clip there is digital silence.
    """
    start = end - window.samples
    with open_sound(sound) as file:
        samples = stretch(file, max(start, 0), end - max(start, 0))
    before = max(-start, 0) if lead_in == "silence" else 0
    after = end - max(start, 0) - len(samples)
    return prepared(log_mel(np.pad(samples, (before, after))), window)


def heard(sound: EncodedSound, window: Window, placing: Placing, dice: np.random.Generator) -> NDArray[np.float32]:
    """Return one training example of a clip, float32 [frames / 2, 160], placed as the dice fall."""
    partial, shifted = dice.random(2) < (placing.partial, placing.shift)
    if not partial and not shifted:
        return heard_whole(sound, window)
    with open_sound(sound) as file:
        samples = length(file)
    if partial:
        least = min(samples, MIN_HEARD, window.samples)
        return heard_at(sound, window, int(dice.integers(least, samples + window.samples - least + 1)), placing.lead_in)
    if samples <= window.samples:
        return heard_whole(sound, window)
    return heard_at(sound, window, int(dice.integers(window.samples, samples + 1)), placing.lead_in)


def sliding_ends(samples: int, window: Window, count: int) -> list[int]:
    """Return where `count` windows end that slide over a clip: the first just hears it, the last is about to lose it.

    `samples` is the clip's length; the ends are spaced evenly, in samples after the clip's beginning.
    """
    least = min(samples, MIN_HEARD, window.samples)
    return [round(end) for end in np.linspace(least, samples + window.samples - least, count)]


def prepared(frames: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """Return log-mel frames [T, 80], T >= 2, as the encoder takes them, float32 [frames / 2, 160].

    Each bin gets mean 0 and variance 1 over all T frames; then they are cut or padded with zeros to the window, and
    pairs are laid side by side: what SeamlessM4TFeatureExtractor does. Raises SoundError for fewer frames.
    """
    if len(frames) < MIN_FRAMES:
        raise SoundError(f"it has {len(frames)} frames of 10 ms; expected {MIN_FRAMES} or more")
    exact = frames.astype(np.float64)
    clean = (exact - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0, ddof=1) + VARIANCE_FLOOR)
    cut = clean[: window.frames].astype(np.float32)
    padded = np.pad(cut, ((0, window.frames - len(cut)), (0, 0)))
    return padded.reshape(window.frames // STACK, STACK * MEL_BINS)
