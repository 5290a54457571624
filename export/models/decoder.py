"""The autoencoder's decoder as one graph: latents in the UNet's scale in, uint8 pictures out."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.image_processor import VaeImageProcessor
from torch import Tensor, nn

from clavilux.export.checkpoints.load import AUTOENCODERS
from clavilux.runtime.errors import ExportError

LEVELS = 255


class DecoderGraph(nn.Module):
    """latents float32 [B, C, h, w] -> pictures uint8 [B, H, W, 3], RGB; scaled, decoded, clamped and rounded inside."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        self.scale, self.shift = scale_and_shift(vae)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode and quantise, as diffusers' VaeImageProcessor does for PIL images."""
        decoded = self.vae.decode(latents / self.scale + self.shift, return_dict=False)[0]
        levels = torch.round((decoded / 2 + 0.5).clamp(0, 1) * LEVELS)
        return levels.permute(0, 2, 3, 1).to(torch.uint8)


def scale_and_shift(vae: Any) -> tuple[float, float]:
    """Return the autoencoder's scaling factor (1.0 for TAESD) and shift."""
    return float(vae.config.scaling_factor), float(vae.config.get("shift_factor") or 0.0)


def reference_pictures(vae: Any, latents: Tensor) -> Tensor:
    """Return what diffusers' own pipeline makes of `latents`: uint8 [B, H, W, 3]."""
    scale, shift = scale_and_shift(vae)
    with torch.inference_mode():
        decoded = vae.decode(latents / scale + shift, return_dict=False)[0]
    arrays = VaeImageProcessor().postprocess(decoded, output_type="np")
    return torch.from_numpy((arrays * LEVELS).round().astype("uint8"))


def check_vae(config: Mapping[str, Any], where: object) -> None:
    """Raise ExportError unless `config` is that of an autoencoder which can be exported."""
    if config.get("_class_name") not in AUTOENCODERS:
        expected = " or ".join(AUTOENCODERS)
        raise ExportError(f"vae {where} is a {config.get('_class_name', 'nameless')!r}; expected {expected}")


def upscaling(config: Mapping[str, Any]) -> int:
    """Return how many pixels one latent spans on each side."""
    blocks = config.get("decoder_block_out_channels") or config["block_out_channels"]
    return int(config.get("upsampling_scaling_factor", 2) ** (len(blocks) - 1))
