"""What the default bundle knows is consistent."""

import re

import pytest

from training.concepts import CONCEPTS, NAMES, OTHER_PHRASES


def test_there_are_two_dozen_concepts_or_more():
    assert len(CONCEPTS) >= 24


def test_every_name_is_one_lower_case_word_and_unique():
    assert len(set(NAMES)) == len(NAMES)
    assert all(re.fullmatch("[a-z]+", name) for name in NAMES)


def test_every_concept_has_a_picture_of_its_own():
    assert len({concept.code for concept in CONCEPTS}) == len(CONCEPTS)


def test_about_half_of_the_concepts_have_a_sound_besides_their_name():
    assert sum(bool(concept.sounds) for concept in CONCEPTS) >= len(CONCEPTS) // 2


@pytest.mark.parametrize(
    ("name", "phrase"), [("dog", "A dog."), ("elephant", "An elephant."), ("umbrella", "An umbrella.")]
)
def test_a_phrase_is_a_sentence_with_the_right_article(name, phrase):
    assert next(concept for concept in CONCEPTS if concept.name == name).phrase == phrase


def test_no_other_phrase_says_a_concept():
    words = {word for phrase in OTHER_PHRASES for word in re.findall("[a-z]+", phrase.lower())}
    assert not words & set(NAMES)


def test_midi_keys_and_programs_are_in_range():
    for sound in (sound for concept in CONCEPTS for sound in concept.sounds):
        assert 0 <= sound.program <= 127
        assert 0 <= sound.keys[0] <= sound.keys[1] <= 127
