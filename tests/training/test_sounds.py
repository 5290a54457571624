"""Recordings are read and licensed, and notes are written as MIDI; no sound font is needed here."""

import io
import random
import struct

import numpy as np
import pytest
import soundfile

from runtime.errors import ClaviluxError
from training import assets, sounds
from training.clips import ClipBank, tidy
from training.concepts import Concept, Sound
from training.sounds import _midi, _variable, recordings

ZERO = '"Cow". Original "cow.wav" by "A". License: Creative Commons Zero 1.0.'
BY = '"Horse". Original "horse.wav" by "B". License: Creative Commons Attribution 3.0 Unported.'
ALIKE = '"Helicopter". By "C". License: Creative Commons Attribution-ShareAlike 3.0 Unported.'
PIANO = Sound("instrument", program=0, keys=(40, 50))


def wave(seconds: float = 0.5) -> bytes:
    file = io.BytesIO()
    samples = np.sin(np.arange(round(8000 * seconds)) / 5).astype(np.float32)
    soundfile.write(file, samples, 8000, format="WAV")
    return file.getvalue()


def cat_file(titles: list[str]) -> bytes:
    """An OpenSFX file of these titles, each with the same sound."""
    bodies = [bytes([len(title) + 1]) + title.encode() + b"\0" + wave() for title in titles]
    start, index = 8 * len(bodies), b""
    for body in bodies:
        index += struct.pack("<II", start | 0x80000000 if not index else start, len(wave()))
        start += len(body)
    return index + b"".join(bodies)


@pytest.fixture
def cat(tmp_path, monkeypatch):
    path = tmp_path / "opensfx.cat"
    path.write_bytes(cat_file([ZERO, BY, ALIKE]))
    monkeypatch.setattr(assets, "installed", lambda name: path)
    return path


def only(monkeypatch, *sources: Sound) -> None:
    monkeypatch.setattr(sounds, "CONCEPTS", (Concept("cow", "1", sources),))


def test_takes_are_found_by_title_with_their_credit(cat):
    takes = recordings(cat)
    assert list(takes) == ["Cow", "Horse", "Helicopter"]
    assert takes["Horse"].credit == BY
    assert takes["Cow"].wave == wave()


@pytest.mark.usefixtures("cat")
def test_open_recordings_become_clips(monkeypatch):
    only(monkeypatch, Sound("recording", name="Cow"), Sound("recording", name="Horse"))
    bank = sounds.sound_bank(0, held_out=False)
    assert bank.labels == ["cow", "cow"]
    assert bank.voices == ["recording/Cow", "recording/Horse"]


@pytest.mark.usefixtures("cat")
def test_a_share_alike_recording_is_refused(monkeypatch):
    only(monkeypatch, Sound("recording", name="Helicopter"))
    with pytest.raises(ClaviluxError, match="'Helicopter' is not CC0 or CC-BY"):
        sounds.sound_bank(0, held_out=False)


@pytest.mark.usefixtures("cat")
def test_every_recording_in_use_is_credited(monkeypatch):
    only(monkeypatch, Sound("recording", name="Horse"), PIANO)
    assert sounds.credits() == [BY]


@pytest.mark.usefixtures("cat")
def test_a_held_out_recording_is_shorter_and_higher(monkeypatch):
    only(monkeypatch, Sound("recording", name="Cow"))
    trained, measured = (sounds.sound_bank(0, held_out=held_out).sounds[0] for held_out in (False, True))
    assert len(measured) == pytest.approx(len(trained) / 1.12, rel=0.02)


def test_rendered_sources_give_several_takes_and_fewer_to_measure(monkeypatch, cat):
    del cat
    only(monkeypatch, PIANO)
    monkeypatch.setattr(sounds, "render", lambda *_, **__: (np.ones(8000, np.float32), 16_000))
    assert len(sounds.sound_bank(0, held_out=False)) == sounds.RENDERED
    assert len(sounds.sound_bank(0, held_out=True)) == 2


def keys(midi: bytes) -> set[int]:
    """Keys of the note-on events."""
    return {midi[i + 1] for i in range(22, len(midi) - 2) if midi[i] in (0x90, 0x99) and midi[i - 1] == 0}


def test_keys_are_odd_in_training_and_even_in_measuring():
    for seed in range(20):
        assert all(key % 2 == 1 for key in keys(_midi(PIANO, random.Random(seed), held_out=False)))
        assert all(key % 2 == 0 for key in keys(_midi(PIANO, random.Random(seed), held_out=True)))


def test_keys_stay_within_the_range_of_the_sound():
    found = set().union(*(keys(_midi(PIANO, random.Random(seed), held_out=False)) for seed in range(30)))
    assert found <= set(range(40, 51))


def test_a_midi_file_has_a_header_and_one_track_of_the_stated_length():
    midi = _midi(PIANO, random.Random(0), held_out=False)
    assert midi[:4] == b"MThd"
    assert midi[14:18] == b"MTrk"
    assert struct.unpack(">I", midi[18:22])[0] == len(midi) - 22
    assert midi.endswith(b"\xff\x2f\x00")


def test_drums_play_on_their_own_channel():
    assert b"\x99" in _midi(Sound("drums", keys=(35, 50)), random.Random(0), held_out=False)


def test_an_effect_selects_its_bank_and_program():
    midi = _midi(Sound("effect", bank=3, program=122, keys=(60, 60)), random.Random(0), held_out=True)
    assert bytes([0xB0, 0, 3]) in midi
    assert bytes([0xC0, 122]) in midi


@pytest.mark.parametrize(
    ("value", "expected"), [(0, b"\x00"), (127, b"\x7f"), (128, b"\x81\x00"), (16_383, b"\xff\x7f")]
)
def test_numbers_have_midis_variable_length(value, expected):
    assert _variable(value) == expected


def test_rendering_asks_fluidsynth_for_the_right_sound_font(monkeypatch, tmp_path):
    asked = []

    def fake_run(command):
        asked.append(command)
        soundfile.write(command[command.index("-F") + 1], np.ones((90_000, 2), np.float32), sounds.RENDER_RATE)

    monkeypatch.setattr(assets, "installed", lambda name: tmp_path / name)
    monkeypatch.setattr(assets, "run", fake_run)
    samples, rate = sounds.render(PIANO, random.Random(0), held_out=False)
    sounds.render(Sound("effect", bank=1, program=122), random.Random(0), held_out=False)
    assert samples.shape == (sounds.CUT_SECONDS * rate, 2)
    assert str(tmp_path / "FluidR3_GM.sf2") in asked[0]
    assert str(tmp_path / "FluidR3_GS.sf2") in asked[1]


def test_tidied_takes_fit_a_bank():
    bank = ClipBank()
    bank.add(tidy(np.ones((9000, 2), np.float32), 32_000), "piano", "instrument/0")
    assert bank.sounds[0].ndim == 1
