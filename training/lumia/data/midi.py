"""Passages of notes, and their sound from a sound font: many passages as one MIDI file, rendered once and cut.

A process of fluidsynth loads its sound font for a second and renders minutes in another, so passages are rendered
BATCH at a time. Assumes fluidsynth on the path.
"""

import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from clavilux.training.lumia.data import assets

TICKS_PER_SECOND = 960  # MIDI: 480 a quarter note at the default 120 quarters a minute
RENDER_RATE = 32_000  # Hz
DRUM_CHANNEL = 9
PASSAGE_SECONDS = 2.5
GAP_SECONDS = 0.75  # of silence after each passage, in which the reverb dies away
BATCH = 60  # passages of one file: 50 MB of sound
BANK, REVERB, SOUND_OFF = 0, 91, 120  # numbers of controllers


@dataclass(frozen=True)
class Note:
    """One key of a MIDI channel, struck with a velocity of 1..127 at a time."""

    channel: int
    key: int
    velocity: int
    start: float = 0.0  # s after the passage's beginning
    seconds: float = 0.5


@dataclass(frozen=True)
class Passage:
    """Notes that are played for some time."""

    notes: tuple[Note, ...]
    programs: dict[int, int] = field(default_factory=dict)  # of each channel
    bank: int = 0
    reverb: int = 40  # 0..127
    seconds: float = PASSAGE_SECONDS


def rendered(font: str, passages: Sequence[Passage]) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield each passage's samples [n, 2] and their rate; `font` is a key of `assets.DATA_FILES`.

    Raises ClaviluxError when the sound font or fluidsynth is missing.
    """
    path = assets.installed(font)
    for start in range(0, len(passages), BATCH):
        part = passages[start : start + BATCH]
        samples = _render(path, midi_file(part))
        for begin, one in zip(_beginnings(part), part, strict=True):
            first = round(begin * RENDER_RATE)
            yield samples[first : first + round(one.seconds * RENDER_RATE)], RENDER_RATE


def _beginnings(passages: Sequence[Passage]) -> list[float]:
    """Return when each passage begins, s."""
    return list(accumulate((one.seconds + GAP_SECONDS for one in passages[:-1]), initial=0.0))


def _render(font: Path, midi: bytes) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory() as folder:
        score, wave = Path(folder) / "passages.mid", Path(folder) / "passages.wav"
        score.write_bytes(midi)
        options = ["-ni", "-q", "-g", "0.4", "-r", str(RENDER_RATE), "-o", "synth.midi-bank-select=gs"]
        assets.run(["fluidsynth", *options, "-F", str(wave), str(font), str(score)])
        samples: NDArray[np.float32] = soundfile.read(wave, dtype="float32")[0]
    return samples


def midi_file(passages: Sequence[Passage]) -> bytes:
    """Return a MIDI file of one track with the passages one after the other."""
    each = zip(passages, _beginnings(passages), strict=True)
    timed = [event for one, begin in each for event in _events(one, begin)]
    track, now = b"", 0
    for ticks, _, message in sorted(timed, key=lambda event: event[:2]):
        track += variable(ticks - now) + message
        now = ticks
    track += variable(TICKS_PER_SECOND) + b"\xff\x2f\x00"
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS_PER_SECOND // 2)
    return header + b"MTrk" + struct.pack(">I", len(track)) + track


def _events(passage: Passage, begin: float) -> Iterator[tuple[int, int, bytes]]:
    """Yield (ticks, rank among those of a tick, message): set-up, note off, note on, and silence at the end."""
    for channel in sorted({note.channel for note in passage.notes}):
        setup = ((BANK, passage.bank), (REVERB, passage.reverb))
        for controller, value in setup:
            yield _ticks(begin), 0, bytes([0xB0 | channel, controller, value])
        yield _ticks(begin), 1, bytes([0xC0 | channel, passage.programs.get(channel, 0)])
        yield _ticks(begin + passage.seconds + 0.02), 4, bytes([0xB0 | channel, SOUND_OFF, 0])
    for note in passage.notes:
        end = min(note.start + note.seconds, passage.seconds)
        yield _ticks(begin + note.start), 3, bytes([0x90 | note.channel, note.key, note.velocity])
        yield _ticks(begin + end), 2, bytes([0x80 | note.channel, note.key, 0])


def _ticks(seconds: float) -> int:
    return round(seconds * TICKS_PER_SECOND)


def variable(value: int) -> bytes:
    """Return MIDI's variable-length form of a number."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | (value & 0x7F))
    return bytes(reversed(parts))
