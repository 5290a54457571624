"""The encoder that `clavilux train` trains: a Wav2Vec2-BERT from a checkpoint or from scratch, with a fresh adapter.

A checkpoint that was never trained for this (facebook/w2v-bert-2.0) has no adapter: it begins random.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

from clavilux.export.checkpoints.locate import converting, read_config
from clavilux.export.checkpoints.weights import find_weights
from clavilux.export.library_logs import quietly
from clavilux.export.models.audio_encoder import MODEL_TYPE
from clavilux.export.models.feature_extractor import STACK
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.sound.format import MEL_BINS, SAMPLE_RATE
from clavilux.training.alignment.data.window import Adapter

FRESH = ("adapter.", "masked_spec_embed")  # weights that a checkpoint need not have
HEAD_WIDTH = 24  # of an attention head of an encoder from scratch, at least


@dataclass(frozen=True)
class Scratch:
    """A small encoder from nothing."""

    layers: int = 4
    width: int = 96  # of the inner states


def pretrained_settings(where: str) -> dict[str, Any]:
    """Return the configuration of the checkpoint at `where`. Raises ClaviluxError unless it is a Wav2Vec2-BERT's."""
    return _of_its_type(where, read_config(where, "encoder"))


def _of_its_type(where: str, settings: dict[str, Any]) -> dict[str, Any]:
    if settings.get("model_type") != MODEL_TYPE:
        raise ClaviluxError(f"encoder {where} is a {settings.get('model_type')!r} model; expected {MODEL_TYPE!r}")
    return settings


def load_pretrained(where: str, width: int, adapter: Adapter, *, allow_pickle: bool = False) -> Wav2Vec2BertModel:
    """Return the checkpoint at `where` (a folder or a hub name), float32, ready to train, with tokens `width` wide.

    Raises ClaviluxError when it is no Wav2Vec2-BERT, when weights other than the adapter's are missing, or when its own
    adapter has another shape.
    """
    settings = pretrained_settings(where)
    changes = adapter.settings() | {"output_hidden_size": width, "layerdrop": 0.0}
    refuse_other_adapter(where, settings, changes)
    config = Wav2Vec2BertConfig.from_dict(settings | changes)
    weights = find_weights(where, "encoder", allow_pickle=allow_pickle)
    with converting("encoder", where), quietly():
        model, found = Wav2Vec2BertModel.from_pretrained(
            weights.paths[0].parent,
            config=config,
            variant=weights.variant or None,
            use_safetensors=not weights.pickled,
            local_files_only=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    missing = sorted(name for name in found["missing_keys"] if not name.startswith(FRESH))
    if missing:
        raise ClaviluxError(f"encoder {where} lacks {len(missing)} weights, first {missing[0]}; expected a whole one")
    return trainable(model)


def refuse_other_adapter(where: str, settings: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise ClaviluxError when the checkpoint has an adapter whose weights do not fit `wanted`, naming the option."""
    if not settings.get("add_adapter"):
        return
    own = Wav2Vec2BertConfig.from_dict(dict(settings))
    for name, what, remedy in (
        ("num_adapter_layers", "layers", "give --adapter-layers {}"),
        ("adapter_kernel_size", "kernel", "give --adapter-kernel {}"),
        ("output_hidden_size", "token width", "expected the text encoder's: take a text encoder of width {}"),
    ):
        found = getattr(own, name)
        if found != wanted[name]:
            raise ClaviluxError(
                f"encoder {where} has an adapter with {what} {found}, not {wanted[name]}; {remedy.format(found)}, "
                "or begin from an encoder without an adapter"
            )


def from_scratch(scratch: Scratch, width: int, adapter: Adapter) -> Wav2Vec2BertModel:
    """Return an untrained encoder with tokens `width` wide: shaped as the default bundle's, drawn from torch's dice."""
    heads = max(1, scratch.width // HEAD_WIDTH)
    if scratch.width % heads:
        raise ClaviluxError(f"the width {scratch.width} does not divide by {heads} heads; try {heads * HEAD_WIDTH}")
    config = Wav2Vec2BertConfig(
        hidden_size=scratch.width,
        output_hidden_size=width,
        num_hidden_layers=scratch.layers,
        num_attention_heads=heads,
        intermediate_size=2 * scratch.width,
        feature_projection_input_dim=MEL_BINS * STACK,
        layerdrop=0.0,
        position_embeddings_type=None,
        hidden_dropout=0.05,
        conformer_conv_dropout=0.05,
        attention_dropout=0.0,
        feat_proj_dropout=0.0,
        apply_spec_augment=False,
        **adapter.settings(),
    )
    return trainable(Wav2Vec2BertModel(config))


def configured_settings(where: str) -> dict[str, Any]:
    """Return the configuration in the file or checkpoint `where`. Raises ClaviluxError as `pretrained_settings`."""
    path = Path(where)
    folder, name = (str(path.parent), path.name) if path.is_file() else (where, "config.json")
    return _of_its_type(where, read_config(folder, "encoder", name))


def from_config(where: str, width: int, adapter: Adapter) -> Wav2Vec2BertModel:
    """Return an untrained encoder of the configuration that the file or checkpoint `where` holds."""
    settings = configured_settings(where)
    changes = adapter.settings() | {"output_hidden_size": width, "layerdrop": 0.0}
    with converting("encoder", where):
        return trainable(Wav2Vec2BertModel(Wav2Vec2BertConfig.from_dict(settings | changes)))


def trainable(model: Wav2Vec2BertModel) -> Wav2Vec2BertModel:
    """Return `model` with gradients; the mask of SpecAugment has none where it is never used."""
    model.requires_grad_(True)
    if not model.config.apply_spec_augment and hasattr(model, "masked_spec_embed"):
        model.masked_spec_embed.requires_grad_(False)  # several processes would wait for its gradient
    return model


def save_encoder(model: Wav2Vec2BertModel, folder: Path, **heard: object) -> None:
    """Write weights, configuration and feature extractor as `clavilux export --encoder` reads them.

    `heard` is what the encoder was trained to hear, window_seconds and lead_in; it is kept beside the features'.
    """
    with quietly():
        model.save_pretrained(folder)
        SeamlessM4TFeatureExtractor(
            feature_size=MEL_BINS, num_mel_bins=MEL_BINS, sampling_rate=SAMPLE_RATE, stride=STACK, **heard
        ).save_pretrained(folder)


def describe(model: Wav2Vec2BertModel) -> dict[str, Any]:
    """Return what the records say of an encoder: its size and shape."""
    config = model.config
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
        "token_width": config.output_hidden_size,
        "attention": getattr(config, "_attn_implementation", ""),
        "adapter": asdict(Adapter(config.num_adapter_layers, config.adapter_kernel_size, config.adapter_stride)),
    }
