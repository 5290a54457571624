"""A judge of pictures: a small classifier that says which concept a picture shows.

It is trained on the emoji painted afresh, turned, moved, blurred, tinted and noisy, never on generated pictures, and
then looks at what the bundle paints. Its own accuracy, on paintings and changes that it has not seen, stands beside
every figure.
The model is transformers' ResNet (He et al. 2016) with random weights at the beginning. A second judge, so that no
figure hangs on one network's taste, is a ConvNeXt (Liu et al. 2022) that learns from other changes: sheared, mirrored
in colour, with a piece missing and fewer levels.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, avg_pool2d, cross_entropy, grid_sample, interpolate
from transformers import (
    AutoModelForImageClassification,
    ConvNextConfig,
    ConvNextForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.lumia.data.scenes import Emoji, drawn, paint
from clavilux.training.lumia.models.train_loop import Recipe, device_of, train
from clavilux.training.lumia.phases import NEVER, check_time

SIDE = 64  # pixels of what the judge sees
CELLS = (16, 16)  # of the latents of what it is trained on
TURN, MOVE, ZOOM = 0.2, 0.12, 1.25  # radians, half picture heights, factor
TINT, NOISE = 0.25, 0.04  # largest change of a colour channel's strength, deviation of noise
BLURRED = 0.5  # share of pictures that lose detail
SHEAR, GREYED, ERASED, LEVELS = 0.25, 0.4, 0.35, 10  # for the second: most of it, shares, side of the piece, levels
FIVE = 5


@dataclass(frozen=True)
class Accuracy:
    """How often pictures show what they should."""

    pictures: int
    first: float  # share where the judge's first guess is right
    fifth: float  # share where one of its first five is


def build(concepts: int) -> Any:
    """Return the untrained judge."""
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=32, hidden_sizes=[48, 96, 160], depths=[1, 1, 1], layer_type="basic", num_labels=concepts
        )
    )


def build_second(concepts: int) -> Any:
    """Return the untrained second judge."""
    return ConvNextForImageClassification(
        ConvNextConfig(
            hidden_sizes=[48, 96, 160],
            depths=[1, 1, 2],
            num_stages=3,
            patch_size=4,
            image_size=SIDE,
            num_labels=concepts,
        )
    )


def load(folder: Path) -> nn.Module:
    """Return a trained judge. Raises ClaviluxError where there is none."""
    if not (folder / "config.json").is_file():
        raise ClaviluxError(
            f"{folder} is no judge of pictures; expected one in a folder of clavilux.training.lumia.make"
        )
    model: nn.Module = AutoModelForImageClassification.from_pretrained(folder, local_files_only=True)
    return model.eval()


def paintings(emojis: Sequence[Emoji], seed: int, count: int, deadline: float = NEVER) -> Tensor:
    """Return small pictures [concepts, count, 3, SIDE, SIDE] uint8 of every emoji, each in another light and place.

    Raises TimeUpError at the deadline.
    """

    def painted(emoji: Emoji, number: int) -> Tensor:
        check_time(deadline, "judge")
        scene = drawn(seed, number, CELLS, len(emojis))
        return small((paint([emoji], scene.noise, scene.numbers) * 255).round().byte())[0]

    return torch.stack(
        [torch.stack([painted(one, i * count + j) for j in range(count)]) for i, one in enumerate(emojis)]
    )


def small(pictures: Tensor) -> Tensor:
    """Return uint8 pictures [n, 3, H, W] at SIDE x SIDE."""
    return avg_pool2d(pictures.float(), pictures.shape[-1] // SIDE).round().byte()


def seen(pictures: Tensor) -> Tensor:
    """Return uint8 pictures [n, 3, H, W] as the judge takes them: [n, 3, SIDE, SIDE] float32 in -1..1."""
    return small(pictures).float() / 127.5 - 1


def changed(pictures: Tensor) -> Tensor:
    """Return uint8 pictures [n, 3, SIDE, SIDE] turned, moved, zoomed, tinted, blurred, noisy, as float32 in -1..1."""
    count = len(pictures)
    turn, zoom = TURN * _signed(count), torch.exp(math.log(ZOOM) * _signed(count))
    rows = torch.stack([turn.cos() * zoom, -turn.sin() * zoom, turn.sin() * zoom, turn.cos() * zoom], dim=1)
    theta = torch.cat([rows.reshape(count, 2, 2), MOVE * _signed(count, 2, 1)], dim=2)
    grid = affine_grid(theta, [count, 3, SIDE, SIDE], align_corners=False)
    seen = grid_sample(pictures.float() / 127.5 - 1, grid, padding_mode="border", align_corners=False)
    soft = interpolate(avg_pool2d(seen, 4), scale_factor=4, mode="bilinear")
    seen = torch.where(torch.rand(count, 1, 1, 1) < BLURRED, soft, seen)
    tinted = (seen + 1) * (1 + TINT * _signed(count, 3, 1, 1)) - 1
    return tinted + NOISE * torch.randn_like(tinted)


def changed_otherwise(pictures: Tensor) -> Tensor:
    """Return uint8 pictures [n, 3, SIDE, SIDE] sheared, grey, with a piece missing, of few levels: -1..1, float32."""
    count = len(pictures)
    rows = torch.eye(2).expand(count, 2, 2) + SHEAR * _signed(count, 2, 2)
    theta = torch.cat([rows, MOVE * _signed(count, 2, 1)], dim=2)
    grid = affine_grid(theta, [count, 3, SIDE, SIDE], align_corners=False)
    seen = grid_sample(pictures.float() / 127.5 - 1, grid, padding_mode="border", align_corners=False)
    grey = torch.where(torch.rand(count, 1, 1, 1) < GREYED, torch.rand(count, 1, 1, 1), 0.0)
    seen = seen + grey * (seen.mean(dim=1, keepdim=True) - seen)
    corner = torch.rand(count, 2, 1) * (1 - ERASED)
    ticks = (torch.arange(SIDE) + 0.5) / SIDE
    down, across = ((ticks > corner[:, i]) & (ticks < corner[:, i] + ERASED) for i in range(2))
    seen = seen.masked_fill((down[:, :, None] & across[:, None, :])[:, None], -1.0)
    return ((seen + 1) * LEVELS / 2).round() * 2 / LEVELS - 1


def _signed(*shape: int) -> Tensor:
    return 2 * torch.rand(shape) - 1


def fit(
    model: nn.Module,
    pictures: Tensor,
    recipe: Recipe,
    checkpoint: Path,
    change: Callable[[Tensor], Tensor] = changed,
    batch: int = 64,
) -> Any:
    """Train on pictures [K, J, 3, SIDE, SIDE] uint8, as `change` shows them."""

    def loss(_step: int) -> Tensor:
        concepts, takes = (torch.randint(size, (batch,)) for size in pictures.shape[:2])
        device = device_of(model)
        found = model(change(pictures[concepts, takes]).to(device)).logits
        return cross_entropy(found, concepts.to(device), label_smoothing=0.05)

    return train(model, loss, recipe, checkpoint)


@torch.no_grad()
def accuracy(model: nn.Module, pictures: Tensor, concepts: Tensor) -> Accuracy:
    """Return how often pictures [n, 3, SIDE, SIDE], float32 in -1..1, show their concepts [n]."""
    guesses = torch.cat([model(part).logits.topk(FIVE).indices for part in torch.split(pictures, 128)])
    right = guesses == concepts[:, None]
    return Accuracy(len(pictures), float(right[:, 0].float().mean()), float(right.any(dim=1).float().mean()))


@torch.no_grad()
def failures(model: nn.Module, pictures: Tensor, concepts: Tensor) -> list[int]:
    """Return the places of pictures whose concept is not among the judge's first five."""
    guesses = torch.cat([model(part).logits.topk(FIVE).indices for part in torch.split(pictures, 128)])
    return [i for i, row in enumerate(guesses == concepts[:, None]) if not row.any()]
