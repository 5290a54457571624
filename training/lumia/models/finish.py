"""Finish of the pictures: UNet and decoder together, judged by the pixels of one step.

Latents that are as near as possible in the mean are not pictures that are. Here both networks see what they make: the
decoder learns to give back what the UNet's latents lost, the UNet to make latents that are shown well. A share of the
loss keeps the latents those of the encoder, which start pictures and feedback come from.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from clavilux.training.lumia.models import autoencoder, unet
from clavilux.training.lumia.models.scene_set import Pictures
from clavilux.training.lumia.models.train_loop import Recipe, device_of, train

LATENTS = 0.25  # weight of the latents' squared distance beside the pixels' loss


@dataclass(frozen=True)
class Painted:
    """Scenes of one size whose pictures are there."""

    pictures: Pictures  # of the first scenes, not more than there are
    scenes: int  # which of the material's sizes they are


class Pair(nn.Module):
    """The UNet and the decoder that shows what it makes."""

    def __init__(self, model: UNet2DConditionModel, codec: AutoencoderTiny) -> None:
        super().__init__()
        self.unet, self.decoder = model, codec.decoder


def fit(
    model: UNet2DConditionModel,
    codec: AutoencoderTiny,
    material: unet.Material,
    painted: tuple[Painted, ...],
    recipe: Recipe,
    checkpoint: Path,
    batch: int = 4,
) -> None:
    """Train both in place."""
    codec.to(memory_format=torch.channels_last)

    def loss(_step: int) -> Tensor:
        one = painted[int(torch.randint(len(painted), ()))]
        return _loss(model, codec, material, one, batch)

    train(Pair(model, codec), loss, recipe, checkpoint)


def _loss(
    model: UNet2DConditionModel, codec: AutoencoderTiny, material: unet.Material, painted: Painted, batch: int
) -> Tensor:
    scenes, device = material.scenes[painted.scenes], device_of(model)
    chosen, slots = torch.randint(len(painted.pictures), (batch,)), torch.randint(scenes.concepts.shape[1], (batch,))
    tokens = unet.tokens_of(material, scenes.concepts[chosen, slots])
    prompts, noise = material.prompts(tokens, scenes.numbers[chosen]).to(device), scenes.noise[chosen].to(device)
    with torch.autocast(device.type, torch.bfloat16):
        latents = model(noise, unet.TRAIN_STEPS - 1, encoder_hidden_states=prompts).sample.float()
    pictures = torch.stack([painted.pictures.at(*one) for one in zip(chosen.tolist(), slots.tolist(), strict=True)])
    seen = autoencoder.shown(codec, latents)
    away = mse_loss(latents, scenes.latents[chosen, slots].to(device))
    return autoencoder.difference(seen, autoencoder.signed(pictures).to(device)) + LATENTS * away
