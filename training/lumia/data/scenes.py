"""Scenes to learn from: a thing, an emoji, in its light, or light alone; where it stands and how it bends is noise.

A one-step model shows the mean of all pictures that a noise could mean, so random augmentation would only blur it. Here
the noise itself says how the picture is varied: its smoothed channels bend the thing and fold the light, their means
say where it stands, how large it is, and in wide pictures whether smaller ones stand about it. The mapping can be
learnt, one step stays sharp, and a slow walk through noise makes the picture breathe.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample

from clavilux.runtime.diffusion.noise_spectrum import coloured
from clavilux.training.lumia.data.light import (
    GAMMA,
    blurred,
    encoded,
    field,
    figures,
    paint_ground,
    paint_light,
    random_numbers,
    tone,
)

CHANNELS = 12  # of the latents
THINGS_ALONE = (0, 1, 6, 7)  # channels of the noise that place and bend things, and no light
APART = 7_000_003  # turns from the concepts of one variant to those of the next
SIDE = 256  # pixels of an emoji
COVER = 0.80  # of the picture's height that a thing fills, about
SMALL = 0.36  # the same, at most, of those about it
SWAY, RISE = 0.10, 0.09  # how far a thing strays from the middle, half heights; sideways in a wide picture much farther
ASIDE = 0.70  # half widths from the middle where smaller things stand, about
WIDE = 1.3  # aspect from which on they do
BEND = 0.05  # displacement per unit of smoothed noise, in half things
BEND_WIDTH = 3.0  # of the low-pass, in sixteenths of the height
DIMMED = 0.72  # of the light behind a thing, so that it is seen
DARK, DARKER = 0.62, 0.27  # mean brightness below which a thing needs light behind it, and where it needs all of it
RIM, DARK_RIM = 0.035, 0.30  # light behind a thing, and behind a dark one
RIM_WIDTH, DIM_WIDTH = 0.035, 0.11  # heights
LIT = 0.35  # how much a thing takes the colour of its light
WHITE = (0.75, 0.85, 1.0)


@dataclass(frozen=True)
class Emoji:
    """One picture with its mask."""

    layers: Tensor  # [4, SIDE, SIDE] float32 in 0..1: red, green and blue, premultiplied, and alpha


@dataclass(frozen=True)
class Scene:
    """Everything that one scene is painted from."""

    noise: Tensor  # [C, h, w]
    numbers: Tensor  # [9] of its light
    concepts: tuple[int, ...]  # each painted in that same light; the number of all concepts stands for light alone


def drawn(seed: int, index: int, cells: tuple[int, int], concepts: int, variant: int = 0) -> Scene:
    """Return scene `index` of a seed, of latents [CHANNELS, *cells]: two of all concepts by turns, and light alone.

    Variants other than 0 have the same light, other things, and other noise where it places and bends things alone.
    """
    turn, place = divmod(2 * (index + APART * variant), concepts)
    order = torch.randperm(concepts, generator=torch.Generator().manual_seed(1_000_003 * seed + turn)).tolist()
    dice = torch.Generator().manual_seed(999_983 * seed + index)
    noise, numbers = torch.randn(CHANNELS, *cells, generator=dice), random_numbers(1, dice)[0]
    if variant:
        dice.manual_seed(31 * (999_983 * seed + index) + variant)
        noise[list(THINGS_ALONE)] = torch.randn(len(THINGS_ALONE), *cells, generator=dice)
    noise = torch.from_numpy(coloured(noise.numpy(), numbers.numpy()))
    return Scene(noise, numbers, (order[place], order[(place + 1) % concepts], concepts))


def load_emoji(file: Path | IO[bytes]) -> Emoji:
    """Read one RGBA picture of any size."""
    with Image.open(file) as image:
        small = image.convert("RGBA").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.asarray(small, np.float32) / 255).permute(2, 0, 1)
    return Emoji(torch.cat([pixels[:3] * pixels[3:], pixels[3:]]))


def paint_behind(noise: Tensor, numbers: Tensor) -> Tensor:
    """Return the light [3, H, W], linear, that things stand in; it takes most of the time of a scene."""
    return (paint_ground(noise[None], numbers[None]) + paint_light(noise[None], numbers[None]))[0]


def paint(emojis: Sequence[Emoji | None], noise: Tensor, numbers: Tensor, behind: Tensor | None = None) -> Tensor:
    """Return pictures [len(emojis), 3, H, W], encoded in 0..1, of things in the same light, or of that light alone.

    `noise` is [C, h, w], `numbers` are [9], as `clavilux.runtime.output.light_numbers` has them; H is CELL h. `behind`
    is what `paint_behind` gives of them.
    """
    behind = paint_behind(noise, numbers) if behind is None else behind
    noise, numbers = noise[None], numbers[None]
    return torch.stack([encoded(behind if one is None else _lit(one, behind, noise, numbers)) for one in emojis])


def _lit(emoji: Emoji, behind: Tensor, noise: Tensor, numbers: Tensor) -> Tensor:
    """Return a thing, and smaller ones about it, before light [3, H, W], linear."""
    height, width = behind.shape[1:]
    layers = _placed(emoji, noise, height, width)
    colour, alpha = layers[:3], layers[3:]
    brightness = float(emoji.layers[:3].mean() / emoji.layers[3].mean().clamp(min=1e-3))
    dark = _smooth((DARK - brightness) / (DARK - DARKER))
    light, own = float(figures(numbers).light), tone(numbers)[0][:, None, None]
    rim = (RIM + DARK_RIM * dark) * blurred(alpha, RIM_WIDTH * height)
    behind = behind * (1 - DIMMED * blurred(alpha, DIM_WIDTH * height).clamp(0, 1))
    behind = behind + rim * (0.45 * own + 0.55 * torch.tensor(WHITE)[:, None, None])
    itself = (colour / alpha.clamp(min=1e-4)).clamp(0, 1) ** GAMMA
    itself = itself * (1 + LIT * light * (own - own.mean())) + 0.02 * dark * own
    return behind * (1 - alpha) + itself.clamp(0, 1) * alpha


def _placed(emoji: Emoji, noise: Tensor, height: int, width: int) -> Tensor:
    """Return the layers [4, height, width] of a thing where the noise wants it, over smaller ones."""
    aspect = width / height
    whole = torch.zeros(4, height, width)
    for middle, size in _places(noise, aspect):
        down = torch.linspace(1 / height - 1, 1 - 1 / height, height)[:, None]
        across = torch.linspace(1 / width - 1, 1 - 1 / width, width)[None, :] * aspect
        bend = [2 * BEND * torch.tanh(field(noise[:, i], BEND_WIDTH, height, width)[0] / 2) for i in range(2)]
        grid = torch.stack([(across - middle[0]) / size + bend[0], (down - middle[1]) / size + bend[1]], dim=-1)
        layers = grid_sample(emoji.layers[None], grid[None], padding_mode="zeros", align_corners=False)[0]
        whole = layers + (1 - layers[3:]) * whole
    return whole


def _places(noise: Tensor, aspect: float) -> list[tuple[tuple[float, float], float]]:
    """Return middles (right, down, half heights) and sizes, the foremost last, of a noise [1, C, h, w]."""
    drawn = [float(one) for one in noise[0].mean(dim=(1, 2)) * math.sqrt(noise[0, 0].numel())]  # N(0, 1) each
    sway = SWAY + max(0.0, aspect - COVER - 2 * SWAY) if aspect > WIDE else SWAY
    main = (sway * math.tanh(0.8 * drawn[0]), RISE * math.tanh(0.8 * drawn[1]))
    places = [(main, COVER * math.exp(0.10 * math.tanh(drawn[2]) - 0.05))]
    for side, (present, right, down) in ((-1, drawn[3:6]), (1, drawn[6:9])):
        size = SMALL * _smooth(0.8 * present)
        if aspect > WIDE and size > 0:
            middle = (aspect * (side * ASIDE + 0.15 * math.tanh(right)), 0.45 * math.tanh(0.8 * down))
            places.insert(0, (middle, size))
    return places


def _smooth(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)
