"""The picture codec of the default bundle: a tiny 16-fold autoencoder, trained on crops of the very pictures.

256 x 256 pixels become 12 x 16 x 16 latents. Loss: L1 on pixels, on differences to neighbours, and once more on colour
differences, because colour was the weak part of a plain L1. At the end the decoder alone goes on with latents that the
picture maker makes, which are softer than the encoder's, and learns to give back what they lost.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn.functional import l1_loss

from clavilux.training.lumia.data.emoji import LATENT_SIZE, SIZE, Emoji, gradients, paint
from clavilux.training.lumia.models.train_loop import Recipe, device_of, train

LATENT_CHANNELS = 12
CROP = 128  # pixels
LATENT_NOISE = 0.05  # added to latents in training, relative to their deviation
EDGES, COLOUR = 1.0, 1.0  # weights beside the pixels' own loss
ROUND = 16  # pictures painted or encoded at once


def build(channels: int = 32) -> AutoencoderTiny:
    """Return the untrained autoencoder: five resolutions, decoder light at full size, where pixels cost most."""
    return AutoencoderTiny(
        encoder_block_out_channels=(channels,) * 5,
        decoder_block_out_channels=(channels,) * 5,
        num_encoder_blocks=(0, 1, 1, 1, 2),
        num_decoder_blocks=(3, 3, 2, 1, 0),
        latent_channels=LATENT_CHANNELS,
        scaling_factor=1.0,
    )


def seeded_noise(seed: int, count: int) -> Tensor:
    """Return latent noise [count, 12, 16, 16]."""
    dice = torch.Generator().manual_seed(seed)
    return torch.randn(count, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE, generator=dice)


def painted(emojis: Sequence[Emoji | None], noise: Tensor) -> Tensor:
    """Return uint8 pictures [len(emojis), len(noise), 3, SIZE, SIZE]: every emoji under every noise."""
    rounds = [[(paint(one, part) * 255).round().byte() for part in torch.split(noise, ROUND)] for one in emojis]
    return torch.stack([torch.cat(parts) for parts in rounds])


def fit(model: AutoencoderTiny, pictures: Tensor, recipe: Recipe, checkpoint: Path, batch: int = 8) -> AutoencoderTiny:
    """Train on crops of uint8 pictures [n, 3, SIZE, SIZE]; afterwards scaled latents have deviation 1."""
    model = model.to(memory_format=torch.channels_last)
    train(model, lambda step: _loss(model, _crops(pictures, batch)), recipe, checkpoint)
    model.register_to_config(scaling_factor=1 / float(_latents(model, pictures[:64]).std()))
    return model


def sharpen(
    model: AutoencoderTiny, latents: Tensor, pictures: Tensor, recipe: Recipe, checkpoint: Path, batch: int = 2
) -> None:
    """Train the decoder in place on scaled latents [n, 12, 16, 16] and the uint8 pictures [n, 3, SIZE, SIZE] they mean.

    On whole pictures, because the decoder treats a rim differently from the middle.
    """
    model.to(memory_format=torch.channels_last)
    train(model.decoder, lambda step: _sharpening_loss(model, latents, pictures, batch), recipe, checkpoint)


def _sharpening_loss(model: AutoencoderTiny, latents: Tensor, pictures: Tensor, batch: int) -> Tensor:
    chosen = torch.randint(len(latents), (batch,))
    device = device_of(model.decoder)
    seen = (latents[chosen] / model.config.scaling_factor).contiguous(memory_format=torch.channels_last).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        shown = model.decoder(seen).float()
    return _difference(shown, _signed(pictures[chosen]).to(device))


@torch.no_grad()
def encoded(model: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """Return scaled latents [n, 12, 16, 16] float32 of uint8 pictures [n, 3, SIZE, SIZE]."""
    latents: Tensor = _latents(model, pictures) * model.config.scaling_factor
    return latents


@torch.no_grad()
def decoded(model: AutoencoderTiny, latents: Tensor) -> Tensor:
    """Return uint8 pictures [n, 3, SIZE, SIZE] of scaled latents [n, 12, 16, 16]."""
    pictures = model.decode(latents / model.config.scaling_factor).sample
    rounded: Tensor = ((pictures + 1) * 127.5).round().clamp(0, 255).byte()
    return rounded


@torch.no_grad()
def _latents(model: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """Return unscaled latents on the processor."""
    rounds = (_signed(part).to(device_of(model)) for part in torch.split(pictures, ROUND))
    return torch.cat([model.encode(part).latents.float().cpu() for part in rounds])


def _signed(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1


def _crops(pictures: Tensor, batch: int) -> Tensor:
    """Return random crops [batch, 3, CROP, CROP] in -1..1, half of them mirrored."""
    chosen = torch.randint(len(pictures), (batch,)).tolist()
    corners = torch.randint(SIZE - CROP + 1, (batch, 2)).tolist()
    crops = [pictures[i, :, y : y + CROP, x : x + CROP] for i, (y, x) in zip(chosen, corners, strict=True)]
    stack = _signed(torch.stack(crops))
    return torch.where(torch.rand(batch, 1, 1, 1) < 0.5, stack, stack.flip(-1))


def _loss(model: AutoencoderTiny, pictures: Tensor) -> Tensor:
    pictures = pictures.to(device_of(model))
    with torch.autocast(pictures.device.type, torch.bfloat16):
        latents = model.encoder(pictures.contiguous(memory_format=torch.channels_last))
        noisy = latents + LATENT_NOISE * latents.detach().std() * torch.randn_like(latents)
        seen = model.decoder(noisy).float()
    return _difference(seen, pictures)


def _difference(seen: Tensor, pictures: Tensor) -> Tensor:
    """Return the loss between pictures [B, 3, h, w] in -1..1."""
    chroma = l1_loss(seen - seen.mean(1, keepdim=True), pictures - pictures.mean(1, keepdim=True))
    return l1_loss(seen, pictures) + EDGES * l1_loss(gradients(seen), gradients(pictures)) + COLOUR * chroma
