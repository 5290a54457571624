"""Music keeps what is held out apart, plays nothing alone that is a concept, and stays in its key."""

import random

import numpy as np
import pytest

from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import music
from clavilux.training.lumia.data.concepts import SOUNDS
from clavilux.training.lumia.data.midi import DRUM_CHANNEL, PASSAGE_SECONDS, RENDER_RATE, Passage

SPLITS = ("train", "test")
SORTS = tuple(music.COUNTS["train"])
PERCUSSION = range(112, 128)


def tonal(passage: Passage) -> set[int]:
    """Programs of a passage but the drum kit's."""
    return {program for channel, program in passage.programs.items() if channel != DRUM_CHANNEL}


@pytest.mark.parametrize("sort", SORTS)
def test_programs_of_the_test_are_never_trained_on(sort):
    trained, held = ({p for one in music.passages(sort, 1, split) for p in tonal(one)} for split in SPLITS)
    assert all(program % 8 != music.HELD_OUT for program in trained)
    assert all(program % 8 == music.HELD_OUT for program in held)
    assert not (trained | held) & set(PERCUSSION)


@pytest.mark.parametrize("sort", ["mixture", "drums"])
def test_drum_kits_of_the_test_are_never_trained_on(sort):
    kits = [
        {one.programs[DRUM_CHANNEL] for one in music.passages(sort, 1, split) if DRUM_CHANNEL in one.programs}
        for split in SPLITS
    ]
    assert kits[0]
    assert kits[1]
    assert not kits[0] & kits[1]


@pytest.mark.parametrize(("split", "parity"), [("train", 1), ("test", 0)])
def test_tonics_are_odd_in_training_and_even_in_the_test(split, parity):
    dice = np.random.default_rng(0)
    songs = [music.Song(random.Random(int(dice.integers(10_000))), split) for _ in range(40)]
    assert {song.tonic % 2 for song in songs} == {parity}
    assert len({song.tonic for song in songs}) == 6


@pytest.mark.parametrize("sort", ["chords", "phrase", "arpeggio", "bass"])
def test_what_plays_alone_is_no_concept_and_sounds_like_none(sort):
    concepts = {one.program for sounds in SOUNDS.values() for one in sounds if one.kind == "instrument"}
    for split in SPLITS:
        alone = {program for one in music.passages(sort, 1, split) for program in tonal(one)}
        assert not alone & (concepts | music.NEAR)


def test_mixtures_hold_three_to_six_parts_and_use_most_programs():
    mixed = music.passages("mixture", 1, "train")
    assert {len(one.programs) for one in mixed} == {3, 4, 5, 6}
    assert len({program for one in mixed for program in tonal(one)}) > 0.9 * len(music.programs("train"))


@pytest.mark.parametrize("sort", ["chords", "phrase", "arpeggio", "bass"])
def test_every_note_is_in_the_key_and_begins_within_the_passage(sort):
    for seed in range(30):
        song = music.Song(random.Random(seed), "train")
        notes = music.PARTS[sort](song, 0)
        assert {(note.key - song.tonic) % 12 for note in notes} <= set(song.scale)
        assert all(0 <= note.start < PASSAGE_SECONDS for note in notes)
        assert all(0 < note.key < 128 and 0 < note.velocity < 128 for note in notes)


@pytest.mark.parametrize("sort", SORTS)
def test_no_passage_is_empty_and_there_are_as_many_as_counted(sort):
    for split in SPLITS:
        passages = music.passages(sort, 2, split)
        assert len(passages) == music.COUNTS[split][sort]
        assert all(one.notes for one in passages)


def test_drums_play_on_their_channel_with_a_snare_on_the_offbeat():
    song = music.Song(random.Random(1), "train")
    notes = music.drums(song)
    assert {note.channel for note in notes} == {DRUM_CHANNEL}
    snares = [note.start for note in notes if note.key in music.DRUMS["snare"]]
    assert any(start == pytest.approx(song.beat) for start in snares)


def test_the_same_seed_gives_the_same_passages_and_another_seed_others():
    first, second, other = (music.passages("mixture", seed, "train") for seed in (1, 1, 2))
    assert first == second != other


def test_clips_mean_nothing_but_for_loops_of_drums(monkeypatch):
    monkeypatch.setattr(music, "COUNTS", {"train": {"chords": 2, "drums": 1, "mixture": 1}})
    sound = np.full(round(PASSAGE_SECONDS * RENDER_RATE), 0.1, np.float32)
    monkeypatch.setattr(music, "rendered", lambda font, passages: ((sound, RENDER_RATE) for _ in passages))
    clips = list(music.music(1, "train"))
    assert [(clip.origin.voice, clip.label) for clip in clips] == [
        ("music/chords", ""),
        ("music/chords", ""),
        ("drums/loop", "drum"),
        ("music/mixture", ""),
    ]
    assert {(clip.origin.source, clip.origin.licence) for clip in clips} == {("Debian fluid-soundfont-gm", "MIT")}
    assert all(len(clip.sound) <= PASSAGE_SECONDS * SAMPLE_RATE for clip in clips)
