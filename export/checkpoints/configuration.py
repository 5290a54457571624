"""Configurations of models, completed with the defaults of their own classes: libraries leave out what is usual."""

import inspect
from collections.abc import Callable
from typing import Any

from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextConfig, Wav2Vec2BertConfig

from clavilux.export.checkpoints.locate import Config, Where, converting, read_config
from clavilux.export.library_logs import quietly

__all__ = ["read_model_config"]


def _of_diffusers(kind: Any) -> Callable[[Config], Config]:
    defaults = {
        name: one.default
        for name, one in inspect.signature(kind.__init__).parameters.items()
        if one.default is not inspect.Parameter.empty
    }
    return lambda config: defaults | config


def _of_transformers(kind: Any) -> Callable[[Config], Config]:
    def complete(config: Config) -> Config:
        found: Config = kind.from_dict(config).to_dict()
        return found | {"model_type": config["model_type"]}

    return complete


_complete_text = _of_transformers(CLIPTextConfig)

_COMPLETE: dict[str, Callable[[Config], Config]] = {
    "UNet2DConditionModel": _of_diffusers(UNet2DConditionModel),
    "AutoencoderKL": _of_diffusers(AutoencoderKL),
    "AutoencoderTiny": _of_diffusers(AutoencoderTiny),
    "wav2vec2-bert": _of_transformers(Wav2Vec2BertConfig),
    "clip_text_model": _complete_text,
    "clip": lambda config: _complete_text((config.get("text_config") or {}) | {"model_type": "clip_text_model"}),
}
"""Ways to complete, by `_class_name` of diffusers or `model_type` of transformers; others are left as they are."""


def read_model_config(where: Where, role: str) -> Config:
    """Return the configuration of the model at `where`, which plays `role`, with what its class takes for granted.

    A whole CLIP's is that of its text encoder. Raises ExportError for what its class does not take.
    """
    config = read_config(where, role)
    complete = _COMPLETE.get(str(config.get("_class_name") or config.get("model_type")))
    if complete is None:
        return config
    with converting(role, where), quietly():
        return complete(config)
