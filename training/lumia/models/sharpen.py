"""Sharpening of the picture maker by a critic of latents, against the mean over what the noise leaves open.

By squared error alone a one-step model shows the mean of all folds that it cannot tell apart: lights become blobs. Here
a critic, a small network, learns meanwhile to tell scenes from what is imagined, given the prompt (projection: Miyato
and Koyama 2018, arXiv:1802.05637; hinge loss: Lim and Ye 2017, arXiv:1705.02894; spectral norm: Miyato et al. 2018,
arXiv:1802.05957), by each cell's surroundings and by quarters of the picture. A share of the gradient is that the UNet
is told apart, as in the adversarial distillation of Sauer et al. 2023 (arXiv:2311.17042), weighed by the gradients'
lengths as in Esser et al. 2021 (arXiv:2012.09841): squared error still decides what stands where.
"""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from torch.nn.functional import mse_loss, relu
from torch.nn.utils.parametrizations import spectral_norm

from clavilux.training.lumia.data.scenes import CHANNELS as LATENT_CHANNELS
from clavilux.training.lumia.models import unet
from clavilux.training.lumia.models.train_loop import Recipe, device_of, train

CRITIC = (64, 128, 192)  # channels at the latents' size, a half and a quarter
TOLD_APART = 0.5  # length of the critic's gradient, relative to that of the squared error,
TOLD_STEPS = 150  # which it takes so many steps to reach
LEAK = 0.2
PROMPT_DEVIATION = 0.02  # of the first weights that the prompt is projected by


class Critic(nn.Module):
    """Critic of latents [B, 12, h, w] given prompts: an answer for each cell, and one for each 4 x 4 of them."""

    def __init__(self, width: int) -> None:
        """`width` is that of the prompts' tokens."""
        super().__init__()
        fine, middle, coarse = CRITIC
        self.near = _layers((LATENT_CHANNELS, fine, 3, 1), (fine, fine, 3, 1))
        self.far = _layers((fine, middle, 4, 2), (middle, coarse, 4, 2), (coarse, coarse, 3, 1))
        self.answers = nn.ModuleList(nn.Conv2d(channels, 1, 1) for channels in (fine, coarse))
        meant = [nn.Linear(width, channels) for channels in (fine, coarse)]
        for one in meant:
            nn.init.normal_(one.weight, std=PROMPT_DEVIATION)
        self.meant = nn.ModuleList(meant)

    def forward(self, latents: Tensor, prompts: Tensor) -> tuple[Tensor, ...]:
        """Return the answers [B, 1, h, w] and [B, 1, h / 4, w / 4], float32: above 0 for scenes."""
        with torch.autocast(latents.device.type, torch.bfloat16):
            near = self.near(latents)
            each = zip((near, self.far(near)), self.answers, self.meant, strict=True)
            found = [answer(seen) + _likeness(seen, meant(prompts.mean(dim=1))) for seen, answer, meant in each]
        return tuple(one.float() for one in found)


class Rivals(nn.Module):
    """The UNet, and the critic of what it imagines."""

    def __init__(self, model: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = model
        self.critic = Critic(model.config.cross_attention_dim)

    def loss(self, batch: unet.Batch, share: float) -> Tensor:
        """Return the squared error and the critic's own cost; its gradient holds `share` of being told apart, too."""
        with torch.autocast(batch.sample.device.type, torch.bfloat16):
            seen = self.unet(batch.sample, batch.times, encoder_hidden_states=batch.prompts).sample
        seen = seen.float()
        error = mse_loss(seen, batch.target)
        pull = self._pull(seen.detach(), batch, share * TOLD_APART)
        return error + _only_gradient(seen, pull) + self.confused(seen, batch)

    def confused(self, seen: Tensor, batch: unet.Batch) -> Tensor:
        """Return the critic's own cost, of which the UNet knows nothing."""
        true, false = (self.critic(one, batch.prompts) for one in (batch.target, seen.detach()))
        costs = [relu(1 - one).mean() + relu(1 + other).mean() for one, other in zip(true, false, strict=True)]
        return torch.stack(costs).sum()

    def _pull(self, seen: Tensor, batch: unet.Batch, share: float) -> Tensor:
        """Return the critic's gradient by what it sees, `share` times as long as that of the squared error."""
        self.critic.requires_grad_(False)
        given = seen.requires_grad_()
        apart = -sum((one.mean() for one in self.critic(given, batch.prompts)), torch.zeros(()))
        (pull,) = torch.autograd.grad(apart, given)
        (error,) = torch.autograd.grad(mse_loss(given, batch.target), given)
        self.critic.requires_grad_(True)
        weighed: Tensor = share * error.norm() / pull.norm().clamp(min=1e-12) * pull
        return weighed


def fit(
    model: UNet2DConditionModel, material: unet.Material, recipe: Recipe, checkpoint: Path, batch: int = 32
) -> None:
    """Train the UNet in place."""
    model.set_attn_processor(AttnProcessor())
    torch.manual_seed(recipe.seed)  # of the critic's first weights
    rivals = Rivals(model)

    def loss(step: int) -> Tensor:
        drawn = unet.drawn_batch(material, batch).to(device_of(rivals))
        return rivals.loss(drawn, min(1.0, step / TOLD_STEPS))

    train(rivals, loss, recipe, checkpoint)


def _layers(*shapes: tuple[int, int, int, int]) -> nn.Sequential:
    """Return convolutions of (channels given, made, size of the kernel, stride), each with its nonlinearity."""
    layers: list[nn.Module] = []
    for given, made, size, stride in shapes:
        layers += [spectral_norm(nn.Conv2d(given, made, size, stride=stride, padding=1)), nn.LeakyReLU(LEAK)]
    return nn.Sequential(*layers)


def _likeness(seen: Tensor, meant: Tensor) -> Tensor:
    """Return how features [B, C, h, w] are like what is meant [B, C]: [B, 1, h, w]."""
    found: Tensor = (seen * meant[:, :, None, None]).sum(dim=1, keepdim=True) / seen.shape[1] ** 0.5
    return found


def _only_gradient(seen: Tensor, gradient: Tensor) -> Tensor:
    """Return 0, whose gradient by `seen` is `gradient`."""
    whole = (seen * gradient).sum()
    return whole - whole.detach()
