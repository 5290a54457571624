"""The UNet and its scheduler's arithmetic as one graph, all in variance-preserving scale."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clavilux.runtime.errors import ExportError

MODEL_CLASS = "UNet2DConditionModel"
FROM_TOKENS = {"addition_embed_type": ("text",)}  # settings that want nothing but the tokens themselves
USUAL_SIZE = 512  # pixels
UNSUPPORTED = {
    "addition_embed_type": "a pooled text embedding (SDXL)",
    "class_embed_type": "class labels",
    "num_class_embeds": "class labels",
    "encoder_hid_dim_type": "a projection of its prompt",
    "time_cond_proj_dim": "a guidance embedding",
    "dual_cross_attention": "two prompts",
}


class DenoiserGraph(nn.Module):
    """One denoising step.

    sample, noise float32 [B, C, h, w], tokens float32 [B, L, D] with BOS, coefficients float32 [B, 6] -> x0, next
    float32 [B, C, h, w]. The columns of `coefficients` are named in `clavilux.export.spec`. With guidance they
    are 9, and the graph also takes `negative` [B, L, D], which it passes through the UNet beside the tokens, or
    `anchor` [B, C, h, w], the negative's x0; x0 is the guided one then.
    """

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        sample: Tensor,
        noise: Tensor,
        tokens: Tensor,
        coefficients: Tensor,
        negative: Tensor | None = None,
        anchor: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predict x0, guide it, then combine it with the sample and new noise."""
        times = coefficients[:, 0]
        x0_from_sample, x0_from_output, next_from_x0, next_from_sample, next_from_noise, *guided = (
            coefficients[:, column, None, None, None] for column in range(1, coefficients.shape[1])
        )
        if negative is None:
            output = self._predict(sample, times, tokens)
        else:
            twice = torch.cat([sample, sample]), torch.cat([times, times])
            both = self._predict(*twice, torch.cat([tokens, negative]))
            output, other = torch.unflatten(both, 0, (2, -1))  # chunk(2) would fix the batch's size in a trace
            anchor = x0_from_sample * sample + x0_from_output * other
        x0 = x0_from_sample * sample + x0_from_output * output
        if anchor is not None:
            x0 = guided[0] * x0 + guided[1] * anchor + guided[2] * sample
        return x0, next_from_x0 * x0 + next_from_sample * sample + next_from_noise * noise

    def _predict(self, sample: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
        output: Tensor = self.unet(sample, times, encoder_hidden_states=tokens, return_dict=False)[0]
        return output


def check_unet(config: Mapping[str, Any], where: object, *, width: int, latent_channels: int) -> None:
    """Raise ExportError unless a UNet of this configuration takes tokens of `width` and the autoencoder's latents."""
    if config.get("_class_name") != MODEL_CLASS:
        raise ExportError(f"unet {where} is a {config.get('_class_name')!r}; expected {MODEL_CLASS!r}")
    for key, meaning in UNSUPPORTED.items():
        if config.get(key) and config[key] not in FROM_TOKENS.get(key, ()):
            raise ExportError(f"unet {where} wants {meaning} ({key}); expected a UNet of the SD 1.x or 2.x family")
    if config["num_attention_heads"] is not None:
        raise ExportError(
            f"unet {where} has num_attention_heads, which diffusers does not take: the number of heads is called "
            "attention_head_dim there; give it in config.json under that name"
        )
    widths = config.get("cross_attention_dim")
    if any(found != width for found in (widths if isinstance(widths, list) else [widths])):
        raise ExportError(f"unet {where} takes tokens {widths} wide, the encoder gives {width}; expected equal widths")
    for key in ("in_channels", "out_channels"):
        if config.get(key) != latent_channels:
            raise ExportError(
                f"unet {where} has {key} {config.get(key)}, the vae has {latent_channels} latent channels; "
                "expected equal numbers"
            )


def downscaling(config: Mapping[str, Any]) -> int:
    """Return by how much a UNet of this configuration shrinks the latents on each side, at its narrowest."""
    return int(2 ** (len(config["block_out_channels"]) - 1))


def trained_size(config: Mapping[str, Any], factor: int) -> tuple[int, int]:
    """Return height and width of the pictures, in pixels, that a UNet was trained for; a latent spans `factor` pixels.

    That of SD 1.x where the configuration does not tell.
    """
    sides = config["sample_size"] or USUAL_SIZE // factor
    height, width = sides if isinstance(sides, (list, tuple)) else (sides, sides)
    return height * factor, width * factor


def noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Return N(0, 1), float32, as diffusers draws it from a generator with this seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
