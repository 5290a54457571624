"""The autoencoder's encoder as one graph: uint8 pictures in, latents in the UNet's scale out, for image-to-image."""

from typing import Any

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from clavilux.export.models.decoder import LEVELS, block_side, scale_and_shift

Pictures = NDArray[np.uint8]

WAVES = 5  # in each direction and colour of a picture to try


class ImageEncoderGraph(nn.Module):
    """pictures uint8 [B, H, W, 3], RGB -> latents float32 [B, C, h, w]: the mode of the posterior, scaled."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        self.scale, self.shift = scale_and_shift(vae)

    def forward(self, pictures: Tensor) -> Tensor:
        """Bring to -1..1 and encode, as diffusers' image-to-image pipeline does, but for its random draw."""
        planes = pictures.to(torch.float32).permute(0, 3, 1, 2) / LEVELS * 2 - 1  # TensorRT transposes no bytes
        return (_encode(self.vae, planes) - self.shift) * self.scale


def _encode(vae: Any, planes: Tensor) -> Tensor:
    block = block_side(vae.config)
    encoded = vae.encode(pixel_unshuffle(planes, block) if block > 1 else planes)
    latents: Tensor = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
    return latents


def reference_latents(vae: Any, pictures: Pictures) -> NDArray[np.float32]:
    """Return what diffusers' own preprocessing and encoder make of `pictures`: float32 [B, C, h, w]."""
    planes = VaeImageProcessor().preprocess([Image.fromarray(picture) for picture in pictures])
    scale, shift = scale_and_shift(vae)
    with torch.inference_mode():
        latents: NDArray[np.float32] = ((_encode(vae, planes) - shift) * scale).numpy()
    return latents


def usual_pictures(height: int, width: int, seed: int) -> Pictures:
    """Return a seeded picture to try an encoder on, uint8 [1, height, width, 3]: smooth colours and some noise."""
    random = np.random.default_rng(seed)
    down, right = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    waves = [_wave(down, right, random) for _ in range(3 * WAVES)]
    colours = np.stack([sum(waves[i::3]) for i in range(3)], axis=-1) / WAVES
    noisy = 127.5 + 110 * colours + random.normal(0, 6, colours.shape)
    return np.clip(noisy, 0, LEVELS).round().astype(np.uint8)[None]


def _wave(down: NDArray[np.float64], right: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    turns, phase = random.uniform(-6, 6, 2), random.uniform(0, 2 * np.pi)
    return np.asarray(np.sin(2 * np.pi * (turns[0] * down + turns[1] * right) + phase))
