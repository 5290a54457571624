"""Recordings are read and licensed, and notes are written as MIDI; no sound font is needed here."""

import io
import math
import random
import struct
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import soundfile

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import assets, sounds
from clavilux.training.lumia.data.clips import LabelledClip, Origin, Split
from clavilux.training.lumia.data.concepts import CONCEPTS, Concept, SoundSource
from clavilux.training.lumia.data.midi import DRUM_CHANNEL, Passage
from clavilux.training.lumia.data.sounds import (
    CUT_SECONDS,
    FIGURES,
    MAX_RECORDING,
    RENDERED,
    TENTH,
    Recording,
    beats,
    chords,
    passage,
    phrase,
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


def silent(font: str, passages: Sequence[Passage]) -> Iterator[tuple[np.ndarray, int]]:
    """Stands for fluidsynth."""
    del font
    yield from ((np.ones(8000, np.float32), SAMPLE_RATE) for _ in passages)


@pytest.mark.usefixtures("cat")
def test_rendered_sources_give_several_takes_and_fewer_to_measure(monkeypatch):
    only(monkeypatch, PIANO)
    monkeypatch.setattr(sounds, "rendered", silent)
    trained, measured = made("train"), made("test")
    assert (len(trained), len(measured)) == (RENDERED["train"], RENDERED["test"])
    assert {clip.origin for clip in trained} == {Origin("instrument/0.0.40", "Debian fluid-soundfont-gm", "MIT")}


@pytest.mark.usefixtures("cat")
def test_what_has_a_single_key_is_trained_on_and_not_measured_with(monkeypatch):
    only(monkeypatch, SoundSource("drums", keys=(82, 82)))
    monkeypatch.setattr(sounds, "rendered", silent)
    assert (len(made("train")), len(made("test"))) == (RENDERED["train"], 0)


@pytest.mark.usefixtures("cat")
def test_the_same_seed_asks_for_the_same_notes(monkeypatch):
    only(monkeypatch, PIANO, SoundSource("drums", keys=(35, 50)))
    asked: list[Passage] = []

    def listening(font: str, passages: Sequence[Passage]) -> Iterator[tuple[np.ndarray, int]]:
        asked.extend(passages)
        return silent(font, passages)

    monkeypatch.setattr(sounds, "rendered", listening)
    for seed in (1, 1, 2):
        made("train", seed)
    first, second, other = (asked[i : i + len(asked) // 3] for i in range(0, len(asked), len(asked) // 3))
    assert first == second != other


def test_every_kind_that_is_rendered_names_its_sound_font():
    kinds = {sound.kind for concept in CONCEPTS for sound in concept.sounds}
    assert set(sounds.FONTS) == set(sounds.FONT_FILES) == kinds - {"recording", "sample"}


def keys(played: Passage) -> list[int]:
    return [note.key for note in played.notes]


def played(sound: SoundSource, split: Split, count: int = 40) -> list[Passage]:
    return [passage(sound, random.Random(seed), split) for seed in range(count)]


@pytest.mark.parametrize(
    "sound", [PIANO, SoundSource("drums", keys=(69, 70)), SoundSource("effect", bank=1, keys=(54, 66))]
)
def test_keys_are_odd_in_training_and_even_in_the_test_alone(sound):
    assert all(key % 2 == 1 for one in played(sound, "train") for key in keys(one))
    assert all(key % 2 == 0 for one in played(sound, "test") for key in keys(one))


def test_all_keys_of_a_side_are_played_and_none_outside_the_range():
    assert {key for one in played(PIANO, "train") for key in keys(one)} == set(range(41, 51, 2))


def test_a_sound_of_a_single_key_is_played_at_it():
    assert {key for one in played(SoundSource("drums", keys=(82, 82)), "train") for key in keys(one)} == {82}


def test_an_effect_is_one_note_of_its_bank_and_program():
    for one in played(SoundSource("effect", bank=3, program=122, keys=(60, 60)), "test"):
        assert len(one.notes) == 1
        assert (one.bank, one.programs) == (3, {0: 122})


def test_drums_play_on_their_own_channel():
    passages = played(SoundSource("drums", keys=(35, 50)), "train")
    assert {note.channel for one in passages for note in one.notes} == {DRUM_CHANNEL}


@pytest.mark.parametrize("figure", [*dict.fromkeys(FIGURES), beats])
def test_every_figure_strikes_given_keys_within_the_passage(figure):
    for seed in range(30):
        notes = figure(range(41, 80, 2), random.Random(seed))
        assert notes
        assert {note.key for note in notes} <= set(range(41, 80, 2))
        assert all(0 <= note.start < CUT_SECONDS and note.seconds > 0 for note in notes)


def test_chords_sound_together_within_a_tenth_and_phrases_one_after_the_other():
    together = chords(range(41, 80, 2), random.Random(1))
    first = [note.key for note in together if note.start == together[0].start]
    assert len(set(first)) == len(first) > 1
    assert max(first) - min(first) <= TENTH
    melody = phrase(range(41, 80, 2), random.Random(1))
    assert len({note.start for note in melody}) == len(melody)


def test_figures_cope_with_a_single_key():
    for figure in (*set(FIGURES), beats):
        assert {note.key for note in figure([61], random.Random(2))} == {61}


def test_velocities_vary_from_take_to_take_and_within_one():
    loud = [[note.velocity for note in one.notes] for one in played(PIANO, "train")]
    assert min(map(min, loud)) < 60
    assert max(map(max, loud)) > 110
    assert any(len(set(one)) > 1 for one in loud)


@pytest.mark.usefixtures("cat")
def test_each_kind_is_rendered_from_its_sound_font(monkeypatch):
    only(
        monkeypatch,
        PIANO,
        SoundSource("effect", bank=1, program=122, keys=(54, 66)),
        SoundSource("drums", keys=(35, 50)),
    )
    asked: list[str] = []
    monkeypatch.setattr(sounds, "rendered", lambda font, _: asked.append(font) or [])
    assert made("train") == []
    assert asked == [f"FluidR3_{font}.sf2" for font in ("GM", "GS", "GM")]
