"""Sounds of the films: words in their order over music, chords that are held out, a sweep that rises."""

import numpy as np

from clavilux.runtime.hearing.pulse.tracker import PulseTracker
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.training.lumia.data import music
from clavilux.training.lumia.data.clips import LabelledClip, Origin
from clavilux.training.lumia.data.concepts import NAMES
from clavilux.training.lumia.measure import scores
from clavilux.training.lumia.measure.light import told

ORIGIN = Origin("hibari/heart", "PyPI hibari-tts", "Apache-2.0")


def clip(label: str, level: float) -> LabelledClip:
    return LabelledClip(np.full(SAMPLE_RATE // 2, level, np.float32), label, ORIGIN)


def test_clips_follow_each_other_at_even_times():
    film = scores.sequence([clip("cat", 0.2), clip("dog", 0.1)], ("dog", "unicorn", "cat"), spacing=1.0)
    assert len(film) == int(2.5 * SAMPLE_RATE)
    assert film[SAMPLE_RATE // 4] == np.float32(0.1)
    assert film[SAMPLE_RATE * 3 // 4] == 0
    assert film[SAMPLE_RATE + SAMPLE_RATE // 4] == np.float32(0.2)


def test_every_word_of_the_films_is_a_concept():
    assert set(scores.WORDS + scores.EFFECTS) <= set(NAMES)


def test_the_pieces_end_with_their_bars_and_their_notes_are_played_within():
    for passage in (scores.harp(), scores.choir(), scores.loop()):
        assert (passage.seconds / scores.BAR).is_integer()
        assert max(note.start for note in passage.notes) < passage.seconds
        assert {note.channel for note in passage.notes} == set(passage.programs)


def test_choir_pad_and_drums_are_held_out_of_training():
    held_out = {program for program in (scores.CHOIR, scores.PAD) if program % 8 == music.HELD_OUT}
    assert held_out == {scores.CHOIR, scores.PAD}
    assert set(scores.loop().programs.values()) <= set(music.KITS["test"])


def test_the_sweep_rises_from_one_end_to_the_other_and_so_does_its_light():
    sound = scores.sweep()
    assert np.abs(sound).max() < 1
    heights = [pulse.pitch_height for pulse in PulseTracker().push(sound) if pulse.pitch_confidence > 0.9]
    assert len(heights) > 500
    assert np.all(np.diff(heights[:: len(heights) // 8]) > 0)
    assert told(sound[: SAMPLE_RATE * 3])[2] < told(sound[: SAMPLE_RATE * 9])[2]
