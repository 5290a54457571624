"""The checkpoints of one bundle, in Hugging Face's layout, and loading them.

Weights are read from safetensors; pickles only where `allow_pickle` says so, and then by torch's weights_only unpickler
alone: that is what both libraries use when `use_safetensors` is False. (Left at None, both fall back to pickles without
being asked, so it is always given.)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from tokenizers import Tokenizer
from transformers import AutoTokenizer, CLIPTextModel, Wav2Vec2BertModel

from clavilux.export.checkpoints.locate import (
    HUB_NAME_PARTS,
    Config,
    Where,
    converting,
    find,
    join,
    names_file,
    origin,
    place,
    read_config,
    revision,
    search,
)
from clavilux.export.checkpoints.weights import Loading, find_weights, weights_bytes
from clavilux.export.library_logs import quietly
from clavilux.runtime.errors import ExportError

__all__ = [
    "AUTOENCODERS",
    "Config",
    "Lora",
    "PreparedTokenizer",
    "Sources",
    "Where",
    "empty_unet",
    "join",
    "load_encoder",
    "load_text_encoder",
    "load_tokenizer",
    "load_unet",
    "load_vae",
    "origin",
    "place",
    "read_config",
    "revision",
    "weights_bytes",
]

UNETS = ("unet", "unet_ema")  # folders of a pipeline's UNet; the second one has averaged weights
UNUSED_WEIGHTS = frozenset({"masked_spec_embed"})  # training's mask; absent from some checkpoints, never used here
AUTOENCODERS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}
WHOLE_TOKENIZER = ("tokenizer.json",)
TOKENIZER_PARTS = ("vocab.json", "merges.txt")
TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


@dataclass(frozen=True)
class Lora:
    """Low-rank changes to the UNet: a file, a folder or a hub name."""

    where: Where
    scale: float = 1.0  # of the change; 1 as it was trained


@dataclass(frozen=True)
class PreparedTokenizer:
    """A tokenizer without transformers, and its special tokens."""

    tokenizer: Tokenizer
    padding: str
    bos: int | None = None  # id
    eos: int | None = None


@dataclass(frozen=True)
class Sources:
    """The checkpoints of one bundle, each a folder or a hub name."""

    encoder: Where
    unet: Where
    scheduler: Where
    vae: Where
    text_encoder: Where | None = None
    tokenizer: Where | None = None
    words: bool = True  # can be typed; else the tokenizer only tells which token is BOS
    conditioning: Where | None = None  # a safetensors file
    lora: tuple[Lora, ...] = ()  # fused into the UNet, one after another
    single_file_config: Where | None = None  # configurations for single files: a pipeline, or the part itself
    allow_pickle: bool = False
    variant: str = ""  # of weights, taken where a checkpoint has it; "": full precision
    told: Mapping[str, Any] = field(default_factory=dict)  # by a single file, of the scheduler it was trained with
    notes: tuple[str, ...] = ()  # about single files, for people

    @classmethod
    def from_pipeline(cls, encoder: Where, pipeline: Where, *, conditioning: Where | None = None) -> "Sources":
        """Name the parts of a diffusers pipeline's folder or repository, or of a single file that holds them all."""
        folder = Path(pipeline)
        whole = names_file(pipeline)  # a single file: its parts are unpacked later, by their roles
        wordless = folder.is_dir() and not (folder / "text_encoder").is_dir()

        def part(name: str) -> Where:
            return pipeline if whole else join(pipeline, name)

        return cls(
            encoder=encoder,
            unet=part("unet"),
            scheduler=part("scheduler"),
            vae=part("vae"),
            text_encoder=None if wordless else part("text_encoder"),
            tokenizer=None if wordless else part("tokenizer"),
            conditioning=conditioning,
        )

    def pipeline(self) -> Where | None:
        """Return where the pipeline lies that the UNet is a part of; None for a UNet that stands alone."""
        unet = Path(self.unet)
        if unet.name not in UNETS or not (unet.is_absolute() or unet.exists() or len(unet.parts) > HUB_NAME_PARTS):
            return None
        return (
            unet.parent
            if isinstance(self.unet, Path)
            else str(self.unet).rstrip("/").removesuffix(f"/{unet.name}") or "."
        )

    def checkpoints(self) -> dict[str, Where]:
        """Return the places that are given, by role; LoRAs are `lora`, `lora 2`, ..."""
        roles = ("encoder", "unet", "scheduler", "vae", "text_encoder", "tokenizer", "conditioning")
        named = {role: where for role in roles if (where := getattr(self, role)) is not None}
        loras = {f"lora {i}" if i > 1 else "lora": lora.where for i, lora in enumerate(self.lora, start=1)}
        return named | loras


def load_encoder(where: Where, **loading: Unpack[Loading]) -> Wav2Vec2BertModel:
    """Return the audio encoder at `where`, float32, with eager attention: the only one that torch.export takes."""
    return _load_transformers(Wav2Vec2BertModel, where, "encoder", loading)


def load_text_encoder(where: Where, **loading: Unpack[Loading]) -> CLIPTextModel:
    """Return the text encoder at `where`, float32."""
    return _load_transformers(CLIPTextModel, where, "text encoder", loading)


def load_tokenizer(where: Where) -> PreparedTokenizer:
    """Return the tokenizer at `where`."""
    paths = list(search(where, "tokenizer", (*WHOLE_TOKENIZER, *TOKENIZER_PARTS, *TOKENIZER_SETTINGS)))
    found = {path.name for path in paths}
    if not (found.issuperset(WHOLE_TOKENIZER) or found.issuperset(TOKENIZER_PARTS)):
        expected = f"{WHOLE_TOKENIZER[0]}, or {' and '.join(TOKENIZER_PARTS)}"
        raise ExportError(f"tokenizer {where} has no vocabulary; expected {expected}")
    folder = paths[0].parent
    with converting("tokenizer", where), quietly():
        try:
            loaded = AutoTokenizer.from_pretrained(folder, use_fast=True)
            plain = Tokenizer.from_str(loaded.backend_tokenizer.to_str())
        except Exception as error:  # tokenizers, written in Rust, raises no other kind
            raise ValueError(error) from error
        padding = loaded.pad_token or loaded.eos_token
        if padding is None:
            raise ExportError(f"tokenizer {where} has no padding token; expected a tokenizer_config.json that names it")
        return PreparedTokenizer(plain, padding, loaded.bos_token_id, loaded.eos_token_id)


def load_unet(where: Where, **loading: Unpack[Loading]) -> UNet2DConditionModel:
    """Return the UNet at `where`, float32."""
    return _load_diffusers(UNet2DConditionModel, where, "unet", loading)


def empty_unet(where: Where) -> UNet2DConditionModel:
    """Return the UNet that the configuration at `where` describes, on the meta device, where weights have no values."""
    config = read_config(where, "unet")
    with converting("unet", where), quietly(), torch.device("meta"):
        return UNet2DConditionModel.from_config(config)


def load_vae(where: Where, class_name: str, **loading: Unpack[Loading]) -> AutoencoderKL | AutoencoderTiny:
    """Return the autoencoder at `where`, float32; `class_name` is one of AUTOENCODERS."""
    return _load_diffusers(AUTOENCODERS[class_name], where, "vae", loading)


def _load_transformers(kind: Any, where: Where, role: str, loading: Loading) -> torch.nn.Module:
    files = _files(where, role, loading)
    with converting(role, where), quietly():
        model, found = kind.from_pretrained(**files, dtype=torch.float32, attn_implementation="eager")
    return _whole(model, found, where, role)


def _load_diffusers(kind: Any, where: Where, role: str, loading: Loading) -> torch.nn.Module:
    files = _files(where, role, loading)
    with converting(role, where), quietly():
        model, found = kind.from_pretrained(**files, torch_dtype=torch.float32, low_cpu_mem_usage=False)
    return _whole(model, found, where, role)


def _files(where: Where, role: str, loading: Loading) -> dict[str, Any]:
    """Return what both libraries' `from_pretrained` take to read a folder, and nothing but that folder."""
    config = find(where, role, "config.json")
    if config is None:
        raise ExportError(f"{role} {where} has no config.json; expected a folder in Hugging Face format")
    weights = find_weights(where, role, **loading)
    if weights.paths[0].parent != config.parent:
        raise ExportError(f"{role} {where} changed on the hub while it was read; run the export again")
    return {
        "pretrained_model_name_or_path": config.parent,
        "variant": weights.variant or None,
        "use_safetensors": not weights.pickled,
        "local_files_only": True,
        "output_loading_info": True,
    }


def _whole(model: torch.nn.Module, found: dict[str, Any], where: Where, role: str) -> torch.nn.Module:
    """Refuse what the libraries only warn of: weights that are not in the checkpoint stay random."""
    missing = sorted(set(found["missing_keys"]) - UNUSED_WEIGHTS)
    if missing:
        raise ExportError(
            f"{role} {where} lacks {len(missing)} weights, first {missing[0]}; expected a whole checkpoint"
        )
    return model.eval().requires_grad_(False)
