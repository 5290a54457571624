"""Concepts: the nearest one by cosine, or none."""

import numpy as np

from clavilux.runtime.conditioning.concepts import SIMILAR, ConceptIndex, Confidence
from clavilux.runtime.frame import Heard


def test_the_nearest_concept_is_the_one_with_the_highest_cosine() -> None:
    tokens = np.random.default_rng(0).normal(size=(3, 5, 8)).astype(np.float32)
    index = ConceptIndex(("dog", "rain", "bell"), tokens)
    heard = index.nearest(tokens[1] * 4 + 0.1)
    assert heard is not None
    assert heard.name == "rain"
    assert heard.similarity > 0.95


def test_without_concepts_nothing_is_named() -> None:
    assert ConceptIndex((), None).nearest(np.ones((5, 8), np.float32)) is None


def test_a_name_that_stays_becomes_known_and_silence_forgets_it() -> None:
    confidence = Confidence()
    for _ in range(20):
        confidence.advance(Heard("dog", 0.9), 0.1)
    assert confidence.known > 0.99
    for _ in range(40):
        confidence.advance(None, 0.1)
    assert confidence.known < 0.01


def test_names_that_change_all_the_time_are_not_known() -> None:
    confidence = Confidence()
    for hop in range(100):
        confidence.advance(Heard("dog" if hop % 2 else "cat", 0.9), 0.05)
    assert confidence.known == 0.0


def test_what_is_hardly_similar_is_not_known() -> None:
    confidence = Confidence()
    for _ in range(50):
        confidence.advance(Heard("dog", SIMILAR[0]), 0.1)
    assert confidence.known == 0.0
