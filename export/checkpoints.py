"""Checkpoints in Hugging Face's layout: where they are, what their configurations say, and loading them.

A checkpoint is a folder, or a name on the hub (`owner/repository`, or `owner/repository/subfolder`). Weights are read
from safetensors only. Foreign errors become ExportError here, so that the rest of the export sees one kind.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import CRITICAL, getLogger
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoTokenizer, CLIPTextModel, Wav2Vec2BertModel
from transformers import logging as transformers_logging

from runtime.errors import ExportError

Where = str | Path
Config = dict[str, Any]

HUB_NAME_PARTS = 2  # owner/repository
UNUSED_WEIGHTS = frozenset({"masked_spec_embed"})  # training's mask; absent from some checkpoints, never used here
AUTOENCODERS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}
_FOREIGN = (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError, HFValidationError)


@dataclass(frozen=True)
class PreparedTokenizer:
    """A tokenizer without transformers, and the token it pads with."""

    tokenizer: Tokenizer
    padding: str


@dataclass(frozen=True)
class Sources:
    """The checkpoints of one bundle, each a folder or a hub name."""

    encoder: Where
    unet: Where
    scheduler: Where
    vae: Where
    text_encoder: Where | None = None
    tokenizer: Where | None = None
    conditioning: Where | None = None  # a safetensors file

    @classmethod
    def from_pipeline(cls, encoder: Where, pipeline: Where, *, conditioning: Where | None = None) -> "Sources":
        """Name the parts of a diffusers pipeline's folder or repository."""
        parts = {name: join(pipeline, name) for name in ("unet", "scheduler", "vae")}
        folder = Path(pipeline)
        wordless = folder.is_dir() and not (folder / "text_encoder").is_dir()
        texts = {} if wordless else {name: join(pipeline, name) for name in ("text_encoder", "tokenizer")}
        return cls(encoder=encoder, conditioning=conditioning, **parts, **texts)


def join(where: Where, part: str) -> Where:
    """Return the place of `part` inside `where`."""
    return where / part if isinstance(where, Path) else f"{where.rstrip('/')}/{part}"


def origin(where: Where) -> str:
    """Return a name for the manifest: the hub name, or the last part of a folder's path."""
    return Path(where).resolve().name if isinstance(where, Path) or Path(where).exists() else where


def place(where: Where, role: str) -> tuple[str, str]:
    """Split `where` into what `from_pretrained` takes: a folder or repository, and a subfolder.

    Raises ExportError for a file, a missing folder, or what cannot be a hub name.
    """
    path = Path(where)
    if path.is_dir():
        return str(path), ""
    if path.exists():
        raise ExportError(f"{role} {where} is a file; expected a folder in Hugging Face format, or a hub name")
    parts = str(where).split("/")
    if isinstance(where, Path) or path.is_absolute() or len(parts) < HUB_NAME_PARTS or parts[0] in ("", ".", ".."):
        raise ExportError(f"{role} {where} does not exist; expected a folder in Hugging Face format, or a hub name")
    return "/".join(parts[:HUB_NAME_PARTS]), "/".join(parts[HUB_NAME_PARTS:])


@contextmanager
def converting(role: str, where: Where) -> Iterator[None]:
    """Turn what the libraries raise into one ExportError line about `role`; retries of the hub pass in silence."""
    hub = getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(CRITICAL)
    try:
        yield
    except _FOREIGN as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ExportError(f"{role} {where} cannot be loaded: {line}") from error
    finally:
        hub.setLevel(level)


def read_config(where: Where, role: str, file: str = "config.json") -> Config:
    """Return the configuration in `file` of the checkpoint at `where`, which plays `role`."""
    name, subfolder = place(where, role)
    path = Path(name) / file
    if not Path(name).is_dir():
        with converting(role, where):
            path = Path(hf_hub_download(name, file, subfolder=subfolder or None))
    if not path.is_file():
        raise ExportError(f"{role} {where} has no {file}; expected a folder in Hugging Face format")
    with converting(role, where):
        config = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ExportError(f"{role} {where}: {file} is not a JSON object; expected a folder in Hugging Face format")
    return config


def load_encoder(where: Where) -> Wav2Vec2BertModel:
    """Return the audio encoder at `where`, float32, with eager attention: the only one that torch.export takes."""
    return _load_transformers(Wav2Vec2BertModel, where, "encoder")


def load_text_encoder(where: Where) -> CLIPTextModel:
    """Return the text encoder at `where`, float32."""
    return _load_transformers(CLIPTextModel, where, "text encoder")


def load_tokenizer(where: Where) -> PreparedTokenizer:
    """Return the tokenizer at `where`."""
    name, subfolder = place(where, "tokenizer")
    with converting("tokenizer", where):
        loaded = AutoTokenizer.from_pretrained(name, subfolder=subfolder, use_fast=True)
        return PreparedTokenizer(Tokenizer.from_str(loaded.backend_tokenizer.to_str()), loaded.pad_token)


def load_unet(where: Where) -> UNet2DConditionModel:
    """Return the UNet at `where`, float32."""
    return _load_diffusers(UNet2DConditionModel, where, "unet")


def load_vae(where: Where, class_name: str) -> AutoencoderKL | AutoencoderTiny:
    """Return the autoencoder at `where`, float32; `class_name` is one of AUTOENCODERS."""
    return _load_diffusers(AUTOENCODERS[class_name], where, "vae")


def _load_transformers(kind: Any, where: Where, role: str) -> torch.nn.Module:
    name, subfolder = place(where, role)
    with converting(role, where), _quietly():
        model, report = kind.from_pretrained(
            name,
            subfolder=subfolder,
            dtype=torch.float32,
            use_safetensors=True,
            attn_implementation="eager",
            output_loading_info=True,
        )
    return _whole(model, report, where, role)


def _load_diffusers(kind: Any, where: Where, role: str) -> torch.nn.Module:
    name, subfolder = place(where, role)
    with converting(role, where), _quietly():
        model, report = kind.from_pretrained(
            name,
            subfolder=subfolder or None,
            torch_dtype=torch.float32,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    return _whole(model, report, where, role)


def _whole(model: torch.nn.Module, report: dict[str, Any], where: Where, role: str) -> torch.nn.Module:
    """Refuse what the libraries only warn of: weights that are not in the checkpoint stay random."""
    missing = sorted(set(report["missing_keys"]) - UNUSED_WEIGHTS)
    if missing:
        raise ExportError(
            f"{role} {where} lacks {len(missing)} weights, first {missing[0]}; expected a whole checkpoint"
        )
    return model.eval().requires_grad_(False)


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the libraries' loggers and progress bars: what matters is raised or reported."""
    libraries = (transformers_logging, diffusers_logging)
    levels = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity(CRITICAL)
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
            library.enable_progress_bar()
