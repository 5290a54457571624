"""The autoencoder's decoder as one graph: latents in the UNet's scale in, uint8 pictures out."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from diffusers.image_processor import VaeImageProcessor
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from clavilux.export.checkpoints.load import AUTOENCODERS
from clavilux.runtime.errors import ExportError

LEVELS = 255
COLOURS = 3


class DecoderGraph(nn.Module):
    """latents float32 [B, C, h, w] -> pictures uint8 [B, H, W, 3], RGB; scaled, decoded, clamped and rounded inside."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        self.scale, self.shift = scale_and_shift(vae)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode and quantise, as diffusers' VaeImageProcessor does for PIL images."""
        decoded = decoded_planes(self.vae, latents / self.scale + self.shift)
        levels = torch.round((decoded / 2 + 0.5).clamp(0, 1) * LEVELS)
        return levels.permute(0, 2, 3, 1).to(torch.uint8)


def decoded_planes(vae: Any, latents: Tensor) -> Tensor:
    """Return colours in -1..1, [B, 3, H, W], of unscaled latents; what comes in blocks of pixels is put in place."""
    decoded: Tensor = vae.decode(latents, return_dict=False)[0]
    block = block_side(vae.config)
    return pixel_shuffle(decoded, block) if block > 1 else decoded


def block_side(config: Mapping[str, Any]) -> int:
    """Return how many pixels a side an autoencoder's last layer makes at once: 1, or n where it has 3 n * n channels.

    Such a layer is a sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158). Raises ExportError for other channels.
    """
    taken, channels = (int(config.get(key, COLOURS)) for key in ("in_channels", "out_channels"))
    side = isqrt(channels // COLOURS)
    if side < 1 or COLOURS * side * side != channels or taken != channels:
        raise ExportError(
            f"the vae takes {taken} channels and gives {channels}; expected 3 both ways, or 3 n * n of blocks of "
            "n * n pixels"
        )
    return side


def scale_and_shift(vae: Any) -> tuple[float, float]:
    """Return the autoencoder's scaling factor (1.0 for TAESD) and shift."""
    return float(vae.config.scaling_factor), float(vae.config.get("shift_factor") or 0.0)


def reference_pictures(vae: Any, latents: Tensor) -> Tensor:
    """Return what diffusers' own pipeline makes of `latents`: uint8 [B, H, W, 3]."""
    scale, shift = scale_and_shift(vae)
    with torch.inference_mode():
        decoded = decoded_planes(vae, latents / scale + shift)
    arrays = VaeImageProcessor().postprocess(decoded, output_type="np")
    return torch.from_numpy((arrays * LEVELS).round().astype("uint8"))


def check_vae(config: Mapping[str, Any], where: object) -> None:
    """Raise ExportError unless `config` is that of an autoencoder which can be exported."""
    if config.get("_class_name") not in AUTOENCODERS:
        expected = " or ".join(AUTOENCODERS)
        raise ExportError(f"vae {where} is a {config.get('_class_name', 'nameless')!r}; expected {expected}")
    block_side(config)


@dataclass(frozen=True)
class LatentSpace:
    """Scale of an AutoencoderKL's latents, by which families are told from each other."""

    scaling: float
    shift: float = 0.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def family(self) -> str:
        """Name for people."""
        known = {SD: "SD 1.x and 2.x", SDXL: "SDXL"}.get(self)
        how = f"scaling_factor {self.scaling:g}{', with latents_mean' if self.mean else ''}"
        return f"{known} ({how})" if known else f"a kind of its own ({how})"


SD, SDXL = LatentSpace(0.18215), LatentSpace(0.13025)
TINY = {"taesdxl": SDXL, "taesd": SD}
"""Tiny autoencoders by a part of their name: nothing else tells them apart, both have the same configuration."""


def latent_space(config: Mapping[str, Any], where: object) -> LatentSpace | None:
    """Return whose latents an autoencoder takes; None for a tiny one that is not known by its name."""
    scaling, shift = float(config["scaling_factor"]), float(config["shift_factor"] or 0.0)
    if config["_class_name"] == "AutoencoderTiny":
        names = [Path(str(name)).name.lower() for name in (where, config.get("_name_or_path", ""))]
        known = (space for part, space in TINY.items() if any(part in name for name in names))
        return next(known, None) if (scaling, shift) == (1.0, 0.0) else None
    mean, std = (config.get(key) for key in ("latents_mean", "latents_std"))
    return LatentSpace(scaling, shift, mean and tuple(mean), std and tuple(std))


def check_latents(config: Mapping[str, Any], where: object, own: Mapping[str, Any] | None, own_place: object) -> str:
    """Raise ExportError when an autoencoder's latents are known to be others than the UNet's.

    `own` is the configuration of the autoencoder at `own_place` that the UNet was trained with, where that is known.
    Returns what one should know besides, or "".
    """
    found = latent_space(config, where)
    if config == own:
        unused = found is not None and found.mean
        return f"vae {where} has latents_mean, which StableDiffusionPipeline leaves out, and so do we" if unused else ""
    expected = None if own is None else latent_space(own, own_place)
    if found is None:
        return f"vae {where} does not tell whose latents it takes; expected those of {(expected or SD).family}"
    if found == (expected or SD):
        return ""
    if expected is None and found != SDXL and not found.mean:
        return f"vae {where} takes latents of {found.family}; expected the one that the unet was trained with"
    raise ExportError(
        f"vae {where} takes latents of {found.family}, the unet makes those of {(expected or SD).family}; "
        "expected the same, as pictures come out as noise else"
    )


def upscaling(config: Mapping[str, Any]) -> int:
    """Return how many pixels one latent spans on each side."""
    blocks = config.get("decoder_block_out_channels") or config["block_out_channels"]
    return int(config.get("upsampling_scaling_factor", 2) ** (len(blocks) - 1)) * block_side(config)
