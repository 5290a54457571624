"""The picture maker of the default bundle: a small UNet that predicts clean latents from noise and tokens in one step.

Most of the training is at pure noise, where the first step begins; a scene's target depends on the noise (see
`clavilux.training.lumia.data.scenes`), so a deterministic sampler meets the same target at every step. Tokens come from
the table and from the trained encoder, single and blended, and the scene's light is added to them. Besides attention to
the tokens, their pooled sum scales and shifts every block through the time embedding (diffusers'
`addition_embed_type="text"`): a picture is learnt several times faster. What is not pure noise begins from the scene or
from another thing in its light, moved a little and blurred by that, as feedback with zoom and drift does.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, mse_loss, normalize

from clavilux.training.lumia.data.scenes import CHANNELS as LATENT_CHANNELS
from clavilux.training.lumia.models.scene_set import SceneSet
from clavilux.training.lumia.models.train_loop import Recipe, device_of, train

TRAIN_STEPS = 1000
LATENT_SIZE = 16
CHANNELS = (96, 144, 208)  # at 16, 8 and 4 cells
POOLING_HEADS = 4
PURE = 0.6  # share of training at pure noise
BLENDED = 0.3  # share with two concepts' tokens
HEARD = 0.6  # share with the encoder's tokens instead of the table's
CARRIED = 0.3  # share, of what is not pure noise, that starts from another concept's picture, as feedback does
MOVED = 0.6  # share, of what is not pure noise, whose start has moved
ZOOMED, TURNED, SHIFTED = 0.06, 0.05, 0.06  # octaves over ln 2, radians, half pictures: at most
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
    """Data that the UNet learns from: scenes of several sizes, K concepts (idle last), N tokens of width D."""

    scenes: tuple[SceneSet, ...]
    shares: tuple[float, ...]  # how often each size is drawn
    table: Tensor  # [K, N, D]
    heard: Tensor  # [K, M, N, D] what the encoder makes of M windows of each concept
    begin: Tensor  # [D]
    light: Tensor  # [9, D], what each number of the light adds to a token

    def prompts(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        """Return prompts [B, 1 + N, D] of tokens [B, N, D] in lights [B, 9]."""
        return with_begin(tokens + (numbers @ self.light)[:, None], self.begin)


def fit(model: UNet2DConditionModel, material: Material, recipe: Recipe, checkpoint: Path, batch: int = 64) -> None:
    """Train in place; attention is written out, as torch's fused one costs more here, in bfloat16 on a processor."""
    model.set_attn_processor(AttnProcessor())
    alphas = scheduler().alphas_cumprod
    train(model, lambda step: _loss(model, material, alphas, batch), recipe, checkpoint)


@torch.no_grad()
def imagined(model: UNet2DConditionModel, noise: Tensor, prompts: Tensor) -> Tensor:
    """Return latents [B, C, h, w] made in one step from noise [B, C, h, w] and prompts [B, 1 + N, D]."""
    noise, prompts = (one.to(device_of(model)) for one in (noise, prompts))
    prediction: Tensor = model(noise, TRAIN_STEPS - 1, encoder_hidden_states=prompts).sample.cpu()
    return prediction


def with_begin(tokens: Tensor, begin: Tensor) -> Tensor:
    """Return prompts [B, 1 + N, D]: the constant first token before the encoder's."""
    return torch.cat([begin.expand(len(tokens), 1, -1), tokens], dim=1)


def _loss(model: UNet2DConditionModel, material: Material, alphas: Tensor, batch: int) -> Tensor:
    scenes = material.scenes[int(torch.multinomial(torch.tensor(material.shares), 1))]
    batch = max(1, batch * LATENT_SIZE**2 // (scenes.noise.shape[-1] * scenes.noise.shape[-2]))
    chosen, slots = torch.randint(len(scenes.noise), (batch,)), torch.rand(batch, scenes.concepts.shape[1]).argsort(1)
    concepts, noise = scenes.concepts[chosen], scenes.noise[chosen]
    share = torch.where(torch.rand(batch) < BLENDED, torch.rand(batch), torch.ones(batch))
    one, other = (tokens_of(material, concepts.gather(1, slots[:, i : i + 1])[:, 0]) for i in range(2))
    tokens = _glided(one, other, share)
    first, second = (scenes.latents[chosen, slots[:, i]] for i in range(2))
    target = _blend(first, second, _eased(share))
    sample, times = _noised(target, second, noise, alphas)
    given = (sample, times, material.prompts(tokens, scenes.numbers[chosen]), target)
    sample, times, prompts, target = (one.to(device_of(model)) for one in given)
    with torch.autocast(sample.device.type, torch.bfloat16):
        seen = model(sample, times, encoder_hidden_states=prompts).sample
    return mse_loss(seen.float(), target)


def tokens_of(material: Material, concepts: Tensor) -> Tensor:
    """Return tokens [B, N, D] of the concepts, from the table or from the encoder, a little noisy but for the light."""
    batch = len(concepts)
    heard = material.heard[concepts, torch.randint(material.heard.shape[1], (batch,))]
    chosen = torch.where((torch.rand(batch) < HEARD)[:, None, None], heard, material.table[concepts])
    noise, light = torch.randn_like(chosen), normalize(material.light, dim=1)
    return chosen + TOKEN_NOISE * torch.rand(batch, 1, 1) * (noise - noise @ light.T @ light)


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
    below = torch.where((torch.rand(batch) < MOVED)[:, None, None, None], _moved(below), below)
    alpha = torch.where(pure, 0.0, alphas[times])[:, None, None, None]
    return alpha.sqrt() * below + (1 - alpha).sqrt() * noise, times


def _moved(latents: Tensor) -> Tensor:
    """Return latents [B, C, h, w] zoomed, turned and shifted a little, mirrored at the edges."""
    batch = len(latents)
    zoom, turn = (most * (2 * torch.rand(batch) - 1) for most in (ZOOMED, TURNED))
    aspect, cosine, sine = latents.shape[3] / latents.shape[2], zoom.exp() * turn.cos(), zoom.exp() * turn.sin()
    rows = torch.stack([cosine, -sine / aspect, sine * aspect, cosine], dim=1)
    theta = torch.cat([rows.reshape(batch, 2, 2), SHIFTED * (2 * torch.rand(batch, 2, 1) - 1)], dim=2)
    grid = affine_grid(theta, list(latents.shape), align_corners=False)
    return grid_sample(latents, grid, padding_mode="reflection", align_corners=False)


def _blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    weight = share.reshape(-1, *[1] * (first.dim() - 1))
    return weight * first + (1 - weight) * second


def _eased(share: Tensor) -> Tensor:
    return share * share * (3 - 2 * share)
