"""Passages become one MIDI file, are rendered in batches, and are cut apart where they began."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clavilux.training.lumia.data import assets, midi
from clavilux.training.lumia.data.midi import GAP_SECONDS, PASSAGE_SECONDS, RENDER_RATE, Note, Passage, variable

SHORT = Passage((Note(0, 60, 100, 0.5, 0.25),), {0: 11}, bank=3, reverb=7)
PERIOD = PASSAGE_SECONDS + GAP_SECONDS


@dataclass(frozen=True)
class Event:
    """One message of a track."""

    seconds: float
    status: int
    data: tuple[int, ...]


def events(file: bytes) -> list[Event]:
    """Return the messages of a file of one track, without the last."""
    place, ticks, found = 22, 0, []
    while True:
        wait = 0
        while file[place] & 0x80:
            wait, place = (wait << 7) | (file[place] & 0x7F), place + 1
        wait, place = (wait << 7) | file[place], place + 1
        ticks += wait
        if file[place] == 0xFF:
            return found
        size = 2 if file[place] & 0xF0 == 0xC0 else 3
        found.append(Event(ticks / midi.TICKS_PER_SECOND, file[place], tuple(file[place + 1 : place + size])))
        place += size


def test_a_file_has_a_header_and_one_track_of_the_stated_length():
    file = midi.midi_file([SHORT])
    assert file[:4] == b"MThd"
    assert file[14:18] == b"MTrk"
    assert struct.unpack(">I", file[18:22])[0] == len(file) - 22
    assert file.endswith(b"\xff\x2f\x00")


def test_bank_reverb_and_program_are_chosen_before_the_note_and_all_is_silenced_behind_it():
    assert events(midi.midi_file([SHORT])) == [
        Event(0.0, 0xB0, (0, 3)),
        Event(0.0, 0xB0, (91, 7)),
        Event(0.0, 0xC0, (11,)),
        Event(0.5, 0x90, (60, 100)),
        Event(0.75, 0x80, (60, 0)),
        Event(pytest.approx(PASSAGE_SECONDS + 0.02, abs=1e-3), 0xB0, (120, 0)),
    ]


def test_passages_begin_one_after_the_other():
    starts = [event.seconds for event in events(midi.midi_file([SHORT] * 3)) if event.status == 0x90]
    assert starts == pytest.approx([0.5, 0.5 + PERIOD, 0.5 + 2 * PERIOD])


def test_a_note_that_would_last_longer_ends_with_its_passage():
    (end,) = (
        event.seconds
        for event in events(midi.midi_file([Passage((Note(0, 60, 90, 1.0, 9.0),))]))
        if event.status == 0x80
    )
    assert end == PASSAGE_SECONDS


def test_a_key_that_is_struck_again_is_let_go_before():
    passage = Passage((Note(0, 60, 90, 0.0, 0.5), Note(0, 60, 90, 0.5, 0.5)))
    keys = [
        (event.seconds, event.status) for event in events(midi.midi_file([passage])) if event.status in (0x80, 0x90)
    ]
    assert keys == [(0.0, 0x90), (0.5, 0x80), (0.5, 0x90), (1.0, 0x80)]


@pytest.mark.parametrize(
    ("value", "expected"), [(0, b"\x00"), (127, b"\x7f"), (128, b"\x81\x00"), (16_383, b"\xff\x7f")]
)
def test_numbers_have_midis_variable_length(value, expected):
    assert variable(value) == expected


def test_each_passage_gets_its_piece_of_the_rendering(monkeypatch, tmp_path):
    asked = []

    def fake_run(command):
        asked.append(command)
        count = sum(event.status == 0x90 for event in events(Path(command[-1]).read_bytes()))
        sound = np.repeat(np.arange(count) / 10, round(PERIOD * RENDER_RATE))
        soundfile.write(command[command.index("-F") + 1], np.stack([sound, sound], axis=1), RENDER_RATE)

    monkeypatch.setattr(midi, "BATCH", 2)
    monkeypatch.setattr(assets, "installed", lambda name: tmp_path / name)
    monkeypatch.setattr(assets, "run", fake_run)
    pieces = list(midi.rendered("FluidR3_GM.sf2", [SHORT] * 3))
    assert [rate for _, rate in pieces] == [RENDER_RATE] * 3
    assert [samples.shape for samples, _ in pieces] == [(round(PASSAGE_SECONDS * RENDER_RATE), 2)] * 3
    for (samples, _), value in zip(pieces, (0.0, 0.1, 0.0), strict=True):
        assert samples == pytest.approx(value, abs=1e-4)
    assert [command[-2] for command in asked] == [str(tmp_path / "FluidR3_GM.sf2")] * 2
