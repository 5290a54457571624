"""Sounds of the films: words over music, recordings, and a piece of chords, choir, drums and a sweep.

Nothing of it was trained on: hibari's voice, recordings that are only measured with, programs and keys that are held
out, a sweep that no seed drew.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import measuring_sets
from clavilux.training.lumia.data.clips import LabelledClip, of_engine, read_clips
from clavilux.training.lumia.data.midi import DRUM_CHANNEL, Note, Passage, rendered
from clavilux.training.lumia.data.music import FONT

Mono = NDArray[np.float32]

WORDS = (
    "owl", "castle", "rocket", "strawberry", "butterfly", "lion", "sailboat", "tulip", "penguin", "violin",
    "fire", "rainbow",
)  # fmt: skip
EFFECTS = ("dog", "cat", "thunder", "rain", "siren", "train", "bird", "sheep", "explosion", "applause")
SPACING = 2.0  # s from one word to the next
UNDERNEATH = 10 ** (-18 / 20)  # amplitude of the music under words
PEAK = 0.6
BAR = 2.4  # s
CHORDS = ((50, 57, 62, 66), (46, 58, 62, 66), (42, 58, 61, 66), (44, 56, 60, 64))  # keys, from low to high
HARP, CHOIR, PAD = 46, 53, 93  # MIDI programs; 53 and 93 are held out
BEAT = ((36, (0, 3, 4, 10)), (38, (4, 12)), (42, (0, 2, 4, 6, 8, 10, 12, 14)), (47, (11, 14, 15)))  # keys, sixteenths
LOWEST, HIGHEST = 70.0, 3500.0  # Hz, of the sweep
SWEEP_SECONDS = 12.0


def scores(work: Path) -> dict[str, Mono]:
    """Return the films' sounds by name, mono at SAMPLE_RATE. Raises ClaviluxError where something is not there."""
    test, real = read_clips(work, "test"), measuring_sets.real_sounds(work)
    words = sequence(of_engine(test, "hibari"), WORDS)
    chords, choir, drums = played()
    bed = np.resize(chords, len(words)) * UNDERNEATH if len(words) else words
    return {
        "words": words + bed,
        "effects": sequence([*real, *of_engine(test, "effect")], EFFECTS, 2.4),
        "music": np.concatenate([chords, choir, drums, sweep()]),
    }


def sequence(clips: Sequence[LabelledClip], names: Sequence[str], spacing: float = SPACING) -> Mono:
    """Return a clip for each name that has one, one every `spacing` seconds."""
    chosen = [clip for name in names if (clip := next((one for one in clips if one.label == name), None)) is not None]
    step = int(spacing * SAMPLE_RATE)
    longest = max((len(clip.sound) for clip in chosen), default=0)
    whole = np.zeros(step * len(chosen) + longest, np.float32)
    for i, clip in enumerate(chosen):
        whole[i * step : i * step + len(clip.sound)] += clip.sound
    return whole


def played() -> list[Mono]:
    """Return chords of a harp over a pad, the same by a choir, and a drum loop, from a sound font."""
    return [tidied(samples, rate) for samples, rate in rendered(FONT, [harp(), choir(), loop()])]


def harp() -> Passage:
    """Return arpeggios through the chords, twice, over held ones."""
    notes = []
    for bar, keys in enumerate(CHORDS * 2):
        rising = (*keys, *(key + 12 for key in keys[1:]), keys[-1] + 16)
        notes += [Note(1, key, 60, bar * BAR, BAR) for key in keys[1:]]
        notes += [Note(0, key, 70 + 5 * i, bar * BAR + i * BAR / 8, BAR) for i, key in enumerate(rising)]
    return Passage(tuple(notes), {0: HARP, 1: PAD}, reverb=90, seconds=BAR * len(CHORDS) * 2)


def choir() -> Passage:
    """Return the chords, sung higher and higher."""
    notes = [
        Note(0, key + 12 * (bar > 1), 60 + 14 * bar, bar * BAR, BAR) for bar, keys in enumerate(CHORDS) for key in keys
    ]
    return Passage(tuple(notes), {0: CHOIR}, reverb=100, seconds=BAR * len(CHORDS))


def loop() -> Passage:
    """Return a drum loop of four bars, from one instrument to all."""
    step = BAR / 16
    notes = [
        Note(DRUM_CHANNEL, key, 100 if at % 4 == 0 else 80, bar * BAR + at * step, step)
        for bar in range(4)
        for key, places in BEAT[: bar + 1]
        for at in places
    ]
    return Passage(tuple(notes), {DRUM_CHANNEL: 24}, reverb=40, seconds=BAR * 4)


def sweep() -> Mono:
    """Return a tone that rises evenly in octaves, first pure, then with more and more harmonics."""
    time = np.arange(int(SWEEP_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    share = time / SWEEP_SECONDS
    pitch = LOWEST * (HIGHEST / LOWEST) ** share
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    parts = (share ** (k - 1) / k * np.sin(k * phase) * (k * pitch < SAMPLE_RATE / 2) for k in range(1, 7))
    rim = np.minimum(1.0, np.minimum(time, SWEEP_SECONDS - time) / 0.3)
    return (0.35 * rim * sum(parts)).astype(np.float32)


def tidied(samples: NDArray[np.float32], rate: int) -> Mono:
    """Return mono samples at SAMPLE_RATE with peak PEAK, silences kept."""
    mono = soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE).astype(np.float32)
    return np.asarray(mono * (PEAK / max(1e-9, float(np.abs(mono).max()))), np.float32)
