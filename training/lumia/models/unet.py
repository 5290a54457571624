"""The picture maker of the default bundle: a small UNet that predicts clean latents from noise and tokens in one step.

Most of the training is at pure noise, where the first step begins; a concept's target depends on the noise (see
`clavilux.training.lumia.data.emoji`), so a deterministic sampler meets the same target at every step. Tokens come from
the table and from the trained encoder, single and blended. Besides attention to the tokens, their pooled sum scales and
shifts every block through the time embedding (diffusers' `addition_embed_type="text"`): a picture is learnt several
times faster.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import mse_loss, normalize

from clavilux.training.lumia.data.emoji import LATENT_SIZE
from clavilux.training.lumia.models.autoencoder import LATENT_CHANNELS
from clavilux.training.lumia.models.train_loop import Recipe, device_of, train

TRAIN_STEPS = 1000
CHANNELS = (64, 128, 256)  # at 16, 8 and 4 cells
POOLING_HEADS = 4
PURE = 0.6  # share of training at pure noise
BLENDED = 0.3  # share with two concepts' tokens
HEARD = 0.6  # share with the encoder's tokens instead of the table's
CARRIED = 0.3  # share, of what is not pure noise, that starts from another concept's picture, as feedback does
TOKEN_NOISE = 0.2  # deviation added to tokens of unit variance


def build(width: int, channels: tuple[int, ...] = CHANNELS, layers: int = 1) -> UNet2DConditionModel:
    """Return the untrained UNet for tokens of `width`: attention to them at every resolution but the first."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=layers,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        cross_attention_dim=width,
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=POOLING_HEADS,
        resnet_time_scale_shift="scale_shift",
    )


def scheduler() -> DDIMScheduler:
    """Return the schedule: Stable Diffusion's noise, clean latents predicted, steps that begin at pure noise."""
    return DDIMScheduler(
        num_train_timesteps=TRAIN_STEPS,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="sample",
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


@dataclass(frozen=True)
class Material:
    """Data that the UNet learns from: K concepts (idle last), J noises, N tokens of width D."""

    latents: Tensor  # [K, J, C, h, w] scaled latents of every concept under every noise
    noise: Tensor  # [K, J, C, h, w]
    table: Tensor  # [K, N, D]
    heard: Tensor  # [K, M, N, D] what the encoder makes of M windows of each concept
    begin: Tensor  # [D]


def fit(model: UNet2DConditionModel, material: Material, recipe: Recipe, checkpoint: Path, batch: int = 32) -> None:
    """Train in place."""
    alphas = scheduler().alphas_cumprod
    train(model, lambda step: _loss(model, material, alphas, batch), recipe, checkpoint)


@torch.no_grad()
def imagined(model: UNet2DConditionModel, noise: Tensor, tokens: Tensor, begin: Tensor) -> Tensor:
    """Return latents [B, C, h, w] made in one step from noise [B, C, h, w] and tokens [B, N, D]."""
    noise, prompt = (one.to(device_of(model)) for one in (noise, with_begin(tokens, begin)))
    prediction: Tensor = model(noise, TRAIN_STEPS - 1, encoder_hidden_states=prompt).sample.cpu()
    return prediction


def imagined_table(model: UNet2DConditionModel, material: Material, count: int) -> Tensor:
    """Return one-step latents [K, count, C, h, w] of every concept as it is heard, under its first noises."""
    rows = zip(material.noise, material.heard, strict=True)
    return torch.stack([imagined(model, noise[:count], heard[:count], material.begin) for noise, heard in rows])


def with_begin(tokens: Tensor, begin: Tensor) -> Tensor:
    """Return prompts [B, 1 + N, D]: the constant first token before the encoder's."""
    return torch.cat([begin.expand(len(tokens), 1, -1), tokens], dim=1)


def _loss(model: UNet2DConditionModel, material: Material, alphas: Tensor, batch: int) -> Tensor:
    concepts = torch.randint(len(material.table), (2, batch))
    noises = torch.randint(material.noise.shape[1], (2, batch))
    share = torch.where(torch.rand(batch) < BLENDED, torch.rand(batch), torch.ones(batch))
    tokens = _glided(_tokens(material, concepts[0]), _tokens(material, concepts[1]), share)
    first, second = (material.latents[concepts[i], noises[i]] for i in range(2))
    target = _blend(first, second, _eased(share))
    sample, times = _noised(target, second, material.noise[concepts[0], noises[0]], alphas)
    given = (one.to(device_of(model)) for one in (sample, times, with_begin(tokens, material.begin), target))
    sample, times, prompt, target = given
    with torch.autocast(sample.device.type, torch.bfloat16):
        seen = model(sample, times, encoder_hidden_states=prompt).sample
    return mse_loss(seen.float(), target)


def _tokens(material: Material, concepts: Tensor) -> Tensor:
    """Return tokens [B, N, D] of the concepts, from the table or from the encoder, a little noisy."""
    batch = len(concepts)
    heard = material.heard[concepts, torch.randint(material.heard.shape[1], (batch,))]
    chosen = torch.where((torch.rand(batch) < HEARD)[:, None, None], heard, material.table[concepts])
    return chosen + TOKEN_NOISE * torch.rand(batch, 1, 1) * torch.randn_like(chosen)


def _glided(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Return tokens between two, with the length of the parts restored, as a glide and a caption of two words give."""
    length = _blend(first.norm(dim=-1, keepdim=True), second.norm(dim=-1, keepdim=True), share)
    return normalize(_blend(first, second, share), dim=-1) * length


def _noised(target: Tensor, other: Tensor, noise: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the UNet sees and its timesteps: pure noise, or noise over the target or over another picture."""
    batch = len(target)
    pure = torch.rand(batch) < PURE
    times = torch.where(pure, TRAIN_STEPS - 1, torch.randint(TRAIN_STEPS, (batch,)))
    carried = torch.rand(batch) < CARRIED
    below = torch.where(carried[:, None, None, None], other, target)
    alpha = torch.where(pure, 0.0, alphas[times])[:, None, None, None]
    return alpha.sqrt() * below + (1 - alpha).sqrt() * noise, times


def _blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    weight = share.reshape(-1, *[1] * (first.dim() - 1))
    return weight * first + (1 - weight) * second


def _eased(share: Tensor) -> Tensor:
    return share * share * (3 - 2 * share)
