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


def test_where_a_sound_without_a_name_is_nearer_nothing_is_named() -> None:
    tokens = np.random.default_rng(0).normal(size=(3, 5, 8)).astype(np.float32)
    index = ConceptIndex(("dog", "rain"), tokens[:2], tokens[2:])
    assert index.nearest(tokens[2] * 3) is None
    heard = index.nearest(tokens[0])
    assert heard is not None
    assert heard.name == "dog"


def test_a_bundle_without_concepts_has_no_names_whatever_else_it_knows() -> None:
    index = ConceptIndex((), None, np.ones((1, 5, 8), np.float32))
    assert not index.has_names
    assert index.nearest(np.ones((5, 8), np.float32)) is None
