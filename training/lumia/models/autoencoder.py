"""The picture codec of the default bundle: a tiny 16-fold autoencoder, trained on crops of the very pictures.

256 x 256 pixels become 12 x 16 x 16 latents. It works on blocks of 2 x 2 pixels, which the last layer makes and
`pixel_shuffle` puts in their places (sub-pixel convolution, Shi et al. 2016, arXiv:1609.05158): layers at full
size took 7 of the 18 ms of a picture. Loss: L1 on pixels, on differences to neighbours, and once more on colour
differences, because colour was the weak part of a plain L1.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn.functional import conv2d, l1_loss, pixel_shuffle, pixel_unshuffle

from clavilux.training.lumia.data.scenes import CHANNELS as LATENT_CHANNELS
from clavilux.training.lumia.models.scene_set import Pictures
from clavilux.training.lumia.models.train_loop import Recipe, device_of, train

BLOCK = 2  # pixels a side that the decoder's last layer makes at once
CROP = 128  # pixels
LATENT_NOISE = 0.05  # added to latents in training, relative to their deviation
EDGES, COLOUR = 1.0, 1.0  # weights beside the pixels' own loss
ROUND = 16  # pictures encoded or decoded at once


def build(channels: int = 32) -> AutoencoderTiny:
    """Return the untrained autoencoder: four resolutions, the finest half the picture's, where the decoder is light."""
    return AutoencoderTiny(
        in_channels=3 * BLOCK**2,
        out_channels=3 * BLOCK**2,
        encoder_block_out_channels=(channels,) * 4,
        decoder_block_out_channels=(channels,) * 4,
        num_encoder_blocks=(1, 1, 1, 2),
        num_decoder_blocks=(3, 3, 2, 0),
        latent_channels=LATENT_CHANNELS,
        scaling_factor=1.0,
    )


def fit(
    model: AutoencoderTiny, pictures: Pictures, recipe: Recipe, checkpoint: Path, batch: int = 8
) -> AutoencoderTiny:
    """Train on crops of pictures; afterwards scaled latents have deviation 1."""
    model = model.to(memory_format=torch.channels_last)
    train(model, lambda step: _loss(model, _crops(pictures, batch)), recipe, checkpoint)
    seen = torch.stack([pictures.at(i, 0) for i in range(min(64, len(pictures)))])
    model.register_to_config(scaling_factor=1 / float(_latents(model, seen).std()))
    return model


def fit_encoder(
    model: AutoencoderTiny, pictures: Pictures, recipe: Recipe, checkpoint: Path, batch: int = 8
) -> AutoencoderTiny:
    """Train the encoder alone, for a decoder that stays as it is, on crops of pictures."""
    model = model.to(memory_format=torch.channels_last)
    model.decoder.requires_grad_(False).to(recipe.device)
    train(
        nn.ModuleDict({"encoder": model.encoder}),
        lambda step: _loss(model, _crops(pictures, batch)),
        recipe,
        checkpoint,
    )
    model.decoder.requires_grad_(True).to("cpu")
    return model


@torch.no_grad()
def encoded(model: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """Return scaled latents [n, 12, h, w] float32 of uint8 pictures [n, 3, H, W]."""
    latents: Tensor = _latents(model, pictures) * model.config.scaling_factor
    return latents


@torch.no_grad()
def decoded(model: AutoencoderTiny, latents: Tensor) -> Tensor:
    """Return uint8 pictures [n, 3, H, W] of scaled latents [n, 12, h, w]."""
    rounds = (_seen(model, part).cpu() for part in torch.split(latents, ROUND))
    return ((torch.cat(list(rounds)) + 1) * 127.5).round().clamp(0, 255).byte()


def shown(model: AutoencoderTiny, latents: Tensor) -> Tensor:
    """Return pictures [n, 3, H, W] in -1..1, float32, of scaled latents on the model's device, to be learnt from."""
    with torch.autocast(latents.device.type, torch.bfloat16):
        return _seen(model, latents).float()


def difference(seen: Tensor, pictures: Tensor) -> Tensor:
    """Return the loss between pictures [B, 3, H, W] in -1..1."""
    chroma = l1_loss(seen - seen.mean(1, keepdim=True), pictures - pictures.mean(1, keepdim=True))
    return l1_loss(seen, pictures) + EDGES * l1_loss(gradients(seen), gradients(pictures)) + COLOUR * chroma


def gradients(pictures: Tensor) -> Tensor:
    """Return horizontal and vertical differences of pictures [B, C, H, W], stacked along the channels."""
    channels = pictures.shape[1]
    kernel = torch.tensor([[[[0.0, 0.0], [-1.0, 1.0]]], [[[0.0, -1.0], [0.0, 1.0]]]]).repeat(channels, 1, 1, 1)
    return conv2d(pictures, kernel.to(pictures.device), groups=channels)


def signed(pictures: Tensor) -> Tensor:
    """Return uint8 pictures in -1..1, float32."""
    return pictures.float() / 127.5 - 1


def _seen(model: AutoencoderTiny, latents: Tensor) -> Tensor:
    """Return pictures [n, 3, H, W] of scaled latents, where the decoder is: it may be trained alone."""
    unscaled = (latents / model.config.scaling_factor).contiguous(memory_format=torch.channels_last)
    return pixel_shuffle(model.decoder(unscaled.to(device_of(model.decoder))), BLOCK)


@torch.no_grad()
def _latents(model: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """Return unscaled latents on the processor."""
    rounds = (signed(part).to(device_of(model)) for part in torch.split(pictures, ROUND))
    return torch.cat([model.encoder(pixel_unshuffle(part, BLOCK)).float().cpu() for part in rounds])


def _crops(pictures: Pictures, batch: int) -> Tensor:
    """Return random crops [batch, 3, CROP, CROP] in -1..1, half of them mirrored."""
    crops = []
    for scene in torch.randint(len(pictures), (batch,)).tolist():
        whole = pictures.at(scene, int(torch.randint(pictures.slots, ())))
        y, x = (int(torch.randint((side - CROP) // BLOCK + 1, ())) * BLOCK for side in whole.shape[1:])
        crops.append(whole[:, y : y + CROP, x : x + CROP])
    stack = signed(torch.stack(crops))
    return torch.where(torch.rand(batch, 1, 1, 1) < 0.5, stack, stack.flip(-1))


def _loss(model: AutoencoderTiny, pictures: Tensor) -> Tensor:
    pictures = pictures.to(device_of(model))
    with torch.autocast(pictures.device.type, torch.bfloat16):
        blocks = pixel_unshuffle(pictures, BLOCK).contiguous(memory_format=torch.channels_last)
        latents = model.encoder(blocks)
        noisy = latents + LATENT_NOISE * latents.detach().std() * torch.randn_like(latents)
        seen = pixel_shuffle(model.decoder(noisy), BLOCK).float()
    return difference(seen, pictures)
