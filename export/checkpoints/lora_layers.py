"""The layers that a LoRA changes, and by what, in whichever of the usual names its file is written.

Names are those of diffusers, old and new, of PEFT, and of kohya's trainers. alpha / rank is settled here, from the
tensors' own shapes: `.alpha` beside the matrices counts in any names, then PEFT's settings, else a change counts as it
is.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from torch import Tensor

from clavilux.runtime.errors import ExportError

PEFT_PREFIX = "base_model.model."
PREFIXES = (PEFT_PREFIX, "unet.")
KOHYA = "lora_unet_"
WORDS = ("text_encoder.", "text_encoder_2.", "lora_te")
EMBEDDINGS = ("bundle_emb.", "emb_params")
ORIGINAL_BLOCKS = re.compile("input_blocks_|middle_block_|output_blocks_|time_embed_|out_2$")
DEFAULT_ALPHA = 8  # PEFT's

OTHER_KINDS = {
    "DoRA": r"dora_scale|lora_magnitude_vector",
    "LoHa": r"hada_",
    "LoKr": r"lokr_",
    "BOFT": r"boft_",
    "OFT": r"oft_",
    "IA3": r"ia3_l|\.on_input$",
    "GLoRA": r"\.[ab][12]\.weight$",
    "Tucker-decomposed LoRA": r"lora_mid",
    "VeRA": r"vera_lambda",
    "Control-LoRA": r"lora_controlnet",
}
"""Marks in the names of weights that change more than a product of two matrices, or a sum, can."""

_ENDS = {
    "down": r"\.(?:lora_A|lora_down|lora(?:_linear_layer)?\.down)(?:\.default\w*)?\.weight",
    "up": r"\.(?:lora_B|lora_up|lora(?:_linear_layer)?\.up)(?:\.default\w*)?\.weight",
    "up_bias": r"\.(?:lora_B|lora_up|lora(?:_linear_layer)?\.up)(?:\.default\w*)?\.bias",
    "alpha": r"(?:\.lora(?:_A|_B|_down|_up|_linear_layer)?)?\.alpha",
    "weight": r"\.(?:diff|w_norm)",
    "bias": r"\.(?:diff_b|b_norm)",
}
"""Ends of names, by what the tensor is to its layer."""

_OLD_NAMES = {r"\.processor\.": ".", r"\.to_([qkv])_lora\.": r".to_\1.lora.", r"\.to_out_lora\.": ".to_out.0.lora."}


@dataclass(frozen=True)
class LayerChange:
    """Change of one layer."""

    layer: str
    parts: Mapping[str, Tensor]  # by the words of _ENDS
    scale: float  # of the product: alpha / rank

    def deltas(self) -> dict[str, Tensor]:
        """Return what is added to the layer's `weight` and `bias`."""
        parts, found = self.parts, {}
        if "down" in parts:
            down, up = parts["down"].float(), parts["up"].float()
            found["weight"] = (self.scale * up.flatten(1) @ down.flatten(1)).reshape(-1, *down.shape[1:])
        if "up_bias" in parts:
            found["bias"] = self.scale * parts["up_bias"].float()
        for name in ("weight", "bias"):
            if name in parts:
                found[name] = found.get(name, 0) + parts[name].float()
        return found


@dataclass(frozen=True)
class Contents:
    """Contents of a LoRA file, seen from one UNet."""

    changes: list[LayerChange]
    strange: list[str]  # layers that the UNet does not have
    words: int  # layers for a text encoder
    embeddings: int  # textual inversions
    unknown: list[str]  # names that nothing is known of


def read_contents(
    called: str, tensors: Mapping[str, Tensor], settings: Mapping[str, Any], unet: UNet2DConditionModel
) -> Contents:
    """Sort the tensors of a LoRA file; `settings` are PEFT's, or empty. The values are not looked at, but for alphas.

    Raises ExportError for other kinds of changes, and for half a pair of matrices.
    """
    names = [name for name in tensors if not name.startswith((*WORDS, *EMBEDDINGS))]
    for kind, mark in OTHER_KINDS.items():
        if any(re.search(mark, name) for name in names):
            raise ExportError(
                f"{called} holds {kind} layers, which cannot be fused; expected a plain LoRA: "
                "merge it into its checkpoint with the tool that made it, and give that to --unet"
            )
    split = {name: found for name in names if (found := _split(name))}
    layer_of = _namer([layer for layer, _ in split.values()], unet)
    layers: dict[str, dict[str, Tensor]] = {}
    for name, (layer, part) in split.items():
        layers.setdefault(layer_of(layer), {})[part] = tensors[name]
    modules = dict(unet.named_modules())
    known = {layer: parts for layer, parts in layers.items() if layer in modules}
    return Contents(
        changes=[_change(called, layer, parts, settings) for layer, parts in known.items()],
        strange=sorted(layers.keys() - known.keys()),
        words=len({(_split(name) or [name])[0] for name in tensors if name.startswith(WORDS)}),
        embeddings=sum(name.startswith(EMBEDDINGS) for name in tensors),
        unknown=[name for name in names if name not in split],
    )


def _split(name: str) -> tuple[str, str] | None:
    """Return the layer and what the tensor is to it, or None for what is not known."""
    for old, new in _OLD_NAMES.items():
        name = re.sub(old, new, name)
    for part, end in _ENDS.items():
        if found := re.fullmatch(f"(.+?){end}", name):
            return found[1], part
    return None


def _namer(layers: list[str], unet: UNet2DConditionModel) -> Callable[[str], str]:
    """Return what gives the UNet's own name of a layer: kohya's are exact but for their dots."""
    exact: dict[str, str] = {KOHYA + name.replace(".", "_"): name for name, _ in unet.named_modules()}
    original = [layer for layer in layers if layer.startswith(KOHYA) and ORIGINAL_BLOCKS.search(layer)]
    exact |= _from_original_blocks(sorted(set(original)), unet)

    def name(layer: str) -> str:
        for prefix in PREFIXES:
            layer = layer.removeprefix(prefix)
        return exact.get(layer, layer)

    return name


def _from_original_blocks(layers: list[str], unet: UNet2DConditionModel) -> dict[str, str]:
    """Return diffusers' names of layers that are counted as in the original's blocks; diffusers knows how."""
    if not layers:
        return {}
    numbered = {
        f"{layer}.lora_{end}.weight": torch.tensor(i) for i, layer in enumerate(layers) for end in ("down", "up")
    }
    found, _ = StableDiffusionLoraLoaderMixin.lora_state_dict(numbered, unet_config=unet.config)
    split = {int(number): _split(name.removeprefix("unet.")) for name, number in found.items()}
    return {layers[i]: pair[0] for i, pair in split.items() if pair is not None}


def _change(called: str, layer: str, parts: dict[str, Tensor], settings: Mapping[str, Any]) -> LayerChange:
    if ("down" in parts) != ("up" in parts) or not parts.keys() - {"alpha"}:
        raise ExportError(f"{called} has half a change of {layer}; expected two matrices")
    if "down" in parts and parts["up"].flatten(1).shape[1] != len(parts["down"]):
        found = f"{list(parts['down'].shape)} and {list(parts['up'].shape)}"
        raise ExportError(f"{called} changes {layer} by matrices of {found}; expected two of one rank")
    rank = len(parts["down"]) if "down" in parts else 1
    if not rank:
        raise ExportError(f"{called} changes {layer} by matrices of rank 0; expected 1 or more")
    alpha = parts.pop("alpha", None)
    return LayerChange(layer, parts, _settled(layer, rank, settings) if alpha is None else float(alpha) / rank)


def _settled(layer: str, rank: int, settings: Mapping[str, Any]) -> float:
    """Return what PEFT multiplies a change by; 1 where it says nothing."""
    if not settings:
        return 1.0
    patterns: dict[str, float] = settings.get("alpha_pattern") or {}
    pattern = next((one for one in patterns if re.match(rf"(.*\.)?({one})$", layer)), None)
    alpha = settings.get("lora_alpha", DEFAULT_ALPHA) if pattern is None else patterns[pattern]
    return float(alpha) / (rank**0.5 if settings.get("use_rslora") else rank)
