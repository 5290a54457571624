"""Low-rank changes (LoRA) are fused into a UNet: what is exported is a plain UNet with other weights.

Files of diffusers, of PEFT, and of kohya's trainers (LCM-LoRA is one) are read by diffusers' own loader, which needs
`peft`. What each layer's change is multiplied by is settled here: diffusers derives it from patterns of names, and its
0.39 does so wrongly when layers have different ranks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft
from torch import Tensor, nn

from clavilux.export.checkpoints.load import Lora
from clavilux.export.checkpoints.locate import Where, converting, fetch_file, find, names_file, read_config, search
from clavilux.export.checkpoints.weights import is_pickle, read_header, read_pickle, read_tensors, silent
from clavilux.export.library_logs import quietly
from clavilux.export.options import Progress
from clavilux.runtime.errors import ExportError

ADAPTER = "given"
PEFT_WEIGHTS = "adapter_model.safetensors"
FILES = ("pytorch_lora_weights.safetensors", PEFT_WEIGHTS)
PEFT_FILE = "adapter_config.json"
PEFT_PREFIX = "base_model.model."
PEFT_SETTINGS = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "target_modules")
METADATA = "lora_adapter_metadata"  # in which diffusers keeps those settings within the file
UNET, WORDS = "unet.", ("text_encoder.", "text_encoder_2.")
KOHYA = ("lora_unet_", "lora_te")
DOWN, UP, ALPHA = ".lora_down.weight", ".lora_up.weight", ".alpha"
A, B = ".lora_A.weight", ".lora_B.weight"
OTHER_KINDS = {
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "lora_mid": "Tucker-decomposed LoRA",
}
"""Marks in the names of weights that change more than a product of two matrices can."""


@dataclass(frozen=True)
class _Change:
    """Contents of a LoRA file."""

    called: str  # in messages
    tensors: dict[str, Tensor]
    settings: Mapping[str, Any]  # PEFT's, by which it scales; empty: each change counts as it is


def check_loras(loras: tuple[Lora, ...]) -> None:
    """Raise ExportError when a LoRA is not there, or nothing could fuse it; no weight is read."""
    if loras and find_spec("peft") is None:
        raise ExportError("peft is not installed, which a LoRA needs; run: pip install 'clavilux[export]'")
    for lora in loras:
        _locate(lora.where)


def fuse_loras(
    unet: UNet2DConditionModel, loras: tuple[Lora, ...], *, allow_pickle: bool = False, report: Progress = silent
) -> UNet2DConditionModel:
    """Add `loras` to the weights of `unet`, which stays a plain UNet without layers of an adapter, and return it.

    Parts for the text encoder are left out, and reported. Raises ExportError for a LoRA that is not found, is of a kind
    that cannot be fused, or does not fit.
    """
    check_loras(loras)
    for lora in loras:
        change = _read(lora.where, allow_pickle)
        with converting("lora", lora.where), quietly():
            _fuse(unet, _unet_part(change, unet, report), change, lora.scale)
    return unet.eval().requires_grad_(False)


def _fuse(unet: UNet2DConditionModel, part: dict[str, Tensor], change: _Change, scale: float) -> None:
    settings = {UNET + key: value for key, value in change.settings.items()} or None
    prefixed = {UNET + name: weight for name, weight in part.items()}
    unet.load_lora_adapter(prefixed, prefix=UNET[:-1], adapter_name=ADAPTER, metadata=settings)
    if settings is None:
        for layer in unet.modules():
            if hasattr(layer, "lora_A") and ADAPTER in layer.lora_A:
                layer.scaling[ADAPTER] = 1.0
    unet.fuse_lora(lora_scale=scale)  # in place; the safe way would copy the whole UNet
    unet.unload_lora()


def _read(where: Where, allow_pickle: bool) -> _Change:
    path, called = _locate(where), f"lora {where}"
    if allow_pickle and is_pickle(path):
        tensors, metadata = read_pickle(path, called), {}
    else:
        metadata = dict(read_header(path, called).metadata)
        tensors = read_tensors(path, called)
    for mark, kind in OTHER_KINDS.items():
        if any(mark in name for name in tensors):
            raise ExportError(f"{called} is a {kind}, which cannot be fused; expected a plain LoRA")
    if not any("lora" in name for name in tensors):
        raise ExportError(f"{called} holds no LoRA layers; expected a LoRA: a checkpoint goes to --unet or --diffusion")
    if not all(bool(one.isfinite().all()) for one in tensors.values()):
        raise ExportError(f"{called} holds values that are no numbers (NaN or infinite); expected finite weights")
    beside = read_config(path.parent, "lora", PEFT_FILE) if (path.parent / PEFT_FILE).is_file() else {}
    with converting("lora", where):
        settings = json.loads(metadata[METADATA]) if METADATA in metadata else beside
    settings = {key.removeprefix(UNET): value for key, value in settings.items()}
    return _Change(called, tensors, {key: settings[key] for key in PEFT_SETTINGS if key in settings})


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


def _unet_part(change: _Change, unet: UNet2DConditionModel, report: Progress) -> dict[str, Tensor]:
    """Return what is for the UNet, in PEFT's names; what matches no layer is reported, and refused when it is all."""
    named = _in_diffusers_names(change.tensors, unet)
    words = {name.rpartition(".lora")[0] for name in named if name.startswith(WORDS)}
    if words:
        report(f"{change.called}: {len(words)} layers for the text encoder are left out; sound stands for its words")
    part = {name.removeprefix(UNET): weight for name, weight in named.items() if name.startswith(UNET)}
    part = convert_unet_state_dict_to_peft(part)
    layers = {name.partition(".lora_")[0] for name in part}
    modules = dict(unet.named_modules())
    strange = sorted(layers - modules.keys())
    if layers <= set(strange):
        example = f", first {strange[0]}" if strange else ""
        raise ExportError(f"{change.called} matches no layer of the unet{example}; expected one for its family")
    if strange:
        report(f"{change.called}: {len(strange)} of {len(layers)} layers are not in the unet, first {strange[0]}")
    for layer in sorted(layers - set(strange), key=lambda name: ("attn2" not in name, name)):
        _check_fit(change.called, layer, modules[layer], part)
    return {name: weight for name, weight in part.items() if name.partition(".lora_")[0] in modules}


def _in_diffusers_names(tensors: dict[str, Tensor], unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """Translate kohya's and PEFT's names; what has no prefix is the UNet's."""
    if all(name.startswith(KOHYA) for name in tensors):
        plain = _without_alphas(tensors)
        named: dict[str, Tensor] = StableDiffusionLoraLoaderMixin.lora_state_dict(plain, unet_config=unet.config)[0]
        return named
    plain = {name.removeprefix(PEFT_PREFIX): weight for name, weight in tensors.items()}
    known = (UNET, *WORDS)
    return {name if name.startswith(known) else UNET + name: weight for name, weight in plain.items()}


def _without_alphas(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return kohya's weights with alpha / rank multiplied in."""
    scaled = {name: weight for name, weight in tensors.items() if not name.endswith(ALPHA)}
    for name in tensors:
        layer = name.removesuffix(ALPHA)
        if layer != name and layer + DOWN in tensors:
            rank = tensors[layer + DOWN].shape[0]
            scaled[layer + UP] = tensors[layer + UP].float() * (float(tensors[name]) / rank)
    return scaled


def _check_fit(called: str, layer: str, module: nn.Module, part: Mapping[str, Tensor]) -> None:
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or layer + A not in part or layer + B not in part:
        raise ExportError(f"{called} cannot be fused into {layer}; expected two matrices for a layer with weights")
    down, up = part[layer + A], part[layer + B]
    found, expected = (down.ndim, up.shape[0], down.shape[1]), (weight.ndim, *weight.shape[:2])
    if found != expected:
        raise ExportError(
            f"{called} changes {layer} from {found[2]} to {found[1]} channels, the unet's goes from "
            f"{expected[2]} to {expected[1]}; expected a LoRA for the same family"
        )
