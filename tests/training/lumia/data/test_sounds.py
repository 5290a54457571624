"""Recordings are read and licensed, and notes are written as MIDI; no sound font is needed here."""

import io
import math
import random
import struct

import numpy as np
import pytest
import soundfile

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import assets, sounds
from clavilux.training.lumia.data.clips import LabelledClip, Origin, Split
from clavilux.training.lumia.data.concepts import CONCEPTS, Concept, SoundSource
from clavilux.training.lumia.data.sounds import (
    CUT_SECONDS,
    MAX_RECORDING,
    RENDERED,
    Recording,
    _midi,
    _variable,
    recordings,
    rendered_sounds,
)

ZERO = '"Cow". Original "cow.wav" by "A". License: Creative Commons Zero 1.0.'
BY = '"Horse". Original "horse.wav" by "B". License: Creative Commons Attribution 3.0 Unported.'
ALIKE = '"Helicopter". By "C". License: Creative Commons Attribution-ShareAlike 3.0 Unported.'
PIANO = SoundSource("instrument", program=0, keys=(40, 50))


def wave(seconds: float = 0.5, form: str = "WAV") -> bytes:
    file = io.BytesIO()
    samples = np.sin(np.arange(round(8000 * seconds)) / 5).astype(np.float32)
    soundfile.write(file, samples, 8000, format=form)
    return file.getvalue()


def cat_file(titles: list[str], seconds: float = 0.5) -> bytes:
    """An OpenSFX file of these titles, each with the same sound."""
    sound = wave(seconds)
    bodies = [bytes([len(title) + 1]) + title.encode() + b"\0" + sound for title in titles]
    start, index = 8 * len(bodies), b""
    for body in bodies:
        index += struct.pack("<II", start | 0x80000000 if not index else start, len(sound))
        start += len(body)
    return index + b"".join(bodies)


@pytest.fixture
def cat(tmp_path, monkeypatch):
    path = tmp_path / "opensfx.cat"
    path.write_bytes(cat_file([ZERO, BY, ALIKE]))
    monkeypatch.setattr(assets, "installed", lambda name: path)
    return path


def only(monkeypatch, *sources: SoundSource) -> None:
    monkeypatch.setattr(sounds, "CONCEPTS", (Concept("cow", "1", "animals", sounds=sources),))


def made(split: Split, seed: int = 0) -> list[LabelledClip]:
    return list(rendered_sounds(seed, split))


def test_takes_are_found_by_title_with_their_credit(cat):
    takes = recordings(cat)
    assert list(takes) == ["Cow", "Horse", "Helicopter"]
    assert takes["Horse"].credit == BY
    assert takes["Cow"].wave == wave()


def test_the_licence_is_read_from_the_credit(cat):
    takes = recordings(cat)
    assert (takes["Cow"].licence, takes["Horse"].licence) == ("CC0-1.0", "CC-BY-3.0")


@pytest.mark.usefixtures("cat")
def test_open_recordings_become_clips_with_licence_and_credit(monkeypatch):
    only(monkeypatch, SoundSource("recording", name="Cow"), SoundSource("recording", name="Horse"))
    cow, horse = made("train")
    assert (cow.label, cow.text, cow.origin) == (
        "cow",
        "",
        Origin("recording/Cow", "Debian openttd-opensfx", "CC0-1.0", ZERO),
    )
    assert (horse.origin.licence, horse.origin.credit) == ("CC-BY-3.0", BY)


@pytest.mark.usefixtures("cat")
def test_a_share_alike_recording_is_refused(monkeypatch):
    only(monkeypatch, SoundSource("recording", name="Helicopter"))
    with pytest.raises(ClaviluxError, match="'Helicopter' is not CC0 or CC-BY"):
        made("train")


@pytest.mark.parametrize("credit", ["All rights reserved.", f"{BY} Mixed with {ALIKE}"])
def test_a_licence_that_is_not_known_or_not_open_throughout_is_refused(credit):
    with pytest.raises(ClaviluxError, match="'Cow' is not CC0 or CC-BY; choose another"):
        _ = Recording("Cow", credit, b"").licence


@pytest.mark.usefixtures("cat")
def test_the_test_has_nothing_of_a_recording(monkeypatch):
    only(monkeypatch, SoundSource("recording", name="Cow"))
    assert made("test") == []


def test_a_sample_is_read_by_its_name(monkeypatch, tmp_path):
    (tmp_path / "opensfx.cat").write_bytes(cat_file([ZERO]))
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "perc_bell.flac").write_bytes(wave(1.0, "FLAC"))
    monkeypatch.setattr(assets, "installed", lambda name: tmp_path / name)
    only(monkeypatch, SoundSource("sample", name="perc_bell"))
    (clip,) = made("train")
    assert clip.origin == Origin("sample/perc_bell", "Debian sonic-pi-samples", "CC0-1.0")
    assert len(clip.sound) == pytest.approx(SAMPLE_RATE, rel=0.02)


def test_a_long_recording_becomes_overlapping_pieces_of_its_beginning(monkeypatch, tmp_path):
    path = tmp_path / "opensfx.cat"
    path.write_bytes(cat_file([ZERO], seconds=20.0))
    monkeypatch.setattr(assets, "installed", lambda name: path)
    only(monkeypatch, SoundSource("recording", name="Cow"))
    lengths = [len(clip.sound) / SAMPLE_RATE for clip in made("train")]
    assert len(lengths) == math.ceil(2 * MAX_RECORDING / CUT_SECONDS - 1)
    assert max(lengths) <= CUT_SECONDS
    assert lengths[0] == pytest.approx(CUT_SECONDS, rel=0.02)


@pytest.mark.usefixtures("cat")
def test_rendered_sources_give_several_takes_and_fewer_to_measure(monkeypatch):
    only(monkeypatch, PIANO)
    monkeypatch.setattr(sounds, "render", lambda *_: (np.ones(8000, np.float32), SAMPLE_RATE))
    trained, measured = made("train"), made("test")
    assert (len(trained), len(measured)) == (RENDERED["train"], RENDERED["test"])
    assert {clip.origin for clip in trained} == {Origin("instrument/0.0.40", "Debian fluid-soundfont-gm", "MIT")}


@pytest.mark.usefixtures("cat")
def test_the_same_seed_asks_for_the_same_notes(monkeypatch):
    only(monkeypatch, PIANO, SoundSource("drums", keys=(35, 50)))
    asked = []

    def fake_render(sound, dice, split):
        asked.append(_midi(sound, dice, split))
        return np.ones(8000, np.float32), SAMPLE_RATE

    monkeypatch.setattr(sounds, "render", fake_render)
    for seed in (1, 1, 2):
        made("train", seed)
    first, second, other = (asked[i : i + len(asked) // 3] for i in range(0, len(asked), len(asked) // 3))
    assert first == second != other


def test_every_kind_that_is_rendered_names_its_sound_font():
    kinds = {sound.kind for concept in CONCEPTS for sound in concept.sounds}
    assert set(sounds.FONTS) == kinds - {"recording", "sample"}


def events(midi: bytes) -> list[tuple[int, int, int]]:
    """Return the notes' events in order: ticks since the one before, status, key."""
    place, found = 22 + 4 + 3, []
    while midi[place : place + 2] != b"\x00\xff":
        ticks = 0
        while midi[place] & 0x80:
            ticks, place = (ticks << 7) | (midi[place] & 0x7F), place + 1
        ticks, place = (ticks << 7) | midi[place], place + 1
        found.append((ticks, midi[place], midi[place + 1]))
        place += 3
    return found


def keys(midi: bytes) -> list[int]:
    """Keys of the note-on events."""
    return [key for _, status, key in events(midi) if status & 0xF0 == 0x90]


def midis(sound: SoundSource, split: Split, count: int = 30) -> list[bytes]:
    return [_midi(sound, random.Random(seed), split) for seed in range(count)]


@pytest.mark.parametrize(
    "sound", [PIANO, SoundSource("drums", keys=(69, 70)), SoundSource("effect", bank=1, keys=(54, 66))]
)
def test_keys_are_odd_in_training_and_even_in_the_test_alone(sound):
    assert all(key % 2 == 1 for midi in midis(sound, "train") for key in keys(midi))
    assert all(key % 2 == 0 for midi in midis(sound, "test") for key in keys(midi))


def test_all_keys_of_a_side_are_played_and_none_outside_the_range():
    assert {key for midi in midis(PIANO, "train") for key in keys(midi)} == set(range(41, 51, 2))


def test_a_sound_of_a_single_key_is_played_at_it():
    assert {key for midi in midis(SoundSource("drums", keys=(82, 82)), "train") for key in keys(midi)} == {82}


def test_an_instrument_plays_one_to_five_notes_and_an_effect_one():
    assert {len(keys(midi)) for midi in midis(PIANO, "train", 60)} == {1, 2, 3, 4, 5}
    assert {len(keys(midi)) for midi in midis(SoundSource("effect", bank=1, keys=(54, 66)), "train")} == {1}


def test_some_takes_of_an_instrument_are_chords_and_none_of_drums_are():
    def chords(sound: SoundSource) -> float:
        taken = [midi for midi in midis(sound, "train", 60) if len(keys(midi)) > 1]
        return sum(events(midi)[1][0] == 0 for midi in taken) / len(taken)

    assert 0.1 < chords(PIANO) < 0.7
    assert chords(SoundSource("drums", keys=(35, 50))) == 0


def test_every_note_that_begins_ends_and_all_within_the_longest_piece():
    for midi in midis(PIANO, "train"):
        found = events(midi)
        assert sorted(keys(midi)) == sorted(key for _, status, key in found if status & 0xF0 == 0x80)
        assert 0 < sum(ticks for ticks, _, _ in found) <= CUT_SECONDS * sounds.TICKS_PER_SECOND + 5


def test_a_midi_file_has_a_header_and_one_track_of_the_stated_length():
    midi = _midi(PIANO, random.Random(0), "train")
    assert midi[:4] == b"MThd"
    assert midi[14:18] == b"MTrk"
    assert struct.unpack(">I", midi[18:22])[0] == len(midi) - 22
    assert midi.endswith(b"\xff\x2f\x00")


def test_drums_play_on_their_own_channel():
    assert {
        status & 0x0F for _, status, _ in events(_midi(SoundSource("drums", keys=(35, 50)), random.Random(0), "train"))
    } == {sounds.DRUM_CHANNEL}


def test_an_effect_selects_its_bank_and_program():
    midi = _midi(SoundSource("effect", bank=3, program=122, keys=(60, 60)), random.Random(0), "test")
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
    samples, rate = sounds.render(PIANO, random.Random(0), "train")
    sounds.render(SoundSource("effect", bank=1, program=122), random.Random(0), "train")
    sounds.render(SoundSource("drums", keys=(35, 50)), random.Random(0), "train")
    assert samples.shape == (CUT_SECONDS * rate, 2)
    assert [command[-2] for command in asked] == [str(tmp_path / f"FluidR3_{font}.sf2") for font in ("GM", "GS", "GM")]
