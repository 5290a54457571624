"""Seeded random weights of known architectures, for comparisons where no trained checkpoints lie at hand.

What a picture costs does not depend on what the weights are. `lumia` is today's default bundle, `sd-turbo` the real
size of stabilityai/sd-turbo with the reference's encoder (606 + 866 million parameters: 8 GB of memory) and a small
autoencoder as TAESD is, `tiny` is for trying the benchmark itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, EulerDiscreteScheduler, UNet2DConditionModel
from safetensors.numpy import save_file
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from clavilux.benchmarks.peers import turbo
from clavilux.benchmarks.peers.wanted import LUMIA, SD_TURBO, TINY
from clavilux.training.lumia.make import EAR_WIDTH, WIDTH
from clavilux.training.lumia.models import autoencoder, encoder, unet

SEED = 0
CONDITIONING = "conditioning.safetensors"


@dataclass(frozen=True)
class Architecture:
    """How to build every part, and what the bundle listens to and paints."""

    encoder: Callable[[], Any]
    unet: Callable[[], Any]
    vae: Callable[[], Any]
    scheduler: Callable[[], Any]
    width: int  # of a token
    window_samples: int
    hop_samples: int
    side: int  # of its usual picture, pixels


def write(architecture: Architecture, folder: Path) -> Path:
    """Write all parts and a random BOS embedding into `folder`, one part in memory at a time; return it."""
    torch.manual_seed(SEED)
    for name in ("encoder", "unet", "vae"):
        model = getattr(architecture, name)().eval()
        if name == "vae":
            _visible(model)
        model.save_pretrained(folder / name)
        del model
    architecture.scheduler().save_pretrained(folder / "scheduler")
    bos = np.random.default_rng(SEED).standard_normal(architecture.width).astype(np.float32)
    save_file({"bos": bos}, folder / CONDITIONING)
    return folder


def _visible(vae: AutoencoderTiny) -> None:
    """Bring fresh weights' pictures, which are near black, to the middle, so that differences would show."""
    with torch.no_grad():
        last = vae.decoder.layers[-1]
        last.weight.mul_(6.0)
        last.bias.fill_(0.5)


def _reference_encoder() -> Wav2Vec2BertModel:
    return Wav2Vec2BertModel(_encoder_config(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16))


def _tiny_encoder() -> Wav2Vec2BertModel:
    return Wav2Vec2BertModel(
        _encoder_config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, conv_depthwise_kernel_size=7)
    )


def _encoder_config(**sizes: int) -> Wav2Vec2BertConfig:
    return Wav2Vec2BertConfig(
        intermediate_size=4 * sizes["hidden_size"],
        feature_projection_input_dim=160,
        add_adapter=True,
        adapter_kernel_size=3,
        adapter_stride=2,
        num_adapter_layers=2,
        layerdrop=0.0,
        **sizes,
    )


def _tiny_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        use_linear_projection=True,
    )


def _tiny_vae() -> AutoencoderTiny:
    narrow, single = (8, 8, 8, 8), (1, 1, 1, 1)
    return AutoencoderTiny(
        encoder_block_out_channels=narrow,
        decoder_block_out_channels=narrow,
        num_encoder_blocks=single,
        num_decoder_blocks=single,
    )


def _turbo_scheduler() -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="trailing",
        steps_offset=1,
        prediction_type="epsilon",
    )


BUILDERS = {
    LUMIA: Architecture(
        encoder=lambda: encoder.build(EAR_WIDTH, WIDTH),
        unet=lambda: unet.build(WIDTH),
        vae=autoencoder.build,
        scheduler=unet.scheduler,
        width=WIDTH,
        window_samples=32_000,
        hop_samples=1600,
        side=256,
    ),
    SD_TURBO: Architecture(
        encoder=_reference_encoder,
        unet=turbo.unet,
        vae=AutoencoderTiny,
        scheduler=_turbo_scheduler,
        width=turbo.TOKEN_WIDTH,
        window_samples=60_000,
        hop_samples=3200,
        side=512,
    ),
    TINY: Architecture(
        encoder=_tiny_encoder,
        unet=_tiny_unet,
        vae=_tiny_vae,
        scheduler=_turbo_scheduler,
        width=32,
        window_samples=32_000,
        hop_samples=1600,
        side=64,
    ),
}
