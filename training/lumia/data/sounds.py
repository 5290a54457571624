"""Real and rendered sounds of the concepts: CC0 and CC-BY recordings, and effects and instruments of two sound fonts.

OpenSFX's `.cat` file: pairs of little-endian (offset, length), then per sound its title (length byte first) and a RIFF
file. Takes under a share-alike licence are refused. Rendered are notes held, chords, arpeggios, phrases and beats. Keys
are split: odd ones are for training, even ones for measuring, so chords are of whole tones.
"""

import io
import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import assets
from clavilux.training.lumia.data.clips import LabelledClip, Origin, Split, tidy
from clavilux.training.lumia.data.concepts import CONCEPTS, Concept, SoundSource
from clavilux.training.lumia.data.midi import DRUM_CHANNEL, PASSAGE_SECONDS, Note, Passage, rendered

OFFSET_MASK = 0x7FFFFFFF
CUT_SECONDS = PASSAGE_SECONDS  # longest piece of a recording that becomes one clip
MAX_RECORDING = 12.0  # seconds of a recording that are used
RENDERED: dict[Split, int] = {"train": 16, "test": 2}  # takes per source
TENTH = 16  # semitones
Keys = Sequence[int]  # MIDI keys that may be struck, rising
FONTS = {
    "effect": "Debian fluid-soundfont-gs",
    "instrument": "Debian fluid-soundfont-gm",
    "drums": "Debian fluid-soundfont-gm",
}
FONT_FILES = {"effect": "FluidR3_GS.sf2", "instrument": "FluidR3_GM.sf2", "drums": "FluidR3_GM.sf2"}
OPEN_LICENCES = {"Creative Commons Zero": "CC0-1.0", "Creative Commons Attribution 3.0": "CC-BY-3.0"}


@dataclass(frozen=True)
class Recording:
    """One take of OpenSFX."""

    title: str
    credit: str  # who made it from what, under which licence
    wave: bytes

    @property
    def licence(self) -> str:
        """Return the licence; ClaviluxError for any but CC0 and CC-BY."""
        if "ShareAlike" not in self.credit:
            for words, name in OPEN_LICENCES.items():
                if words in self.credit:
                    return name
        raise ClaviluxError(f"the recording {self.title!r} is not CC0 or CC-BY; choose another")


def recordings(path: Path) -> dict[str, Recording]:
    """Return the takes of an OpenSFX `.cat` file by title."""
    data = path.read_bytes()
    count = (struct.unpack_from("<I", data)[0] & OFFSET_MASK) // 8
    takes = [_recording(data, *struct.unpack_from("<II", data, 8 * i)) for i in range(count)]
    return {take.title: take for take in takes}


def _recording(data: bytes, offset: int, length: int) -> Recording:
    start = offset & OFFSET_MASK
    title_end = start + 1 + data[start]
    text = data[start + 1 : title_end].split(b"\0")[0].decode("latin-1")
    title = text.split('"')[1]
    return Recording(title, text, data[title_end : title_end + length])


def rendered_sounds(seed: int, split: Split) -> Iterator[LabelledClip]:
    """Yield clips of every sound: to train on, or for the test at keys that training never hears.

    A recording that has no second take is trained on whole; the test has none of it.
    """
    dice = random.Random(f"sounds {seed} {split}")
    takes = recordings(assets.installed("opensfx.cat"))
    for concept in CONCEPTS:
        for sound in concept.sounds:
            if sound.kind in ("recording", "sample"):
                if split == "train":
                    yield from _cuts(concept, sound, takes)
            elif split == "train" or sound.keys[0] != sound.keys[1]:  # its only key was trained on
                passages = [passage(sound, dice, split) for _ in range(RENDERED[split])]
                origin = Origin(sound.source, FONTS[sound.kind], "MIT")
                for samples, rate in rendered(FONT_FILES[sound.kind], passages):
                    yield LabelledClip(tidy(samples, rate, CUT_SECONDS), concept.name, origin)


def _cuts(concept: Concept, sound: SoundSource, takes: dict[str, Recording]) -> Iterator[LabelledClip]:
    """Yield pieces of a recording's beginning, at most CUT_SECONDS long; each overlaps half of the one before."""
    if sound.kind == "sample":
        samples, rate = _read(assets.installed("samples") / f"{sound.name}.flac")
        origin = Origin(sound.source, "Debian sonic-pi-samples", "CC0-1.0")
    else:
        take = takes[sound.name]
        samples, rate = _read(io.BytesIO(take.wave))
        origin = Origin(sound.source, "Debian openttd-opensfx", take.licence, take.credit)
    whole = tidy(samples, rate, longest=MAX_RECORDING)
    length = int(CUT_SECONDS * SAMPLE_RATE)
    for start in range(0, max(1, len(whole) - length // 2), length // 2):
        piece = tidy(whole[start : start + length], SAMPLE_RATE, CUT_SECONDS)
        if len(piece):
            yield LabelledClip(piece, concept.name, origin)


def _read(file: Path | io.BytesIO) -> tuple[NDArray[np.float32], int]:
    samples, rate = soundfile.read(file, dtype="float32")
    return samples, rate


def passage(sound: SoundSource, dice: random.Random, split: Split) -> Passage:
    """Return one take: an effect's note, or a figure of odd keys, of even ones in the test."""
    channel = DRUM_CHANNEL if sound.kind == "drums" else 0
    keys = [key for key in range(sound.keys[0], sound.keys[1] + 1) if key % 2 == (split == "train")] or [sound.keys[0]]
    if sound.kind == "effect":
        notes = [Note(0, dice.choice(keys), dice.randint(70, 127), 0.0, CUT_SECONDS * dice.uniform(0.5, 1.0))]
    else:
        figure = dice.choice(FIGURES if sound.kind == "instrument" else (beats,))
        loud = dice.randint(55, 120)
        notes = [replace(note, channel=channel, velocity=_near(loud, dice)) for note in figure(keys, dice)]
    return Passage(tuple(notes), {channel: sound.program}, sound.bank, dice.randint(0, 90))


def _near(velocity: int, dice: random.Random) -> int:
    return max(30, min(127, velocity + dice.randint(-15, 15)))


def held(keys: Keys, dice: random.Random) -> list[Note]:
    """Return one long note, or two."""
    count = dice.choice((1, 1, 2))
    step = CUT_SECONDS / count
    return [Note(0, dice.choice(keys), 64, i * step, step * dice.uniform(0.6, 1.0)) for i in range(count)]


def chords(keys: Keys, dice: random.Random) -> list[Note]:
    """Return one to four chords of two to four keys within a tenth."""
    count = dice.randint(1, 4)
    step = CUT_SECONDS / count
    return [
        Note(0, key, 64, i * step, step * dice.uniform(0.5, 1.0))
        for i in range(count)
        for key in _close(keys, dice, dice.randint(2, 4))
    ]


def _close(keys: Keys, dice: random.Random, count: int) -> list[int]:
    """Return different keys, at most `count`, within TENTH semitones."""
    low = dice.choice(keys)
    near = [key for key in keys if low <= key <= low + TENTH]
    return sorted(dice.sample(near, min(count, len(near))))


def arpeggio(keys: Keys, dice: random.Random) -> list[Note]:
    """Return a chord's keys by turns, up, down or both, two to nine a second."""
    chord = _close(keys, dice, dice.randint(3, 5))
    order = dice.choice((chord, chord[::-1], chord + chord[-2:0:-1]))
    step = 1 / dice.uniform(2.0, 9.0)
    ringing = dice.uniform(0.6, 2.0)
    return [Note(0, order[i % len(order)], 64, i * step, ringing * step) for i in range(int(CUT_SECONDS / step))]


def phrase(keys: Keys, dice: random.Random) -> list[Note]:
    """Return a melody: a walk over neighbouring keys in a rhythm of eighths, quarters and halves."""
    beat, at, place, notes = 60 / dice.uniform(60, 190), 0.0, dice.randrange(len(keys)), []
    while at < CUT_SECONDS - 0.1:
        seconds = beat * dice.choice((0.25, 0.5, 0.5, 1.0, 1.0, 2.0))
        notes.append(Note(0, keys[place], 64, at, seconds * dice.uniform(0.5, 1.05)))
        at += seconds
        place = max(0, min(len(keys) - 1, place + dice.choice((-2, -1, -1, 0, 1, 1, 2, 3, -3))))
    return notes


def beats(keys: Keys, dice: random.Random) -> list[Note]:
    """Return one to sixteen strokes in a rhythm on a few of a kit's pieces."""
    pieces = dice.sample(keys, min(len(keys), dice.randint(1, 4)))
    step = 1 / dice.uniform(1.5, 11.0)
    times = [i * step for i in range(int(CUT_SECONDS / step)) if i == 0 or dice.random() < 0.75]
    return [Note(0, dice.choice(pieces), 64, at, step) for at in times[: dice.randint(1, 16)]]


FIGURES = (held, chords, arpeggio, phrase, phrase)
