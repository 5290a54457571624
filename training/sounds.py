"""Real and rendered sounds of the concepts: CC0 and CC-BY recordings, and effects and instruments of two sound fonts.

OpenSFX's `.cat` file: pairs of little-endian (offset, length), then per sound its title (length byte first) and a RIFF
file. Takes under a share-alike licence are refused. Rendering is by fluidsynth. Keys are split: odd ones are for
training, even ones for measuring.
"""

import io
import random
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from runtime.errors import ClaviluxError
from training import assets
from training.clips import ClipBank, tidy
from training.concepts import CONCEPTS, Concept, Sound

OFFSET_MASK = 0x7FFFFFFF
TICKS_PER_SECOND = 960  # MIDI: 480 a quarter note at the default 120 quarters a minute
RENDER_RATE = 32_000  # Hz
CUT_SECONDS = 2.5  # longest piece of a recording that becomes one clip
DRUM_CHANNEL = 9
RENDERED = 6  # takes per source
OPEN_LICENCES = ("Creative Commons Zero", "Creative Commons Attribution 3.0")


@dataclass(frozen=True)
class Recording:
    """One take of OpenSFX."""

    title: str
    credit: str  # who made it from what, under which licence
    wave: bytes


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


def credits() -> list[str]:
    """Return the credit line of every recording that the concepts use, CC0 ones included."""
    takes = recordings(assets.installed("opensfx.cat"))
    names = [sound.name for concept in CONCEPTS for sound in concept.sounds if sound.kind == "recording"]
    return [takes[name].credit for name in names]


def sound_bank(seed: int, *, held_out: bool) -> ClipBank:
    """Return clips of every sound: to train on, or (`held_out`) at keys and speeds that training never hears."""
    dice = random.Random(seed + held_out)
    takes = recordings(assets.installed("opensfx.cat"))
    bank = ClipBank()
    for concept in CONCEPTS:
        for sound in concept.sounds:
            if sound.kind in ("recording", "sample"):
                _add_cuts(bank, concept, sound, _file(sound, takes), held_out=held_out)
            else:
                for _ in range(2 if held_out else RENDERED):
                    bank.add(
                        tidy(*render(sound, dice, held_out=held_out)), concept.name, f"{sound.kind}/{sound.program}"
                    )
    return bank


def _file(sound: Sound, takes: dict[str, Recording]) -> tuple[NDArray[np.float32], int]:
    if sound.kind == "sample":
        return _read(assets.installed("samples") / f"{sound.name}.flac")
    take = takes[sound.name]
    if not any(licence in take.credit for licence in OPEN_LICENCES) or "ShareAlike" in take.credit:
        raise ClaviluxError(f"the recording {take.title!r} is not CC0 or CC-BY; choose another")
    return _read(io.BytesIO(take.wave))


def _read(file: Path | io.BytesIO) -> tuple[NDArray[np.float32], int]:
    samples, rate = soundfile.read(file, dtype="float32")
    return samples, rate


def _add_cuts(
    bank: ClipBank, concept: Concept, sound: Sound, source: tuple[NDArray[np.float32], int], *, held_out: bool
) -> None:
    """Add whole recordings to train on; to measure, the same take 12 % faster and higher, since there is no other."""
    samples, rate = source
    name = f"{sound.kind}/{sound.name}"
    bank.add(tidy(samples, round(rate * 1.12) if held_out else rate, CUT_SECONDS), concept.name, name)


def render(sound: Sound, dice: random.Random, *, held_out: bool) -> tuple[NDArray[np.float32], int]:
    """Return one rendered take and its rate: one to five notes of odd keys, or of even ones when held out."""
    with tempfile.TemporaryDirectory() as folder:
        midi, wave = Path(folder) / "take.mid", Path(folder) / "take.wav"
        midi.write_bytes(_midi(sound, dice, held_out=held_out))
        font = assets.installed("FluidR3_GS.sf2" if sound.kind == "effect" else "FluidR3_GM.sf2")
        options = ["-ni", "-q", "-g", "0.6", "-r", str(RENDER_RATE), "-o", "synth.midi-bank-select=gs"]
        assets.run(["fluidsynth", *options, "-F", str(wave), str(font), str(midi)])
        samples, rate = soundfile.read(wave, dtype="float32")
    return samples[: int(CUT_SECONDS * rate)], rate


def _midi(sound: Sound, dice: random.Random, *, held_out: bool) -> bytes:
    channel = DRUM_CHANNEL if sound.kind == "drums" else 0
    setup = b"\x00" + bytes([0xB0 | channel, 0, sound.bank]) + b"\x00" + bytes([0xC0 | channel, sound.program])
    notes = 1 if sound.kind == "effect" else dice.randint(1, 5)
    length = CUT_SECONDS / notes * dice.uniform(0.5, 1.0)
    keys = [key for key in range(sound.keys[0], sound.keys[1] + 1) if key % 2 == (0 if held_out else 1)]
    events = b"".join(
        _note(channel, dice.choice(keys or [sound.keys[0]]), dice.randint(70, 127), length) for _ in range(notes)
    )
    track = setup + events + b"\x00\xff\x2f\x00"
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS_PER_SECOND // 2)
    return header + b"MTrk" + struct.pack(">I", len(track)) + track


def _note(channel: int, key: int, velocity: int, seconds: float) -> bytes:
    ticks = _variable(round(seconds * TICKS_PER_SECOND))
    return b"\x00" + bytes([0x90 | channel, key, velocity]) + ticks + bytes([0x80 | channel, key, 0])


def _variable(value: int) -> bytes:
    """Return MIDI's variable-length form of a number."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | (value & 0x7F))
    return bytes(reversed(parts))
