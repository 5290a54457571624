"""A reader of light: a small network that says which numbers a picture of light was made of.

It is trained on painted light, as it is and as the autoencoder shows it, never on generated pictures, and then looks at
what the bundle paints while a sound plays: whether hue, place, fineness and the others can be seen, and follow what was
heard. How well it reads light that it has not seen, through the autoencoder, stands beside every figure.
The model is transformers' ResNet (He et al. 2016) with random weights at the beginning, as a regression.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, mse_loss
from transformers import ResNetConfig, ResNetForImageClassification

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.training.lumia.data.scenes import drawn, paint
from clavilux.training.lumia.models import autoencoder
from clavilux.training.lumia.models.train_loop import Recipe, device_of, train
from clavilux.training.lumia.phases import NEVER, check_time

SIDE = 128  # pixels of what it sees: sparks are small
CELLS = (16, 16)  # of the latents of what it is trained on
MIRRORED, SOFTENED = 0.5, 0.3  # shares that are turned left to right, and that lose detail
TINTED, NOISE = 0.1, 0.02  # change of a colour's strength, deviation of noise
COLOURED = 0.5  # length of the hue's two numbers from which on hue can be told
HUE = "hue"


@dataclass(frozen=True)
class Reading:
    """How well numbers are read: correlation by rank (Spearman), of hue by angle (Jammalamadaka and SenGupta 2001)."""

    pictures: int
    correlations: dict[str, float]  # by number; "hue" for its two


def build() -> Any:
    """Return the untrained reader."""
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=24,
            hidden_sizes=[32, 64, 96, 128],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            num_channels=6,
            num_labels=len(LIGHT_NUMBERS),
        )
    )


def small(pictures: Tensor) -> Tensor:
    """Return square uint8 pictures [n, 3, H, H] as the reader takes them: [n, 3, SIDE, SIDE] float32 in -1..1."""
    return avg_pool2d(pictures.float(), pictures.shape[-1] // SIDE) / 127.5 - 1


@dataclass(frozen=True)
class Paintings:
    """Pictures of light as the reader takes them, [n, 3, SIDE, SIDE] float16, and their numbers."""

    painted: Tensor
    coded: Tensor  # the same, encoded and decoded
    numbers: Tensor  # [n, 9]


def paintings(codec: AutoencoderTiny, seed: int, count: int, deadline: float = NEVER) -> Paintings:
    """Paint light, and look at it through an autoencoder. Raises TimeUpError at the deadline."""
    scenes = [drawn(seed, index, CELLS, 1) for index in range(count)]
    painted, coded = [], []
    for one in scenes:
        check_time(deadline, "reader")
        picture = (paint([None], one.noise, one.numbers) * 255).round().byte()
        painted.append(small(picture).half())
        coded.append(small(autoencoder.decoded(codec, autoencoder.encoded(codec, picture))).half())
    return Paintings(torch.cat(painted), torch.cat(coded), torch.stack([one.numbers for one in scenes]))


def fit(model: nn.Module, seen: Tensor, numbers: Tensor, recipe: Recipe, checkpoint: Path, batch: int = 24) -> Any:
    """Train on what `paintings` gives."""

    def loss(_step: int) -> Tensor:
        chosen = torch.randint(len(seen), (batch,))
        device = device_of(model)
        found = model(_with_mirror(_changed(seen[chosen].float())).to(device)).logits
        return mse_loss(found, numbers[chosen].to(device))

    return train(model, loss, recipe, checkpoint)


def _with_mirror(pictures: Tensor) -> Tensor:
    """Return pictures [n, 6, H, W] beside their mirror images: what looks at places cannot see symmetry else."""
    return torch.cat([pictures, pictures.flip(3)], dim=1)


def _changed(pictures: Tensor) -> Tensor:
    """Return pictures mirrored, which changes no number, a little softer, tinted and noisy, as a decoder makes them."""
    count = len(pictures)
    pictures = torch.where(torch.rand(count, 1, 1, 1) < MIRRORED, pictures.flip(3), pictures)
    soft = avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
    pictures = torch.where(torch.rand(count, 1, 1, 1) < SOFTENED, soft, pictures)
    tinted = (pictures + 1) * (1 + TINTED * (2 * torch.rand(count, 3, 1, 1) - 1)) - 1
    return tinted + NOISE * torch.randn_like(tinted)


@torch.no_grad()
def read(model: nn.Module, pictures: Tensor) -> Tensor:
    """Return the numbers [n, 9] that square uint8 pictures [n, 3, H, H] seem to be made of."""
    return read_small(model, small(pictures))


@torch.no_grad()
def read_small(model: nn.Module, seen: Tensor) -> Tensor:
    """Return the same of pictures as the reader takes them."""
    return torch.cat([model(_with_mirror(part.float())).logits for part in torch.split(seen, 64)])


def reading(found: Tensor, known: Tensor) -> Reading:
    """Return how well numbers [n, 9] found in pictures follow the known ones [n, 9]; hue where there is colour."""
    rest = {name: rank_correlation(found[:, i], known[:, i]) for i, name in enumerate(LIGHT_NUMBERS) if i > 1}
    coloured = known[:, :2].norm(dim=1) > COLOURED
    angles = (torch.atan2(one[coloured, 1], one[coloured, 0]) for one in (found, known))
    return Reading(len(found), {HUE: angular_correlation(*angles)} | rest)


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Return Spearman's correlation of two rows [n]: that of their ranks, equal values sharing theirs."""
    ranks = [_ranks(row) - (len(row) - 1) / 2 for row in (one, other)]
    norm = math.sqrt(float(ranks[0].pow(2).sum() * ranks[1].pow(2).sum()))
    return float((ranks[0] * ranks[1]).sum()) / norm if norm else 0.0


def _ranks(row: Tensor) -> Tensor:
    _, places, counts = torch.unique(row, return_inverse=True, return_counts=True)
    ranks: Tensor = (counts.cumsum(0) - (counts + 1) / 2)[places].double()
    return ranks


def angular_correlation(one: Tensor, other: Tensor) -> float:
    """Return the circular correlation of two rows of angles [n], -1 to 1 (Jammalamadaka and SenGupta 2001, 8.2)."""
    sines = [torch.sin(row - torch.atan2(row.sin().mean(), row.cos().mean())).double() for row in (one, other)]
    norm = math.sqrt(float(sines[0].pow(2).sum() * sines[1].pow(2).sum()))
    return float((sines[0] * sines[1]).sum()) / norm if norm else 0.0
