"""Low-rank changes (LoRA) are fused into a UNet: what is exported is a plain UNet with other weights."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from clavilux.export.checkpoints.load import Lora
from clavilux.export.checkpoints.locate import Where, converting, fetch_file, find, names_file, read_config, search
from clavilux.export.checkpoints.lora_layers import PEFT_PREFIX, Contents, LayerChange, read_contents
from clavilux.export.checkpoints.weights import is_pickle, read_header, read_pickle, read_tensors, silent
from clavilux.export.options import Progress
from clavilux.runtime.errors import ExportError

PEFT_WEIGHTS = "adapter_model.safetensors"
FILES = ("pytorch_lora_weights.safetensors", PEFT_WEIGHTS)
PEFT_FILE = "adapter_config.json"
METADATA = "lora_adapter_metadata"  # in which diffusers keeps PEFT's settings within the file
UNET = "unet."
SETTINGS = ("lora_alpha", "alpha_pattern", "use_rslora")


@dataclass(frozen=True)
class _File:
    """A LoRA file that was read."""

    called: str  # in messages
    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any]  # PEFT's, by which it scales; empty where there are none


def check_loras(
    loras: tuple[Lora, ...], unet: UNet2DConditionModel, *, allow_pickle: bool = False, report: Progress = silent
) -> None:
    """Raise ExportError for a LoRA that is not there, is of another kind, or does not fit `unet`, which may be empty.

    `report` hears of all that is left out.
    """
    for lora in loras:
        if not math.isfinite(lora.scale):
            raise ExportError(f"lora {lora.where} has the scale {lora.scale}; expected a finite number, such as 0.8")
        file = _read(lora.where, allow_pickle)
        _fitting(file, unet, report)
        if PEFT_PREFIX in next(iter(file.tensors)) and not file.settings:
            report(f"{file.called} has no {PEFT_FILE}, which tells its alpha; its changes are taken as they are")


def fuse_loras(
    unet: UNet2DConditionModel, loras: tuple[Lora, ...], *, allow_pickle: bool = False
) -> UNet2DConditionModel:
    """Add `loras` to the weights of `unet`, which stays a plain UNet without layers of an adapter, and return it.

    Raises ExportError as `check_loras` does.
    """
    for lora in loras:
        for change in _fitting(_read(lora.where, allow_pickle), unet, silent):
            module = unet.get_submodule(change.layer)
            with torch.no_grad():
                for name, delta in change.deltas().items():
                    weight = getattr(module, name)
                    weight.add_(lora.scale * delta.reshape(weight.shape))
                    if not weight.isfinite().all():
                        raise ExportError(f"lora {lora.where} makes weights of {change.layer} infinite; is it whole?")
    return unet.eval().requires_grad_(False)


def _read(where: Where, allow_pickle: bool) -> _File:
    path, called = _locate(where), f"lora {where}"
    if allow_pickle and is_pickle(path):
        tensors, metadata = read_pickle(path, called), {}
    else:
        metadata = dict(read_header(path, called).metadata)
        tensors = read_tensors(path, called)
    if not all(bool(one.float().isfinite().all()) for one in tensors.values()):
        raise ExportError(f"{called} holds values that are no numbers (NaN or infinite); expected finite weights")
    beside = read_config(path.parent, "lora", PEFT_FILE) if (path.parent / PEFT_FILE).is_file() else {}
    with converting("lora", where):
        settings = json.loads(metadata[METADATA]) if METADATA in metadata else beside
        settings = {key.removeprefix(UNET): value for key, value in settings.items()}
    return _File(called, tensors, {key: settings[key] for key in SETTINGS if key in settings})


def _locate(where: Where) -> Path:
    """Return the file of a LoRA: named itself, or the usual one of a folder or repository, or the folder's only one."""
    if names_file(where):
        return fetch_file(where, "lora")
    path = next(search(where, "lora", FILES), None)
    if path is not None:
        if path.name == PEFT_WEIGHTS:
            find(where, "lora", PEFT_FILE)  # so that it lies beside the weights, from the hub too
        return path
    inside = sorted(Path(where).glob("*.safetensors")) if Path(where).is_dir() else []
    if len(inside) != 1:
        found = f"{len(inside)} safetensors files" if Path(where).is_dir() else f"no {FILES[0]}"
        raise ExportError(f"lora {where} has {found}; expected one: name the file, {where}/FILE.safetensors")
    return inside[0]


def _fitting(file: _File, unet: UNet2DConditionModel, report: Progress) -> list[LayerChange]:
    """Return the changes that are for `unet`; what is left out is reported, and refused when it is all."""
    called = file.called
    with converting(called):  # settings and alphas that are no numbers
        contents = read_contents(called, file.tensors, file.settings, unet)
    if not contents.changes:
        raise ExportError(f"{called} {_why_nothing(contents)}")
    for change in sorted(contents.changes, key=lambda one: ("attn2" not in one.layer, one.layer)):
        _check_fit(called, change, unet.get_submodule(change.layer))
    for line in _left_out(contents):
        report(f"{called}: {line}")
    return contents.changes


def _why_nothing(contents: Contents) -> str:
    if contents.strange:
        return f"matches no layer of the unet, first {contents.strange[0]}; expected one for its family"
    if contents.words:
        return "changes only a text encoder; sound stands for its words: leave it out"
    if contents.embeddings:
        return "is a textual inversion, which stands for a word; sound has no words: leave it out"
    return "holds no LoRA layers; expected a LoRA: a checkpoint goes to --unet or --diffusion"


def _left_out(contents: Contents) -> Iterator[str]:
    if contents.words:
        yield f"{contents.words} layers for the text encoder are left out: words that are typed stay as they were"
    if contents.embeddings:
        yield f"{contents.embeddings} embeddings are left out: they stand for words that would be typed"
    if contents.strange:
        count = len(contents.strange) + len(contents.changes)
        yield f"{len(contents.strange)} of {count} layers are not in the unet, first {contents.strange[0]}"
    if contents.unknown:
        yield f"{len(contents.unknown)} weights of an unknown kind are left out, first {contents.unknown[0]}"


def _check_fit(called: str, change: LayerChange, module: nn.Module) -> None:
    """Raise ExportError unless the change has the layer's shapes; 1x1 convolutions stand for matrices, and back."""
    shapes = {name: one.to("meta") for name, one in change.parts.items()}
    for name, delta in replace(change, parts=shapes).deltas().items():
        weight = getattr(module, name, None)
        if not isinstance(weight, Tensor) or _as_matrix(weight) != _as_matrix(delta):
            found = list(weight.shape) if isinstance(weight, Tensor) else "not there"
            raise ExportError(
                f"{called} is for a {name} of {list(delta.shape)}, the unet's {change.layer} has {found}; "
                "expected a LoRA for the same family"
            )


def _as_matrix(tensor: Tensor) -> list[int]:
    """Return the shape, without a kernel that is one point."""
    return list(tensor.shape[:2] if set(tensor.shape[2:]) <= {1} else tensor.shape)
