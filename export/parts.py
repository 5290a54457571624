"""The models of a plan, loaded one at a time when they are asked for, and tried: what cannot run is said here."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextModel, Wav2Vec2BertModel

from clavilux.export.checkpoints.load import load_encoder, load_text_encoder, load_unet, load_vae
from clavilux.export.checkpoints.locate import Where, first_line
from clavilux.export.checkpoints.lora import fuse_loras
from clavilux.export.checkpoints.weights import Loading
from clavilux.export.models.denoiser import downscaling
from clavilux.export.options import Progress
from clavilux.export.plan import Plan
from clavilux.runtime.errors import ExportError
from clavilux.runtime.sound.format import MEL_BINS


@dataclass(frozen=True)
class Parts:
    """The checkpoints of a plan, loaded anew at each call; `report` is told what is fetched."""

    plan: Plan
    report: Progress

    @property
    def loading(self) -> Loading:
        """Arguments that every loader of weights takes; which weights are taken has been told before."""
        sources = self.plan.sources
        return {"allow_pickle": sources.allow_pickle, "variant": sources.variant}

    def audio_encoder(self) -> Wav2Vec2BertModel:
        """Return the audio encoder."""
        where = self.plan.sources.encoder
        encoder = load_encoder(where, **self.loading)
        width = encoder.config.feature_projection_input_dim
        with running("encoder", where, "hidden_size, num_attention_heads and what is said of the adapter"):
            encoder(input_features=torch.zeros(1, self.plan.frames * MEL_BINS // width, width))
        return encoder

    def unet(self) -> UNet2DConditionModel:
        """Return the UNet with its LoRAs."""
        sources = self.plan.sources
        unet = load_unet(sources.unet, **self.loading)
        side = 2 * downscaling(unet.config)
        with running("unet", sources.unet, "attention_head_dim, block_out_channels and norm_num_groups"):
            sample = torch.zeros(1, self.plan.latents.channels, side, side)
            unet(sample, 0, torch.zeros(1, 1, self.plan.width))
        return fuse_loras(unet, sources.lora, allow_pickle=sources.allow_pickle)

    def vae(self) -> AutoencoderKL | AutoencoderTiny:
        """Return the autoencoder."""
        where = self.plan.sources.vae
        vae = load_vae(where, self.plan.vae_class, **self.loading)
        with running("vae", where, "block_out_channels and norm_num_groups"):
            vae.decode(torch.zeros(1, self.plan.latents.channels, 2, 2))
        return vae

    def text_encoder(self) -> CLIPTextModel:
        """Return the text encoder, which the plan must have."""
        where, text = self.plan.sources.text_encoder or "", self.plan.text
        encoder = load_text_encoder(where, **self.loading)
        with running("text encoder", where, "hidden_size and num_attention_heads"):
            encoder(input_ids=torch.tensor([[text.bos if text else 0]]))
        return encoder


@contextmanager
def running(role: str, where: Where, settings: str) -> Iterator[None]:
    """Turn what a library says of a model that it cannot run into one ExportError line that names `settings`."""
    try:
        with torch.inference_mode():
            yield
    except Exception as error:  # of any kind: a configuration that does not fit itself fails anywhere
        said = f"{type(error).__name__}: {first_line(error)}"
        raise ExportError(
            f"{role} {where} loads, but its own library cannot run it ({said}); look at {settings} in its config.json"
        ) from error
