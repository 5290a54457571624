"""Sharpening: a critic tells scenes from what is imagined and pulls the UNet off the mean; squared error holds it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from clavilux.training.lumia.models import sharpen, unet
from clavilux.training.lumia.models.sharpen import Critic, Rivals
from clavilux.training.lumia.models.train_loop import Recipe
from tests.training.lumia.models.test_models import CHANNELS, WIDTH, material, moved, state


@pytest.fixture
def rivals() -> Rivals:
    torch.manual_seed(0)
    return Rivals(unet.build(WIDTH, CHANNELS))


@pytest.fixture
def drawn() -> unet.Batch:
    torch.manual_seed(0)
    return unet.drawn_batch(material(), 4)


def gradients(model: nn.Module) -> list[Tensor | None]:
    return [one.grad for one in model.parameters()]


def test_the_critic_answers_for_each_cell_and_for_each_sixteen() -> None:
    near, far = Critic(WIDTH)(torch.randn(2, 12, 8, 12), torch.randn(2, 26, WIDTH))
    assert (near.shape, far.shape) == ((2, 1, 8, 12), (2, 1, 2, 3))
    assert near.dtype == far.dtype == torch.float32


def test_the_critic_learns_from_both_and_leaves_the_unet_alone(rivals: Rivals, drawn: unet.Batch) -> None:
    seen = torch.zeros_like(drawn.target, requires_grad=True)
    rivals.confused(seen, drawn).backward()
    assert seen.grad is None
    assert all(one is not None for one in gradients(rivals.critic))


def test_being_told_apart_pulls_by_a_share_of_the_squared_errors_length(rivals: Rivals, drawn: unet.Batch) -> None:
    seen = torch.randn_like(drawn.target)
    error = (2 * (seen - drawn.target) / seen.numel()).norm()
    pull = rivals._pull(seen.clone(), drawn, 0.3)
    assert float(pull.norm() / error) == pytest.approx(0.3, rel=1e-3)
    assert all(one is None for one in gradients(rivals))
    assert all(one.requires_grad for one in rivals.critic.parameters())
    apart = [-sum(one.mean() for one in rivals.critic(moved, drawn.prompts)) for moved in (seen, seen - 50 * pull)]
    assert apart[1] < apart[0]


def test_a_gradient_alone_adds_nothing_to_a_loss() -> None:
    seen, gradient = torch.randn(3, 2, requires_grad=True), torch.randn(3, 2)
    nothing = sharpen._only_gradient(seen, gradient)
    nothing.backward()
    assert float(nothing.detach()) == 0.0
    torch.testing.assert_close(seen.grad, gradient)


def test_a_critic_that_learns_goes_by_the_prompt() -> None:
    """Latents are of one sign or the other, as the prompt says; those of what is imagined are of the other sign."""
    torch.manual_seed(0)
    rivals = Rivals(unet.build(WIDTH, CHANNELS))
    learner = torch.optim.Adam(rivals.critic.parameters(), 3e-3)
    costs = []
    for _ in range(80):
        signs = torch.randn(16).sign()
        target = signs[:, None, None, None] * torch.ones(16, 12, 8, 8)
        prompts = signs[:, None, None] * torch.ones(16, 5, WIDTH)
        cost = rivals.confused(-target, unet.Batch(target, torch.zeros(16), prompts, target))
        learner.zero_grad()
        cost.backward()
        learner.step()
        costs.append(float(cost.detach()))
    assert costs[-1] < 0.5 * costs[0]


def test_without_a_share_the_unet_learns_by_squared_error_alone(rivals: Rivals, drawn: unet.Batch) -> None:
    rivals.loss(drawn, 0.0).backward()
    found = [one.clone() for one in gradients(rivals.unet) if one is not None]
    rivals.zero_grad(set_to_none=True)
    unet._loss(rivals.unet, drawn).backward()
    for one, other in zip(found, (one for one in gradients(rivals.unet) if one is not None), strict=True):
        torch.testing.assert_close(one, other)
    rivals.zero_grad(set_to_none=True)
    rivals.loss(drawn, 1.0).backward()
    assert any(not torch.equal(one, other) for one, other in zip(found, gradients(rivals.unet), strict=False))


def test_fitting_moves_the_unet_and_ends_after_a_stop_as_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, true, seen = Recipe(steps=3, rate=1e-3, warmup=1, checkpoint=1, average=0.5), Rivals.loss, []

    def fitted(name: str) -> dict[str, Tensor]:
        torch.manual_seed(0)
        model = unet.build(WIDTH, CHANNELS)
        before = state(model)
        sharpen.fit(model, material(), recipe, tmp_path / name, batch=1)
        assert moved(before, model)
        return state(model)

    def until_the_third(rivals: Rivals, drawn: unet.Batch, share: float) -> Tensor:
        seen.append(share)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return true(rivals, drawn, share)

    whole = fitted("whole.pt")
    monkeypatch.setattr(Rivals, "loss", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        fitted("parts.pt")
    monkeypatch.setattr(Rivals, "loss", true)
    resumed = fitted("parts.pt")
    assert seen[:2] == [0.0, 1 / sharpen.TOLD_STEPS]
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
