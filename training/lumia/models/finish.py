"""Finish of the pictures: the decoder learns to show what the UNet makes of scenes that it was never trained on.

Such latents are softer than the autoencoder's own, and a decoder that is only as near as possible shows them so. Here a
critic, a small network that looks at patches (Isola et al. 2017, arXiv:1611.07004, with the hinge loss of Lim and Ye
2017, arXiv:1705.02894, and the spectral norm of Miyato et al. 2018, arXiv:1802.05957), learns meanwhile to tell what is
painted from what is shown; a small share of the decoder's loss is that it is told apart. The UNet stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.utils.parametrizations import spectral_norm

from clavilux.training.lumia.data.light import CELL
from clavilux.training.lumia.data.scenes import Scene
from clavilux.training.lumia.models import autoencoder, unet
from clavilux.training.lumia.models.scene_set import Pictures
from clavilux.training.lumia.models.train_loop import Recipe, device_of, train

CROP = 8  # cells a side that are decoded and looked at
CRITIC = (32, 64, 96)  # channels, at a half, a quarter and an eighth of the size
TOLD_APART = 0.02  # weight of the critic's answer in the decoder's loss,
TOLD_STEPS = 200  # which it takes so many steps to reach


@dataclass(frozen=True)
class Painted:
    """Scenes of one size with their pictures."""

    pictures: Pictures
    scenes: Sequence[Scene]  # of each of them


class Pair(nn.Module):
    """The decoder, and the critic of what it shows."""

    def __init__(self, codec: AutoencoderTiny) -> None:
        super().__init__()
        self.decoder = codec.decoder
        layers: list[nn.Module] = []
        for given, made in zip((3, *CRITIC), CRITIC, strict=False):
            layers += [spectral_norm(nn.Conv2d(given, made, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        self.critic = nn.Sequential(*layers, nn.Conv2d(CRITIC[-1], 1, 3, padding=1))

    def apart(self, seen: Tensor) -> Tensor:
        """Return the cost of being told apart, by a critic that learns nothing from it."""
        self.critic.requires_grad_(False)
        found: Tensor = -self._told(seen).mean()
        self.critic.requires_grad_(True)
        return found

    def confused(self, seen: Tensor, pictures: Tensor) -> Tensor:
        """Return the critic's own cost, of which the decoder knows nothing."""
        return relu(1 - self._told(pictures)).mean() + relu(1 + self._told(seen.detach())).mean()

    def _told(self, pictures: Tensor) -> Tensor:
        with torch.autocast(pictures.device.type, torch.bfloat16):
            found: Tensor = self.critic(pictures.contiguous(memory_format=torch.channels_last))
        return found.float()


def fit(
    model: UNet2DConditionModel,
    codec: AutoencoderTiny,
    material: unet.Material,
    painted: tuple[Painted, ...],
    recipe: Recipe,
    checkpoint: Path,
    batch: int = 8,
) -> None:
    """Train the decoder in place."""
    codec.to(memory_format=torch.channels_last)
    model.to(recipe.device)
    torch.manual_seed(recipe.seed)  # of the critic's first weights
    pair = Pair(codec)

    def loss(step: int) -> Tensor:
        one = painted[int(torch.randint(len(painted), ()))]
        return _loss(pair, codec, min(1.0, step / TOLD_STEPS), *_imagined(model, material, one, batch))

    train(pair, loss, recipe, checkpoint)
    model.to("cpu")


def _imagined(
    model: UNet2DConditionModel, material: unet.Material, painted: Painted, batch: int
) -> tuple[Tensor, Tensor]:
    """Return crops of latents [B, C, h, w] that the UNet makes in one step, and of the uint8 pictures they mean."""
    chosen = torch.randint(len(painted.pictures), (batch,)).tolist()
    scenes = [painted.scenes[i] for i in chosen]
    slots = torch.randint(painted.pictures.slots, (batch,)).tolist()
    concepts = torch.tensor([scene.concepts[slot] for scene, slot in zip(scenes, slots, strict=True)])
    numbers, noise = (torch.stack([getattr(scene, name) for scene in scenes]) for name in ("numbers", "noise"))
    with torch.autocast(device_of(model).type, torch.bfloat16):
        latents = unet.imagined(model, noise, material.prompts(unet.tokens_of(material, concepts), numbers)).float()
    y, x = (int(torch.randint(max(0, side - CROP) + 1, ())) for side in latents.shape[2:])
    top, left, side = CELL * y, CELL * x, CELL * CROP
    pictures = torch.stack([painted.pictures.at(i, slot) for i, slot in zip(chosen, slots, strict=True)])
    return latents[..., y : y + CROP, x : x + CROP], pictures[..., top : top + side, left : left + side]


def _loss(pair: Pair, codec: AutoencoderTiny, share: float, latents: Tensor, pictures: Tensor) -> Tensor:
    """Return what both have to learn: for the decoder the autoencoder's loss, and a share of being told apart."""
    device = device_of(pair)
    seen, painted = autoencoder.shown(codec, latents.to(device)), autoencoder.signed(pictures).to(device)
    own = autoencoder.difference(seen, painted) + share * TOLD_APART * pair.apart(seen)
    return own + pair.confused(seen, painted)
