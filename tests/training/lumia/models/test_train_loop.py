"""An interrupted training ends as an uninterrupted one."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from clavilux.training.lumia.models.train_loop import Recipe, train, trained
from clavilux.training.lumia.phases import TimeUpError


class Line(nn.Module):
    """A model with a weight, a buffer that is not a float, and dropout, which needs the random state."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.linear = nn.Linear(4, 1)
        self.dropout = nn.Dropout(0.2)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def loss(self, step: int) -> torch.Tensor:
        self.steps += 1
        data = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        return (self.linear(self.dropout(data))[:, 0] - data.sum(dim=1)).pow(2).mean()


class Layers(nn.Module):
    """A model with a hidden layer that Muon takes, a convolution, and what it leaves to AdamW."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first = nn.Linear(4, 40)
        self.hidden = nn.Linear(40, 36)
        self.last = nn.Conv1d(36, 32, 3)

    def loss(self, step: int) -> torch.Tensor:
        data = torch.randn(8, 5, 4, generator=torch.Generator().manual_seed(step))
        seen = self.last(self.hidden(self.first(data).tanh()).transpose(1, 2)).mean(dim=(1, 2))
        return (seen - data.mean(dim=(1, 2))).pow(2).mean()


def recipe(steps: int = 12, average: float = 0.0) -> Recipe:
    return Recipe(steps=steps, rate=0.05, warmup=2, checkpoint=4, average=average, seed=3)


class InterruptionError(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_resumed_training_equals_uninterrupted_training(tmp_path, average):
    whole, first, second = Line(), Line(), Line()
    train(whole, whole.loss, recipe(average=average), tmp_path / "whole.pt")

    def until_nine(step: int) -> torch.Tensor:
        if step == 9:
            raise InterruptionError
        return first.loss(step)

    with pytest.raises(InterruptionError):
        train(first, until_nine, recipe(average=average), tmp_path / "parts.pt")
    train(second, second.loss, recipe(average=average), tmp_path / "parts.pt")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], value, rtol=0, atol=0)


def test_a_training_by_muon_resumes_with_its_momentum(tmp_path):
    by_muon = replace(recipe(), muon=0.02)
    whole, first, second = Layers(), Layers(), Layers()
    train(whole, whole.loss, by_muon, tmp_path / "whole.pt")

    def until_nine(step: int) -> torch.Tensor:
        if step == 9:
            raise InterruptionError
        return first.loss(step)

    with pytest.raises(InterruptionError):
        train(first, until_nine, by_muon, tmp_path / "parts.pt")
    train(second, second.loss, by_muon, tmp_path / "parts.pt")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], value, rtol=0, atol=0)


def test_muon_changes_hidden_layers_and_adamw_the_others(tmp_path):
    still = replace(recipe(), rate=0.0, muon=0.02)
    model = Layers()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, model.loss, still, tmp_path / "layers.pt")
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"hidden.weight", "last.weight"}


def test_training_by_muon_lowers_the_loss(tmp_path):
    model = Layers()
    before = sum(float(model.loss(step).detach()) for step in range(1000, 1020))
    train(model, model.loss, replace(recipe(steps=150), muon=0.02), tmp_path / "layers.pt")
    assert sum(float(model.loss(step).detach()) for step in range(1000, 1020)) < 0.25 * before


def test_a_finished_training_is_not_trained_further(tmp_path):
    model = Line()
    train(model, model.loss, recipe(), tmp_path / "line.pt")
    before = model.linear.weight.clone()
    train(model, model.loss, recipe(), tmp_path / "line.pt")
    torch.testing.assert_close(model.linear.weight, before)


def test_training_lowers_the_loss(tmp_path):
    model = Line()
    before = float(model.eval().loss(1000).detach())
    model.train()
    train(model, model.loss, recipe(steps=150), tmp_path / "line.pt")
    assert float(model.loss(1000).detach()) < 0.2 * before


def test_the_trained_model_is_left_ready_to_use(tmp_path):
    model = Line()
    assert not train(model, model.loss, recipe(), tmp_path / "line.pt").training


def test_averaged_weights_lag_behind(tmp_path):
    plain, averaged = Line(), Line()
    train(plain, plain.loss, recipe(), tmp_path / "plain.pt")
    train(averaged, averaged.loss, recipe(average=0.9), tmp_path / "averaged.pt")
    assert not torch.equal(plain.linear.weight, averaged.linear.weight)
    assert averaged.steps == plain.steps


def test_a_later_training_may_begin_with_the_averaged_weights(tmp_path):
    model = train(made := Line(), made.loss, recipe(average=0.9), tmp_path / "line.pt")
    again = Line()
    again.load_state_dict(trained(tmp_path / "line.pt"))
    assert torch.equal(again.linear.weight, model.linear.weight)


def test_at_the_deadline_it_stops_after_a_step_and_the_same_call_goes_on(tmp_path):
    whole, parts = Line(), Line()
    train(whole, whole.loss, recipe(average=0.9), tmp_path / "whole.pt")
    late = replace(recipe(average=0.9), deadline=0.0)
    for step in range(1, late.steps):
        parts = Line()
        with pytest.raises(TimeUpError, match=f"parts: time is up at step {step} of 12"):
            train(parts, parts.loss, late, tmp_path / "parts.pt")
    parts = Line()
    train(parts, parts.loss, late, tmp_path / "parts.pt")  # the last step needs no more time than it takes
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=0, atol=0)


def test_no_partial_checkpoint_stays(tmp_path):
    model = Line()
    train(model, model.loss, recipe(), tmp_path / "line.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["line.pt"]
