"""The CLIP text encoder: its BOS token in front of every prompt, and, optionally, words mixed with sound."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clavilux.export.checkpoints.load import PreparedTokenizer
from clavilux.runtime.errors import ExportError

MODEL_TYPES = ("clip_text_model", "clip")
CLIP_VOCABULARY = 49408  # entries of CLIP's own, whose last two are BOS and EOS
CLIP_POSITIONS = 77  # tokens that CLIP's own text encoder can take


class TextEncoderGraph(nn.Module):
    """input_ids int64 [B, L] -> tokens float32 [B, L, D]: CLIP's last hidden state, without a mask."""

    def __init__(self, text_encoder: Any) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def forward(self, input_ids: Tensor) -> Tensor:
        """Encode."""
        tokens: Tensor = self.text_encoder(input_ids=input_ids).last_hidden_state
        return tokens


def bos_token(config: Mapping[str, Any]) -> int:
    """Return the id of CLIP's BOS token, the last but one; many published configurations carry a wrong one."""
    vocabulary: int = _settings(config).get("vocab_size", CLIP_VOCABULARY)
    return vocabulary - 2


def bos_embedding(text_encoder: Any, config: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return CLIP's output on "" at position 0, float32 [D].

    Attention is causal, so position 0 depends on the BOS token alone.
    """
    with torch.inference_mode():
        tokens = text_encoder(input_ids=torch.tensor([[bos_token(config)]])).last_hidden_state
    embedding: NDArray[np.float32] = tokens[0, 0].numpy()
    return embedding


def check_text_encoder(config: Mapping[str, Any], where: object, width: int) -> None:
    """Raise ExportError unless a text encoder of this configuration gives tokens of `width`."""
    if config.get("model_type") not in MODEL_TYPES:
        found, expected = config.get("model_type"), " or ".join(MODEL_TYPES)
        raise ExportError(f"text encoder {where} is a {found!r} model; expected {expected}")
    found_width = _settings(config).get("hidden_size")
    if found_width != width:
        raise ExportError(
            f"text encoder {where} gives tokens {found_width} wide, the encoder {width}; expected equal widths"
        )


def check_length(config: Mapping[str, Any], count: int) -> None:
    """Raise ExportError when the text encoder cannot take a prompt of `count` tokens."""
    most = _settings(config).get("max_position_embeddings", CLIP_POSITIONS)
    if count > most:
        raise ExportError(
            f"the prompt has {count} tokens, the text encoder takes {most}; leave the words out with --no-text"
        )


def _settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = config.get("text_config", config)
    return settings


def write_tokenizer(prepared: PreparedTokenizer, count: int, path: Path) -> None:
    """Write `tokenizer.json`, set to cut and pad to `count` tokens."""
    tokenizer, padding = prepared.tokenizer, prepared.padding
    tokenizer.enable_truncation(count)
    tokenizer.enable_padding(length=count, pad_id=tokenizer.token_to_id(padding), pad_token=padding)
    tokenizer.save(str(path))


def example_ids(config: Mapping[str, Any], count: int) -> Tensor:
    """Return seeded ids, int64 [1, count]: BOS, words, EOS to the end."""
    bos = bos_token(config)
    ids = torch.full((1, count), bos + 1)
    ids[0, 0] = bos
    words = torch.randint(0, bos, (count // 2,), generator=torch.Generator().manual_seed(0))
    ids[0, 1 : 1 + len(words)] = words
    return ids


def reference_text(text_encoder: Any, ids: Tensor) -> NDArray[np.float32]:
    """Return the original's tokens for `ids`, float32 [1, L, D]."""
    with torch.inference_mode():
        tokens: NDArray[np.float32] = text_encoder(input_ids=ids).last_hidden_state.numpy()
    return tokens
