"""Weights in the names of the original publications: the way back of what diffusers' single-file loader does."""

import re

import torch
from torch import Tensor

State = dict[str, Tensor]

RESNET = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "time_emb_proj.": "emb_layers.1.",
    "conv_shortcut.": "skip_connection.",
}
ENDS = {
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
}


def original_unet(state: State, layers: int = 1) -> State:
    """Rename a UNet with `layers` resnets per block, without the prefix that it has in a whole pipeline."""
    return {_unet_name(name, layers + 1, state): weight for name, weight in state.items()}


def _unet_name(name: str, stride: int, state: State) -> str:
    for new, old in ENDS.items():
        if name.startswith(new):
            return name.replace(new, old, 1)
    found = re.match(
        r"(down_blocks|up_blocks|mid_block)\.(?:(\d+)\.)?(resnets|attentions|\w+samplers)\.(\d+)\.(.*)", name
    )
    where, block, kind, layer, rest = found.groups()
    if kind == "resnets":
        for new, old in RESNET.items():
            rest = rest.replace(new, old, 1)
    if where == "mid_block":
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(layer)}.{rest}"
    place = int(block) * stride + int(layer)
    if where == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{(int(block) + 1) * stride}.0.{rest.replace('conv.', 'op.')}"
        return f"input_blocks.{1 + place}.{int(kind == 'attentions')}.{rest}"
    if kind == "upsamplers":
        attends = any(other.startswith(f"up_blocks.{block}.attentions") for other in state)
        return f"output_blocks.{(int(block) + 1) * stride - 1}.{1 + attends}.{rest}"
    return f"output_blocks.{place}.{int(kind == 'attentions')}.{rest}"


def original_vae(state: State, levels: int) -> State:
    """Rename an autoencoder of `levels` blocks; its attention was made of 1x1 convolutions."""
    renamed = {}
    for name, weight in state.items():
        old = re.sub(r"up_blocks\.(\d+)", lambda found: f"up.{levels - 1 - int(found[1])}", name)
        old = old.replace("down_blocks.", "down.").replace("resnets.", "block.")
        old = re.sub(r"(down|up)samplers\.0\.", r"\1sample.", old).replace("conv_shortcut", "nin_shortcut")
        old = re.sub(r"mid_block\.block\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", old)
        old = old.replace("conv_norm_out", "norm_out")
        if "mid_block.attentions.0." in old:
            old = old.replace("mid_block.attentions.0.", "mid.attn_1.").replace("group_norm", "norm")
            old = old.replace("to_out.0", "proj_out").replace("to_", "")
            weight = weight[:, :, None, None] if weight.ndim == 2 else weight
        renamed[old] = weight
    return renamed


def original_clip(state: State) -> State:
    """Rename the text encoder of SD 1.x, which kept transformers' names."""
    return {f"transformer.text_model.{name.removeprefix('text_model.')}": weight for name, weight in state.items()}


def original_open_clip(state: State) -> State:
    """Rename the text encoder of SD 2.x, whose attention had one matrix for queries, keys and values."""
    renamed = {}
    for name, weight in state.items():
        old = name.removeprefix("text_model.").replace("encoder.layers.", "transformer.resblocks.")
        old = old.replace("layer_norm", "ln_").replace("final_ln_", "ln_final").replace("self_attn", "attn")
        old = old.replace("fc1", "c_fc").replace("fc2", "c_proj")
        old = old.replace("embeddings.token_embedding", "token_embedding")
        renamed[old.replace("embeddings.position_embedding.weight", "positional_embedding")] = weight
    for name in [name for name in renamed if ".q_proj." in name]:
        parts = [renamed.pop(name.replace("q_proj", f"{letter}_proj")) for letter in "qkv"]
        renamed[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
    return {f"model.{name}": weight for name, weight in renamed.items()}


def prefixed(prefix: str, state: State) -> State:
    """Put `prefix` in front of every name; what shares memory is copied apart, as files want it."""
    return {prefix + name: weight.contiguous().clone() for name, weight in state.items()}
