"""The figures equal what they are said to be; ties and duplicate captions count as they are said to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clavilux.training.alignment.metrics import alignment, audio_ranks, rows_of, shares, similarities, text_ranks


def drawn(count: int, seed: int, places: int = 3, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, places, width)).astype(np.float32)


def test_perfect_tokens_have_perfect_figures() -> None:
    table = drawn(12, 0)
    found = alignment(table, table, np.arange(12))
    assert found.cosine == pytest.approx(1.0, abs=1e-6)
    assert (found.squared_error, found.distance) == (0.0, 0.0)
    assert found.audio_to_text == found.text_to_audio == (1.0, 1.0, 1.0)
    assert found.norm_ratio == pytest.approx(1.0)


def test_the_references_three_figures_are_plain_means() -> None:
    tokens, table = drawn(5, 1), drawn(5, 2)
    found = alignment(tokens, table, np.arange(5))
    cosines = [
        a @ t / np.linalg.norm(a) / np.linalg.norm(t)
        for a, t in zip(tokens.reshape(-1, 8), table.reshape(-1, 8), strict=True)
    ]
    assert found.cosine == pytest.approx(np.mean(cosines), abs=1e-6)
    assert found.squared_error == pytest.approx(np.square(tokens - table).mean(), rel=1e-6)
    assert found.distance == pytest.approx(np.linalg.norm(tokens - table, axis=-1).mean(), rel=1e-6)


def test_norms_are_told_for_each_position() -> None:
    tokens, table = drawn(4, 1), drawn(2, 2)
    rows = np.array([0, 1, 1, 1])
    found = alignment(tokens, table, rows)
    np.testing.assert_allclose(found.audio_norms, np.linalg.norm(tokens, axis=-1).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.text_norms, np.linalg.norm(table[rows], axis=-1).mean(axis=0), rtol=1e-6)


@given(st.floats(0.1, 20))
@settings(max_examples=20, deadline=None)
def test_the_norm_ratio_follows_the_norm_and_the_cosine_does_not(scale: float) -> None:
    table = drawn(4, 3)
    found = alignment((scale * table).astype(np.float32), table, np.arange(4))
    assert found.norm_ratio == pytest.approx(scale, rel=1e-4)
    assert found.cosine == pytest.approx(1.0, abs=1e-5)


def test_a_clip_with_the_same_caption_is_right_both_ways() -> None:
    table = drawn(2, 4)
    tokens = table[[0, 0, 1]]
    tokens[1] = -tokens[1]  # a clip of caption 0 that sounds like nothing
    found = alignment(tokens, table, np.array([0, 0, 1]))
    assert found.audio_to_text[0] == pytest.approx(2 / 3)
    assert found.text_to_audio[0] == 1.0


def test_ties_count_against_the_encoder() -> None:
    table = drawn(4, 5)
    constant = np.repeat(drawn(1, 6), 4, axis=0)
    likeness = similarities(constant, table)
    assert audio_ranks(likeness, np.arange(4)).tolist() == [4, 4, 4, 4]
    assert text_ranks(np.zeros((2, 3), np.float32), np.array([0, 2])).tolist() == [3, 3]


@given(st.integers(1, 15), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_ranks_are_those_of_sorting(clips: int, captions: int, seed: int) -> None:
    dice = np.random.default_rng(seed)
    likeness = dice.permutation(clips * captions).reshape(clips, captions).astype(np.float32)
    rows = dice.integers(captions, size=clips)
    ranks = text_ranks(likeness, rows)
    for clip in range(clips):
        assert sorted(likeness[clip], reverse=True)[ranks[clip] - 1] == likeness[clip, rows[clip]]
    for caption in set(rows.tolist()):
        order = np.argsort(-likeness[:, caption])
        wrong_before = list(rows[order] == caption).index(True)
        assert audio_ranks(likeness, rows)[caption] == 1 + wrong_before


def test_shares_count_what_is_within_each_rank() -> None:
    assert shares(np.array([1, 5, 6, 11])) == (0.25, 0.5, 0.75)


def test_a_token_without_length_has_no_likeness() -> None:
    assert similarities(np.zeros((1, 2, 8), np.float32), drawn(3, 1, 2)).tolist() == [[0.0, 0.0, 0.0]]


def test_large_sets_are_compared_in_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, table = drawn(7, 1), drawn(3, 2)
    whole = similarities(tokens, table)
    monkeypatch.setattr("clavilux.training.alignment.metrics.ROUND", 2)
    np.testing.assert_allclose(similarities(tokens, table), whole, rtol=1e-6)


def test_keys_become_rows_of_distinct_captions() -> None:
    keys, rows = rows_of(np.array([90, 20, 90]))
    assert (keys, rows.tolist()) == ([20, 90], [1, 0, 1])


def test_a_caption_without_a_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="2 clips name 1 of 2 captions"):
        alignment(drawn(2, 0), drawn(2, 1), np.array([0, 0]))


def test_scalars_have_a_name_for_every_rank() -> None:
    names = alignment(drawn(2, 0), drawn(2, 1), np.arange(2)).scalars()
    assert {f"{way}_r{rank}" for way in ("audio_to_text", "text_to_audio") for rank in (1, 5, 10)} <= set(names)


def test_tokens_that_are_no_numbers_rank_last() -> None:
    tokens, table = drawn(4, 1), drawn(4, 1)
    tokens[1] = np.nan
    found = alignment(tokens, table, np.arange(4))
    assert found.audio_to_text[0] == found.text_to_audio[0] == 0.75
