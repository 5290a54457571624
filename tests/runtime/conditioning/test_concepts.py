"""Concepts: the nearest one by cosine, or none."""

import numpy as np

from clavilux.runtime.conditioning.concepts import ConceptIndex


def test_the_nearest_concept_is_the_one_with_the_highest_cosine() -> None:
    tokens = np.random.default_rng(0).normal(size=(3, 5, 8)).astype(np.float32)
    index = ConceptIndex(("dog", "rain", "bell"), tokens)
    heard = index.nearest(tokens[1] * 4 + 0.1)
    assert heard is not None
    assert heard.name == "rain"
    assert heard.similarity > 0.95


def test_without_concepts_nothing_is_named() -> None:
    assert ConceptIndex((), None).nearest(np.ones((5, 8), np.float32)) is None
