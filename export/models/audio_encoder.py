"""The audio encoder as one graph: raw log-mel frames in, tokens out.

What SeamlessM4TFeatureExtractor does after its filter bank lives inside: each mel bin is normalised over all frames
that are given, a whole clip's too, these are cut or padded to the window, and pairs of them are stacked. No attention
mask is passed, as in the reference.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clavilux.export.models.feature_extractor import STACK
from clavilux.runtime.errors import ExportError
from clavilux.runtime.sound.format import FRAME_STEP, MEL_BINS

VARIANCE_FLOOR = 1e-7  # SeamlessM4TFeatureExtractor's
MODEL_TYPE = "wav2vec2-bert"


def max_frames(window_samples: int) -> int:
    """Return the padded length of a window, in frames: an even number, 376 for the reference's 3.75 s."""
    return -(-(window_samples // FRAME_STEP) // STACK) * STACK


class AudioEncoderGraph(nn.Module):
    """Features, float32 [B, T, 80], T >= 2 -> tokens, float32 [B, N, D] of the first `length` frames."""

    def __init__(self, encoder: Any, length: int, padding_value: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.length = length  # frames, even
        self.padding_value = padding_value  # of a normalised bin

    def forward(self, features: Tensor) -> Tensor:
        """Normalise, cut or pad, stack and encode."""
        padded = nn.functional.pad(_normalise(features), (0, 0, 0, self.length), value=self.padding_value)
        window = padded[:, : self.length]
        stacked = window.reshape(features.shape[0], self.length // STACK, STACK * MEL_BINS)
        tokens: Tensor = self.encoder(input_features=stacked).last_hidden_state
        return tokens


def _normalise(features: Tensor) -> Tensor:
    """Give each bin mean 0 and variance 1 over the frames.

    Centred twice: in a bin that hardly moves, the rounding of one float32 mean would be as large as the movement.
    """
    centred = features - features.mean(dim=1, keepdim=True)
    centred = centred - centred.mean(dim=1, keepdim=True)
    variance = centred.square().sum(dim=1, keepdim=True) / (features.shape[1] - 1)
    return centred / torch.sqrt(variance + VARIANCE_FLOOR)


def check_encoder(config: dict[str, Any], where: object) -> None:
    """Raise ExportError unless `config` is that of a Wav2Vec2-BERT with an adapter."""
    found = config.get("model_type", "nameless")
    if found != MODEL_TYPE:
        raise ExportError(f"encoder {where} is a {found!r} model; expected {MODEL_TYPE!r}, which listens to sound")
    if not config.get("add_adapter"):
        raise ExportError(
            f"encoder {where} has no adapter (add_adapter is false); expected one trained to give a UNet's tokens"
        )
    if config.get("feature_projection_input_dim", STACK * MEL_BINS) != STACK * MEL_BINS:
        raise ExportError(
            f"encoder {where} takes {config['feature_projection_input_dim']} features; expected {STACK * MEL_BINS}"
        )


def token_width(config: dict[str, Any]) -> int:
    """Return the width of the tokens an encoder with this configuration gives."""
    width: int = config.get("output_hidden_size") or config["hidden_size"]
    return width


def token_count(config: dict[str, Any], frames: int) -> int:
    """Return how many tokens the adapter makes of `frames` padded frames: 47 of the reference's 376."""
    kernel, stride = config.get("adapter_kernel_size", 3), config.get("adapter_stride", 2)
    count = frames // STACK
    for _ in range(config.get("num_adapter_layers", 1)):
        count = (count + 2 * (stride // 2) - kernel) // stride + 1
    return count


def reference_tokens(encoder: Any, prepared: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return the original model's tokens, float32 [1, N, D], for each prepared input."""
    with torch.inference_mode():
        return [encoder(input_features=torch.from_numpy(one)).last_hidden_state.numpy() for one in prepared]
