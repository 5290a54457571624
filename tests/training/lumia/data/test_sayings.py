"""A sentence names its concept last, in all the ways there are; and what is left of a cut one is found."""

import random
import re
from collections import Counter

import pytest

from clavilux.training.lumia.data import sayings
from clavilux.training.lumia.data.concepts import CONCEPTS, OTHER_PHRASES, is_short
from clavilux.training.lumia.data.sayings import last_words, plural, saying

WORDS = [word for concept in CONCEPTS for word in concept.words]
OWNERS = {word: concept.name for concept in CONCEPTS for word in concept.words}
FORMS = OWNERS | {plural(word): name for word, name in OWNERS.items() if plural(word)}
FRAMES = (*sayings.ENDING, *sayings.INSIDE, *sayings.PAIRS, *sayings.PLURAL)


def named(text: str) -> list[str]:
    """Return the concepts named in a text, in their order; of two in the same place the one with more letters."""
    longest = "|".join(sorted(FORMS, key=len, reverse=True))
    return [FORMS[word] for word in re.findall(rf"\b({longest})\b", text.lower())]


def many(word: str, name: str, count: int = 300) -> list[str]:
    dice = random.Random(1)
    return [saying(word, name, dice) for _ in range(count)]


@pytest.mark.parametrize("word", ["owl", "dog", "trousers", "telephone", "bow and arrow"])
def test_the_concept_is_the_last_one_named(word):
    for text in many(word, OWNERS[word]):
        assert named(text)[-1] == OWNERS[word], text


def test_another_concept_may_come_before_but_never_the_same():
    pairs = [found for text in many("owl", "owl", 600) if len(found := named(text)) == 2]
    assert len(pairs) > 20
    assert all(before != after == "owl" for before, after in pairs)


def test_all_ways_come_in_their_shares():
    texts = many("elephant", "elephant", 2000)
    plain = {"An elephant.", "elephant.", "The elephant.", "My elephant."}
    assert sum(text in plain for text in texts) / 2000 == pytest.approx(sayings.SHARES["plain"], abs=0.04)
    assert sum("elephants" in text for text in texts) / 2000 == pytest.approx(sayings.SHARES["plural"], abs=0.03)
    assert {"Look, an elephant!", "The elephant is here.", "I see an elephant and", "Two elephants."} <= set(texts)


def test_shares_sum_to_one():
    assert sum(sayings.SHARES.values()) == pytest.approx(1.0)


def test_frames_hold_no_known_word():
    said = " ".join(re.sub(r"{.*?}", "", frame) for frame in FRAMES).lower()
    assert named(said) == []


def test_behind_a_word_stand_two_syllables_at_most():
    for frame in sayings.INSIDE:
        behind = frame.rpartition("}")[2]
        assert len(re.findall("[aeiouy]+", behind.lower())) <= 4, frame
        assert len(behind) <= len(" over there."), frame


def test_a_sentence_begins_with_a_capital_or_is_the_bare_word():
    assert all(text[0].isupper() or text == "owl." for text in many("owl", "owl"))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dog", "dogs"), ("bus", "buses"), ("fox", "foxes"), ("watch", "watches"), ("cherry", "cherries"),
        ("donkey", "donkeys"), ("tomato", "tomatoes"), ("mouse", ""), ("jeans", ""), ("fish", ""), ("happy", ""),
    ],
)  # fmt: skip
def test_plurals_end_in_s_or_es_where_there_is_such_a_plural(word, expected):
    assert plural(word) == expected


def test_lists_of_words_without_a_plural_name_known_words():
    assert set(sayings.ALREADY_PLURAL + sayings.IRREGULAR + sayings.NEVER_MANY + sayings.WITH_OES) <= set(WORDS)


def test_no_plural_is_a_word_of_another_concept():
    assert [word for word in WORDS if plural(word) in OWNERS and OWNERS[plural(word)] != OWNERS[word]] == []


@pytest.mark.parametrize(
    ("share", "expected"),
    [(1.0, "The owl and the moon."), (0.85, "owl and the moon."), (0.3, "moon."), (0.0, "moon.")],
)
def test_the_words_at_the_end_are_found_by_their_letters(share, expected):
    assert last_words("The owl and the moon.", share) == expected


def test_other_phrases_are_many_and_hold_no_plural_either():
    assert len(OTHER_PHRASES) >= 150
    assert Counter(OTHER_PHRASES).most_common(1)[0][1] == 1
    assert [text for text in OTHER_PHRASES if named(text)] == []


@pytest.mark.parametrize(("word", "short"), [("cat", True), ("bear", True), ("sheep", True), ("zebra", False)])
def test_short_words_have_four_letters_or_three_phonemes(word, short):
    assert is_short(word) is short
