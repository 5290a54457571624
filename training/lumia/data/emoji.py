"""Training pictures: Fluent emoji on a dark ground that glows, their place, size, bend and light decided by the noise.

A one-step model shows the mean of all pictures that a noise could mean, so random augmentation would only blur it. Here
the noise itself says how the picture is varied: smoothed channels of the latent noise bend it, move it and colour the
glow. The mapping is learnable, one step stays sharp, and a slow walk through noise makes the picture breathe.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, interpolate

SIZE = 256  # pixels, height and width
LATENT_SIZE = 16
FIELD_SIZE = 64  # pixels at which light is computed: it is smooth
SMOOTHING = 3.0  # width of the low-pass over the noise, in latent cells
BEND = 0.045  # displacement per unit of smoothed noise, in half picture heights
COVER = 0.84  # of the picture's height that an emoji fills
GROUND = (0.030, 0.022, 0.085)  # dark blue-violet
GLOW = 0.32  # brightness of the light behind the emoji per unit of smoothed noise


@dataclass(frozen=True)
class Emoji:
    """One picture with its mask."""

    colour: Tensor  # [3, SIZE, SIZE] float32 in 0..1, premultiplied
    alpha: Tensor  # [1, SIZE, SIZE] float32 in 0..1


def load_emoji(file: Path | IO[bytes]) -> Emoji:
    """Read one RGBA picture of any size, scaled to COVER of a square of SIZE."""
    inner = round(SIZE * COVER)
    with Image.open(file) as image:
        small = image.convert("RGBA").resize((inner, inner), Image.Resampling.LANCZOS)
    whole = np.zeros((SIZE, SIZE, 4), np.float32)
    edge = (SIZE - inner) // 2
    whole[edge : edge + inner, edge : edge + inner] = np.asarray(small, np.float32) / 255
    pixels = torch.from_numpy(whole).permute(2, 0, 1)
    return Emoji(pixels[:3] * pixels[3:], pixels[3:].clone())


def fields(noise: Tensor) -> Tensor:
    """Return the smooth fields [B, 5, h, w] of unit variance that latent noise [B, C >= 5, h, w] draws."""
    reach = torch.arange(LATENT_SIZE, dtype=torch.float32)
    kernel = torch.exp(-0.5 * ((reach[:, None] - reach[None, :]) / SMOOTHING) ** 2)
    kernel = kernel / kernel.pow(2).sum(dim=1, keepdim=True).sqrt()  # each output keeps the variance of the noise
    return kernel @ noise[:, :5] @ kernel.T


def paint(emoji: Emoji | None, noise: Tensor) -> Tensor:
    """Return pictures [B, 3, SIZE, SIZE] in 0..1 of one emoji, or of the idle light alone, as the noise wants them."""
    smooth = interpolate(fields(noise), size=(FIELD_SIZE, FIELD_SIZE), mode="bicubic", align_corners=True)
    ground = _widened(_light(smooth[:, 2:], idle=emoji is None))
    if emoji is None:
        return ground.clamp(0, 1)
    ticks = torch.linspace(-1, 1, SIZE)
    place = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij")[::-1], dim=-1)
    grid = place + BEND * _widened(smooth[:, :2]).permute(0, 2, 3, 1)
    layers = torch.cat([emoji.colour, emoji.alpha]).expand(len(noise), -1, -1, -1)
    bent = grid_sample(layers, grid, mode="bilinear", align_corners=True)
    return (bent[:, :3] + (1 - bent[:, 3:]) * ground).clamp(0, 1)


def _widened(small: Tensor) -> Tensor:
    return interpolate(small, size=(SIZE, SIZE), mode="bilinear", align_corners=True)


def _light(smooth: Tensor, *, idle: bool) -> Tensor:
    """Return the ground [B, 3, FIELD_SIZE, FIELD_SIZE]: dark, with drifting light, stronger when idle."""
    ticks = torch.linspace(-1, 1, FIELD_SIZE)
    radius = (ticks[:, None] ** 2 + ticks[None, :] ** 2).sqrt()
    vignette = torch.exp(-1.4 * radius**2)
    warm, cool, deep = (torch.sigmoid(1.5 * smooth[:, i] - 0.3) for i in range(3))
    colour = torch.stack([0.9 * warm + 0.2 * deep, 0.35 * warm + 0.55 * cool, 0.55 * cool + 0.9 * deep], dim=1)
    strength = GLOW * (2.2 if idle else 1.0)
    return torch.tensor(GROUND)[None, :, None, None] + strength * vignette * colour


def gradients(pictures: Tensor) -> Tensor:
    """Return horizontal and vertical differences of pictures [B, C, H, W], stacked along the channels."""
    channels = pictures.shape[1]
    kernel = torch.tensor([[[[0.0, 0.0], [-1.0, 1.0]]], [[[0.0, -1.0], [0.0, 1.0]]]]).repeat(channels, 1, 1, 1)
    return conv2d(pictures, kernel.to(pictures.device), groups=channels)
