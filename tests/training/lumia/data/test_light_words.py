"""Words for light set the light's numbers, and are no words for things."""

import math
import re
from itertools import combinations

import pytest
import torch

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.training.lumia.data.concepts import CONCEPTS, OTHER_PHRASES
from clavilux.training.lumia.data.light_words import LIGHT_WORDS, LightWord, numbers_of_words
from clavilux.training.lumia.models.words import PLAIN_PHRASES

ALL = [word for one in LIGHT_WORDS for word in one.words]


def told(*words: str) -> dict[str, float]:
    """The numbers that words set, by name."""
    found = numbers_of_words(tuple(one for one in LIGHT_WORDS if set(words) & set(one.words)))
    return dict(zip(LIGHT_NUMBERS, found.tolist(), strict=True))


def test_no_word_stands_twice() -> None:
    assert len(set(ALL)) == len(ALL)


def test_no_word_for_light_is_a_word_of_a_concept() -> None:
    spoken = {part for concept in CONCEPTS for name in concept.words for part in name.lower().split()}
    assert set(ALL) & spoken == set()


def test_nothing_that_the_text_encoder_is_told_to_ignore_holds_a_word_for_light() -> None:
    assert [phrase for phrase in PLAIN_PHRASES if set(ALL) & set(re.findall("[a-z]+", phrase.lower()))] == []
    assert len(PLAIN_PHRASES) > 0.9 * len(OTHER_PHRASES)


def test_nothing_said_is_the_middle_of_everything() -> None:
    assert numbers_of_words(()).tolist() == [0.0] * len(LIGHT_NUMBERS)


@pytest.mark.parametrize("word", LIGHT_WORDS, ids=lambda word: word.words[0])
def test_a_word_sets_what_it_is_about_and_nothing_else(word: LightWord) -> None:
    found = dict(zip(LIGHT_NUMBERS, numbers_of_words((word,)).tolist(), strict=True))
    assert {name for name, value in found.items() if value} <= word.about
    assert word.about <= set(LIGHT_NUMBERS)
    assert word.about
    assert all(abs(value) <= 1 for value in found.values())
    assert all(found[name] == pytest.approx(value) for name, value in word.shares.items())


def test_a_colour_is_an_angle_and_a_length() -> None:
    red, blue, white = told("red"), told("blue"), told("white")
    assert (red["hue_cosine"], red["hue_sine"]) == (1.0, 0.0)
    turn = math.atan2(blue["hue_sine"], blue["hue_cosine"]) / (2 * math.pi) % 1
    assert turn == pytest.approx(0.66, abs=1e-6)
    assert math.hypot(white["hue_cosine"], white["hue_sine"]) == 0


def test_words_that_are_about_different_numbers_all_count() -> None:
    found = told("warm", "low", "calm")
    assert (found["place"], found["turbulence"]) == pytest.approx((-0.8, -0.9))
    assert found["hue_cosine"] > 0.5
    assert found["light"] == 0


def test_both_ends_of_every_number_can_be_said() -> None:
    rows = torch.stack([numbers_of_words((word,)) for word in LIGHT_WORDS])
    assert (rows.amax(dim=0) >= 0.8).all()
    assert (rows.amin(dim=0) <= -0.6).all()


def test_no_two_words_mean_the_same() -> None:
    rows = [(word.about, numbers_of_words((word,))) for word in LIGHT_WORDS]
    for (about, one), (other_about, other) in combinations(rows, 2):
        assert about != other_about or (one - other).abs().max() > 0.1
