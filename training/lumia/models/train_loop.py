"""The training loop of the bundle's networks: AdamW and Muon, resumed from their last checkpoint; weights averaged.

Every batch is drawn on the processor, so that it is the same on every device, and only then moved to where the model
is. What is computed in bfloat16 is so everywhere; weights, averages and moments are float32. On a processor the
same seed gives the same weights to the bit; on a card that is not promised, and none has run it yet.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from clavilux.runtime.files import written_whole
from clavilux.training.command_line import LOG
from clavilux.training.lumia.models.muon import hidden_weights, muon
from clavilux.training.lumia.phases import NEVER, TimeUpError

CLIP_NORM = 1.0  # largest norm of all gradients together
REPORT_STEPS = 50


@dataclass(frozen=True)
class Recipe:
    """Recipe by which a network is trained."""

    steps: int
    rate: float  # peak learning rate of AdamW
    muon: float = 0.0  # peak learning rate of Muon, for the weights of hidden layers; 0: AdamW for all
    warmup: int = 50  # steps
    decay: float = 0.02  # weight decay
    checkpoint: int = 200  # steps between checkpoints
    average: float = 0.0  # decay of the averaged weights, 0 = none
    seed: int = 0
    device: str = "cpu"  # in torch's words, for example "cuda"
    deadline: float = NEVER  # s since the epoch: then it stops, with a checkpoint


def train(model: nn.Module, loss: Callable[[int], Tensor], recipe: Recipe, checkpoint: Path) -> nn.Module:
    """Train `model` on loss(step) and return it, with averaged weights where the recipe asks for them.

    Each step is seeded by its number, so a run that resumes from `checkpoint` ends as an uninterrupted one does. While
    it trains the model is on the recipe's device, before and after on the processor. Raises TimeUpError at the
    deadline, after a step at least.
    """
    model.to(recipe.device)
    optimizers = _optimizers(model, recipe)
    average = {name: value.detach().clone() for name, value in model.state_dict().items()}
    begin, shown = _resume(checkpoint, model, optimizers, average), math.nan
    model.train()
    for step in range(begin, recipe.steps):
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        value = _step(model, optimizers, loss(step), _shape(step, recipe))
        _follow(average, model, min(recipe.average, step / (step + 10)))
        shown = value if math.isnan(shown) else 0.95 * shown + 0.05 * value
        if (step + 1) % REPORT_STEPS == 0:
            LOG.info("%s: step %d of %d, loss %.4f", checkpoint.stem, step + 1, recipe.steps, shown)
        ended, late = step + 1 == recipe.steps, time.time() >= recipe.deadline
        if (step + 1) % recipe.checkpoint == 0 or ended or late:
            _save(checkpoint, step + 1, model, optimizers, average)
        if late and not ended:
            raise TimeUpError(f"{checkpoint.stem}: time is up at step {step + 1} of {recipe.steps}")
    if recipe.average:
        model.load_state_dict(average)
    return model.to("cpu").eval()


def device_of(model: nn.Module) -> torch.device:
    """Return where a model is: its inputs have to go there."""
    return next(model.parameters()).device


def trained(checkpoint: Path) -> dict[str, Tensor]:
    """Return the averaged weights of a training that has written `checkpoint`."""
    average: dict[str, Tensor] = torch.load(checkpoint, "cpu", weights_only=True)["average"]
    return average


def _shape(step: int, recipe: Recipe) -> float:
    """Return the learning rate's shape: linear warm-up times a half cosine."""
    return min(1.0, (step + 1) / recipe.warmup) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))


def _optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return AdamW, and Muon for the hidden layers where the recipe asks for it."""
    hidden = hidden_weights(model) if recipe.muon else []
    taken = {id(one) for one in hidden}
    others = [one for one in model.parameters() if id(one) not in taken]
    adam = torch.optim.AdamW(others, lr=recipe.rate, weight_decay=recipe.decay, betas=(0.9, 0.98))
    return [adam, muon(hidden, recipe.muon)] if hidden else [adam]


def _step(model: nn.Module, optimizers: list[torch.optim.Optimizer], loss: Tensor, share: float) -> float:
    """Learn from a loss, at `share` of every optimizer's peak rate, and return it."""
    model.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = share * optimizer.defaults["lr"]
        optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def _follow(average: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


def _save(
    path: Path, step: int, model: nn.Module, optimizers: list[torch.optim.Optimizer], average: dict[str, Tensor]
) -> None:
    state = {"step": step, "model": model.state_dict(), "average": average}
    state["optimizers"] = [optimizer.state_dict() for optimizer in optimizers]
    with written_whole(path) as part:
        torch.save(state, part)


def _resume(path: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer], average: dict[str, Tensor]) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, device_of(model), weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, stored in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(stored)
    average.update(state["average"])
    step: int = state["step"]
    return step
