"""The judge sees changed pictures of the right range, learns, and is counted as said."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from clavilux.training.lumia.data.scenes import Emoji
from clavilux.training.lumia.models import judge
from clavilux.training.lumia.models.judge import SIDE, Accuracy
from clavilux.training.lumia.models.train_loop import Recipe


class Guesser(nn.Module):
    """Guesses the same concepts, in the same order, for every picture."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.scores = torch.zeros(10)
        self.scores[order] = torch.arange(len(order), 0, -1.0)

    def forward(self, pictures):
        return type("Answer", (), {"logits": self.scores.expand(len(pictures), -1)})


def squares(count: int) -> torch.Tensor:
    """Pictures [count, 2, 3, SIDE, SIDE] of one bright square each, at different places."""
    pictures = torch.zeros(count, 2, 3, SIDE, SIDE, dtype=torch.uint8)
    for i in range(count):
        pictures[i, :, i % 3, 12 * (i + 1) : 12 * (i + 2), 20:44] = 255
    return pictures


@torch.no_grad()
def surprise(model, pictures: torch.Tensor, concepts: torch.Tensor) -> float:
    return float(cross_entropy(model(judge.seen(pictures[:, 0])).logits, concepts))


def test_changed_pictures_keep_shape_and_about_their_range():
    torch.manual_seed(0)
    seen = judge.changed(squares(3)[:, 0])
    assert seen.shape == (3, 3, SIDE, SIDE)
    assert seen.dtype == torch.float32
    assert -1.3 < float(seen.min()) < -0.9
    assert float(seen.max()) < 2


def test_no_two_changes_are_alike():
    torch.manual_seed(0)
    twice = judge.changed(squares(1)[:, 0].expand(2, -1, -1, -1))
    assert float((twice[0] - twice[1]).abs().mean()) > 0.02


def test_pictures_of_any_size_come_down_to_the_judges():
    assert judge.seen(torch.full((2, 3, 256, 256), 255, dtype=torch.uint8)).shape == (2, 3, SIDE, SIDE)
    assert float(judge.seen(torch.full((1, 3, 128, 128), 255, dtype=torch.uint8)).min()) == 1.0


def test_a_little_training_tells_squares_apart(tmp_path):
    torch.manual_seed(0)
    pictures, concepts = squares(3), torch.arange(3)
    model = judge.build(3)
    before = surprise(model.eval(), pictures, concepts)
    model = judge.fit(model.train(), pictures, Recipe(steps=12, rate=3e-3, warmup=2), tmp_path / "judge.pt", batch=12)
    assert surprise(model, pictures, concepts) < 0.7 * before


def test_first_guesses_and_first_five_are_counted():
    pictures, concepts = torch.zeros(4, 3, SIDE, SIDE), torch.tensor([7, 1, 5, 0])
    guesser = Guesser([7, 6, 5, 4, 1, 0])
    assert judge.accuracy(guesser, pictures, concepts) == Accuracy(4, 0.25, 0.75)
    assert judge.failures(guesser, pictures, concepts) == [3]


def test_every_thing_is_painted_in_lights_and_places_of_its_own(monkeypatch):
    monkeypatch.setattr(judge, "CELLS", (4, 4))
    things = [Emoji(torch.full((4, 256, 256), share)) for share in (0.3, 0.9)]
    found = judge.paintings(things, 5, 2)
    assert (found.shape, found.dtype) == (torch.Size([2, 2, 3, SIDE, SIDE]), torch.uint8)
    flat = found.flatten(0, 1)
    assert all(bool((flat[i] != flat[j]).any()) for i in range(4) for j in range(i))
    assert torch.equal(found, judge.paintings(things, 5, 2))
    assert not torch.equal(found, judge.paintings(things, 6, 2))


def test_paintings_are_of_the_size_that_the_bundle_paints(monkeypatch):
    sizes = []

    def painted(things, noise, numbers):
        sizes.append(tuple(noise.shape[1:]))
        return torch.full((len(things), 3, 256, 256), 0.5)

    monkeypatch.setattr(judge, "paint", painted)
    assert judge.paintings([None], 0, 1).unique().tolist() == [128]
    assert sizes == [(16, 16)]


@pytest.mark.parametrize("concepts", [2, 9])
def test_the_judge_has_an_answer_for_every_concept(concepts):
    assert judge.build(concepts).eval()(torch.zeros(1, 3, SIDE, SIDE)).logits.shape == (1, concepts)


def test_the_second_judge_sees_other_changes_in_range():
    torch.manual_seed(0)
    seen = judge.changed_otherwise(squares(3)[:, 0])
    assert seen.shape == (3, 3, SIDE, SIDE)
    assert -1.01 <= float(seen.min()) < -0.9
    assert float(seen.max()) <= 1.01
    assert len(seen.unique()) <= judge.LEVELS + 1
    assert not torch.equal(seen, judge.changed_otherwise(squares(3)[:, 0]))


def test_the_second_judge_has_another_architecture_and_says_as_much():
    first, second = judge.build(5), judge.build_second(5)
    assert type(first) is not type(second)
    assert second(torch.zeros(2, 3, SIDE, SIDE)).logits.shape == (2, 5)
