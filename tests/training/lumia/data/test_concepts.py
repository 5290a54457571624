"""The concepts of the default bundle are consistent: words, pictures and sounds each belong to one concept."""

import re
from collections import Counter

import pytest

from clavilux.training.lumia.data.concepts import (
    CONCEPTS,
    NAMES,
    OTHER_PHRASES,
    SOUNDS,
    Concept,
    SoundSource,
    with_article,
)
from clavilux.training.lumia.data.vocabulary import CATEGORIES

WORDS = [word for concept in CONCEPTS for word in concept.words]


def twice(values: list[str]) -> set[str]:
    return {value for value, count in Counter(values).items() if count > 1}


def named(name: str) -> Concept:
    return next(concept for concept in CONCEPTS if concept.name == name)


def test_there_are_hundreds_of_concepts_a_row_each():
    assert len(CONCEPTS) == sum(len(rows.strip().splitlines()) for rows in CATEGORIES.values()) > 300


def test_no_word_is_the_name_or_a_synonym_of_two_concepts():
    assert twice(WORDS) == set()


def test_every_concept_has_a_picture_of_its_own():
    assert twice([concept.code for concept in CONCEPTS]) == set()


def test_codes_are_hexadecimal_code_points_joined_by_dashes():
    assert [one.code for one in CONCEPTS if not re.fullmatch("[0-9a-f]{4,5}(-[0-9a-f]{4,5})*", one.code)] == []


def test_words_are_lower_case_letters_with_single_spaces_or_dashes():
    assert [word for word in WORDS if not re.fullmatch("[a-z]+([ -][a-z]+)*", word)] == []


def test_a_name_is_three_words_at_most():
    assert max(len(name.split()) for name in NAMES) <= 3


def test_every_concept_is_in_the_category_that_lists_it():
    assert {concept.category for concept in CONCEPTS} == set(CATEGORIES)
    assert all(concept.name in CATEGORIES[concept.category] for concept in CONCEPTS)


def test_a_row_gives_name_code_and_synonyms():
    assert named("dog").code == "1f436"
    assert named("dog").words == ("dog", "puppy", "hound")
    assert named("lion").words == ("lion",)


def test_every_sound_belongs_to_a_concept():
    assert set(SOUNDS) <= set(NAMES)
    assert {concept.name: concept.sounds for concept in CONCEPTS if concept.sounds} == SOUNDS


def test_no_two_sounds_come_from_the_same_source():
    assert twice([sound.source for sounds in SOUNDS.values() for sound in sounds]) == set()


@pytest.mark.parametrize(
    ("sound", "source"),
    [
        (SoundSource("recording", name="Cow"), "recording/Cow"),
        (SoundSource("instrument", program=40, keys=(50, 90)), "instrument/0.40.50"),
        (SoundSource("effect", bank=5, program=125, keys=(54, 66)), "effect/5.125.54"),
    ],
)
def test_a_source_is_named_by_its_title_or_by_bank_program_and_lowest_key(sound, source):
    assert sound.source == source


@pytest.mark.parametrize(
    ("name", "phrase"), [("dog", "A dog."), ("elephant", "An elephant."), ("umbrella", "An umbrella.")]
)
def test_a_phrase_is_a_sentence_with_the_right_article(name, phrase):
    assert named(name).phrase == phrase


def test_synonyms_take_an_article_too():
    assert with_article("automobile") == "An automobile"


def test_no_other_phrase_says_a_concept():
    said = " ".join(OTHER_PHRASES).lower()
    assert [word for word in WORDS if re.search(rf"\b{word}\b", said)] == []


def test_midi_keys_and_programs_are_in_range():
    for sound in (sound for concept in CONCEPTS for sound in concept.sounds):
        assert 0 <= sound.program <= 127
        assert 0 <= sound.keys[0] <= sound.keys[1] <= 127
