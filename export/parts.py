"""The models of a plan, loaded one at a time when they are asked for."""

from dataclasses import dataclass
from typing import TypedDict

from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextModel, Wav2Vec2BertModel

from clavilux.export.checkpoints.load import load_encoder, load_text_encoder, load_unet, load_vae
from clavilux.export.checkpoints.lora import fuse_loras
from clavilux.export.options import Progress
from clavilux.export.plan import Plan


class Loading(TypedDict):
    """Arguments that every loader of weights takes."""

    allow_pickle: bool
    report: Progress


@dataclass(frozen=True)
class Parts:
    """The checkpoints of a plan, loaded anew at each call; `report` is told what is fetched."""

    plan: Plan
    report: Progress

    @property
    def loading(self) -> Loading:
        """Arguments that every loader of weights takes."""
        return {"allow_pickle": self.plan.sources.allow_pickle, "report": self.report}

    def audio_encoder(self) -> Wav2Vec2BertModel:
        """Return the audio encoder."""
        return load_encoder(self.plan.sources.encoder, **self.loading)

    def unet(self) -> UNet2DConditionModel:
        """Return the UNet with its LoRAs."""
        sources = self.plan.sources
        return fuse_loras(load_unet(sources.unet, **self.loading), sources.lora, allow_pickle=sources.allow_pickle)

    def vae(self) -> AutoencoderKL | AutoencoderTiny:
        """Return the autoencoder."""
        return load_vae(self.plan.sources.vae, self.plan.vae_class, **self.loading)

    def text_encoder(self) -> CLIPTextModel:
        """Return the text encoder, which the plan must have."""
        return load_text_encoder(self.plan.sources.text_encoder or "", **self.loading)
