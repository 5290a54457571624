"""Phonemes are letters without stress and pauses, numbered the same for every selection of clips."""

import numpy as np
import pytest

from clavilux.training.lumia.data import phonemes
from clavilux.training.lumia.data.clips import LabelledClip, Origin
from clavilux.training.lumia.data.phonemes import BLANK, numbered, phonemes_of

STRESS = "\u02c8"  # MODIFIER LETTER VERTICAL LINE
SAID = {"A dog.": ["ɐ", " ", f"d{STRESS}ɔg", "."], "A cat.": ["ɐ", " ", f"k{STRESS}æt", "."]}


class FakeHibari:
    """Knows two sentences."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def phonemize(self, text: str) -> list[str]:
        self.asked.append(text)
        return SAID[text]


@pytest.fixture
def hibari(monkeypatch, tmp_path):
    fake = FakeHibari()
    monkeypatch.setattr(phonemes, "load_hibari", {tmp_path: fake}.__getitem__)
    return fake


def clip(text: str) -> LabelledClip:
    return LabelledClip(np.zeros(1, np.float32), "", Origin("flite/kal", "", ""), text)


@pytest.mark.usefixtures("hibari")
def test_stress_pauses_and_spaces_are_left_out(tmp_path):
    assert phonemes_of(["A dog.", "A cat."], tmp_path) == {"A cat.": "ɐkæt", "A dog.": "ɐdɔg"}


def test_every_text_is_asked_for_once_and_none_for_clips_without(hibari, tmp_path):
    phonemes_of(["A dog.", "", "A dog."], tmp_path)
    assert hibari.asked == ["A dog."]


def test_numbers_begin_after_the_blank_and_count_it():
    rows, count = numbered([clip("x"), clip("y")], {"x": "ba", "y": "cab"})
    assert BLANK == 0
    assert rows == [[2, 1], [3, 1, 2]]
    assert count == 4


def test_a_clip_without_text_has_no_phonemes():
    assert numbered([clip(""), clip("x")], {"x": "a"})[0] == [[], [1]]


def test_numbers_do_not_depend_on_which_clips_are_numbered():
    spoken = {"x": "zb", "y": "a"}
    alone, count = numbered([clip("x")], spoken)
    together, same = numbered([clip("y"), clip("x")], spoken)
    assert alone[0] == together[1]
    assert count == same


def test_without_any_speech_there_is_only_the_blank():
    assert numbered([clip("")], {}) == ([[]], 1)
