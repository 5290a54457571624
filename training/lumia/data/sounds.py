"""Real and rendered sounds of the concepts: CC0 and CC-BY recordings, and effects and instruments of two sound fonts.

OpenSFX's `.cat` file: pairs of little-endian (offset, length), then per sound its title (length byte first) and a RIFF
file. Takes under a share-alike licence are refused. Rendering is by fluidsynth. Keys are split: odd ones are for
training, even ones for measuring.
"""

import io
import random
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import assets
from clavilux.training.lumia.data.clips import LabelledClip, Origin, Split, tidy
from clavilux.training.lumia.data.concepts import CONCEPTS, Concept, SoundSource

OFFSET_MASK = 0x7FFFFFFF
TICKS_PER_SECOND = 960  # MIDI: 480 a quarter note at the default 120 quarters a minute
RENDER_RATE = 32_000  # Hz
CUT_SECONDS = 2.5  # longest piece of a recording that becomes one clip
DRUM_CHANNEL = 9
MAX_RECORDING = 12.0  # seconds of a recording that are used
RENDERED: dict[Split, int] = {"train": 8, "test": 2}  # takes per source
CHORDS = 0.35  # share of chords among takes of several notes
FONTS = {
    "effect": "Debian fluid-soundfont-gs",
    "instrument": "Debian fluid-soundfont-gm",
    "drums": "Debian fluid-soundfont-gm",
}
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
            if sound.kind not in ("recording", "sample"):
                if split == "test" and sound.keys[0] == sound.keys[1]:
                    continue  # its only key was trained on
                for _ in range(RENDERED[split]):
                    origin = Origin(sound.source, FONTS[sound.kind], "MIT")
                    yield LabelledClip(tidy(*render(sound, dice, split), CUT_SECONDS), concept.name, origin)
            elif split == "train":
                yield from _cuts(concept, sound, takes)


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


def render(sound: SoundSource, dice: random.Random, split: Split) -> tuple[NDArray[np.float32], int]:
    """Return one rendered take and its rate: notes or a chord of odd keys, or of even ones in the test."""
    with tempfile.TemporaryDirectory() as folder:
        midi, wave = Path(folder) / "take.mid", Path(folder) / "take.wav"
        midi.write_bytes(_midi(sound, dice, split))
        font = assets.installed("FluidR3_GS.sf2" if sound.kind == "effect" else "FluidR3_GM.sf2")
        options = ["-ni", "-q", "-g", "0.6", "-r", str(RENDER_RATE), "-o", "synth.midi-bank-select=gs"]
        assets.run(["fluidsynth", *options, "-F", str(wave), str(font), str(midi)])
        samples, rate = soundfile.read(wave, dtype="float32")
    return samples[: int(CUT_SECONDS * rate)], rate


def _midi(sound: SoundSource, dice: random.Random, split: Split) -> bytes:
    channel = DRUM_CHANNEL if sound.kind == "drums" else 0
    setup = b"\x00" + bytes([0xB0 | channel, 0, sound.bank]) + b"\x00" + bytes([0xC0 | channel, sound.program])
    notes = 1 if sound.kind == "effect" else dice.randint(1, 5)
    chord = notes > 1 and sound.kind == "instrument" and dice.random() < CHORDS
    length = CUT_SECONDS / (1 if chord else notes) * dice.uniform(0.5, 1.0)
    keys = [key for key in range(sound.keys[0], sound.keys[1] + 1) if key % 2 == (split == "train")] or [sound.keys[0]]
    chosen = [Note(channel, dice.choice(keys), dice.randint(70, 127)) for _ in range(notes)]
    ticks = _variable(round(length * TICKS_PER_SECOND))
    together = b"".join(b"\x00" + one.on for one in chosen) + ticks + b"\x00".join(one.off for one in chosen)
    in_turn = b"".join(b"\x00" + one.on + ticks + one.off for one in chosen)
    track = setup + (together if chord else in_turn) + b"\x00\xff\x2f\x00"
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS_PER_SECOND // 2)
    return header + b"MTrk" + struct.pack(">I", len(track)) + track


@dataclass(frozen=True)
class Note:
    """One key of a MIDI channel, struck with a velocity of 1..127."""

    channel: int
    key: int
    velocity: int

    @property
    def on(self) -> bytes:
        """Return the event that begins it."""
        return bytes([0x90 | self.channel, self.key, self.velocity])

    @property
    def off(self) -> bytes:
        """Return the event that ends it."""
        return bytes([0x80 | self.channel, self.key, 0])


def _variable(value: int) -> bytes:
    """Return MIDI's variable-length form of a number."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | (value & 0x7F))
    return bytes(reversed(parts))
