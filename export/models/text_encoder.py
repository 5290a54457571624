"""The CLIP text encoder: its BOS token in front of every prompt, and, optionally, words mixed with sound."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clavilux.export.checkpoints.load import PreparedTokenizer
from clavilux.runtime.errors import ExportError

MODEL_TYPES = ("clip_text_model", "clip")
CLIP_BOS, CLIP_VOCABULARY = 49406, 49408  # BOS, EOS after it, and no more in CLIP's own vocabulary
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


@dataclass(frozen=True)
class TextTokens:
    """Token ids that a text encoder takes."""

    bos: int
    eos: int
    vocabulary: int  # ids are below
    doubt: str = ""  # about BOS, where nothing certain tells it


def text_tokens(config: Mapping[str, Any], tokenizer: PreparedTokenizer | None = None) -> TextTokens:
    """Return the ids that the tokenizer names, else those of CLIP's own vocabulary, else those of the configuration.

    Tokens that were added, by textual inversion, lie behind EOS, and many published configurations name a wrong BOS.
    """
    vocabulary: int = config["vocab_size"]
    named = tokenizer.bos if tokenizer else None
    if tokenizer is not None and named is not None:
        return TextTokens(named, named if tokenizer.eos is None else tokenizer.eos, vocabulary)
    told = config.get("bos_token_id") or 0  # 0 is CLIP's "!": older libraries wrote it into every configuration
    if vocabulary >= CLIP_VOCABULARY:
        bos, whose = CLIP_BOS, "CLIP's own"
    elif 0 < told < vocabulary:
        bos, whose = told, "as its configuration says"
    else:
        bos, whose = vocabulary - 2, "the last but one"
    doubt = f"no tokenizer tells which token is BOS; {bos} of {vocabulary} is taken, {whose}"
    return TextTokens(bos, min(bos + 1, vocabulary - 1), vocabulary, "" if vocabulary == CLIP_VOCABULARY else doubt)


def bos_embedding(text_encoder: Any, bos: int) -> NDArray[np.float32]:
    """Return CLIP's output on "" at position 0, float32 [D]; `bos` is the id of the BOS token.

    Attention is causal, so position 0 depends on the BOS token alone.
    """
    with torch.inference_mode():
        tokens = text_encoder(input_ids=torch.tensor([[bos]])).last_hidden_state
    embedding: NDArray[np.float32] = tokens[0, 0].numpy()
    return embedding


def check_text_encoder(config: Mapping[str, Any], where: object, width: int) -> None:
    """Raise ExportError unless a text encoder of this configuration gives tokens of `width`."""
    if config.get("model_type") not in MODEL_TYPES:
        found, expected = config.get("model_type"), " or ".join(MODEL_TYPES)
        raise ExportError(f"text encoder {where} is a {found!r} model; expected {expected}")
    found_width = config["hidden_size"]
    if found_width != width:
        raise ExportError(
            f"text encoder {where} gives tokens {found_width} wide, the encoder {width}; expected equal widths"
        )


def check_length(config: Mapping[str, Any], count: int) -> None:
    """Raise ExportError when the text encoder cannot take a prompt of `count` tokens."""
    most = config["max_position_embeddings"]
    if count > most:
        raise ExportError(
            f"the prompt has {count} tokens, the text encoder takes {most}; leave the words out with --no-text"
        )


def check_vocabulary(tokenizer: PreparedTokenizer, tokens: TextTokens, where: object) -> None:
    """Raise ExportError when the tokenizer gives ids that the text encoder does not know."""
    most = 1 + max(tokenizer.tokenizer.get_vocab(with_added_tokens=True).values())
    if most > tokens.vocabulary:
        raise ExportError(
            f"tokenizer {where} has {most} tokens, the text encoder takes {tokens.vocabulary}; expected the text "
            "encoder that they were added to, or no words: --no-text"
        )


def write_tokenizer(prepared: PreparedTokenizer, count: int, path: Path) -> None:
    """Write `tokenizer.json`, set to cut and pad to `count` tokens."""
    tokenizer, padding = prepared.tokenizer, prepared.padding
    tokenizer.enable_truncation(count)
    tokenizer.enable_padding(length=count, pad_id=tokenizer.token_to_id(padding), pad_token=padding)
    tokenizer.save(str(path))


def example_ids(tokens: TextTokens, count: int) -> Tensor:
    """Return seeded ids, int64 [1, count]: BOS, any tokens, EOS to the end."""
    ids = torch.full((1, count), tokens.eos)
    ids[0, 0] = tokens.bos
    words = torch.randint(0, tokens.vocabulary, (count // 2,), generator=torch.Generator().manual_seed(0))
    ids[0, 1 : 1 + len(words)] = words
    return ids


def reference_text(text_encoder: Any, ids: Tensor) -> NDArray[np.float32]:
    """Return the original's tokens for `ids`, float32 [1, L, D]."""
    with torch.inference_mode():
        tokens: NDArray[np.float32] = text_encoder(input_ids=ids).last_hidden_state.numpy()
    return tokens
