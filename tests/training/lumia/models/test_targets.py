"""The losses are the formulas they claim to be."""

import math

import pytest
import torch

from clavilux.training.lumia.models.targets import (
    REGRESSION,
    TEMPERATURE,
    alignment_loss,
    begin_token,
    contrast,
    similarities,
    token_table,
)


@pytest.fixture
def table() -> torch.Tensor:
    return token_table(3, 2, 4, seed=0)


def by_hand(tokens: torch.Tensor, labels: list[int], table: torch.Tensor) -> float:
    """The reference's loss in plain loops."""
    total = 0.0
    for i, label in enumerate(labels):
        for place in range(tokens.shape[1]):
            a = tokens[i, place].double()
            logits = [
                float(a @ row[place].double() / (a.norm() * row[place].double().norm())) / TEMPERATURE for row in table
            ]
            total += math.log(sum(math.exp(one) for one in logits)) - logits[label]
    return total / (len(labels) * tokens.shape[1])


def test_contrast_equals_the_formula_computed_by_hand(table):
    tokens = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(3))
    labels = [0, 3, 1, 1, 2]
    assert float(contrast(tokens, torch.tensor(labels), table)) == pytest.approx(
        by_hand(tokens, labels, table), rel=1e-5
    )


def test_contrast_does_not_depend_on_norms(table):
    tokens, labels = torch.randn(2, 2, 4), torch.tensor([0, 1])
    torch.testing.assert_close(contrast(7 * tokens, labels, table), contrast(tokens, labels, table))


def test_contrast_of_tokens_without_direction_is_the_logarithm_of_the_candidates(table):
    assert float(contrast(torch.zeros(2, 2, 4), torch.tensor([0, 1]), table)) == pytest.approx(math.log(4))


def test_alignment_adds_the_squared_distance(table):
    tokens, labels = torch.randn(2, 2, 4), torch.tensor([2, 0])
    distance = float((tokens - table[labels]).pow(2).mean())
    expected = float(contrast(tokens, labels, table)) + REGRESSION * distance
    assert float(alignment_loss(tokens, labels, table)) == pytest.approx(expected)


def test_the_right_tokens_are_cheaper_than_wrong_ones(table):
    labels = torch.tensor([0, 1, 2])
    assert alignment_loss(table[labels], labels, table) < alignment_loss(table[labels.flip(0)], labels, table)


def test_the_loss_reaches_the_tokens(table):
    tokens = torch.randn(2, 2, 4, requires_grad=True)
    torch.autograd.backward(alignment_loss(tokens, torch.tensor([0, 1]), table))
    assert tokens.grad is not None
    assert tokens.grad.abs().min() > 0


def test_the_table_has_one_more_row_than_concepts_and_unit_variance():
    table = token_table(28, 25, 144, seed=1)
    assert table.shape == (29, 25, 144)
    torch.testing.assert_close(table.pow(2).mean(dim=2), torch.ones(29, 25))


def test_a_row_of_the_table_is_the_same_at_every_position():
    table = token_table(5, 7, 16, seed=1)
    torch.testing.assert_close(table, table[:, :1].expand_as(table))


def test_the_table_depends_on_the_seed_alone():
    torch.testing.assert_close(token_table(3, 2, 8, seed=5), token_table(3, 2, 8, seed=5))
    assert not torch.equal(token_table(3, 2, 8, seed=5), token_table(3, 2, 8, seed=6))


def test_the_first_token_differs_from_every_row_of_the_table():
    assert not any(torch.allclose(begin_token(8, 5), row[0]) for row in token_table(3, 2, 8, seed=5))


def test_a_row_is_most_similar_to_itself(table):
    found = similarities(table, table)
    assert found.argmax(dim=1).tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(found.diag(), torch.ones(4))
