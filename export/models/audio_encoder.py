"""The audio encoder as one graph: raw log-mel frames in, tokens out.

What SeamlessM4TFeatureExtractor does after its filter bank lives inside: each mel bin is normalised over the window,
zeros are padded behind, and pairs of frames are stacked. No attention mask is passed, as in the reference.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import SeamlessM4TFeatureExtractor

from clavilux.runtime.errors import ExportError
from clavilux.runtime.sound.format import FRAME_LENGTH, FRAME_STEP, MEL_BINS, SAMPLE_RATE

STACK = 2  # frames side by side in one input of the encoder
VARIANCE_FLOOR = 1e-7  # SeamlessM4TFeatureExtractor's
MODEL_TYPE = "wav2vec2-bert"


def mel_frames(samples: int) -> int:
    """Return how many whole log-mel frames `samples` samples give."""
    return 1 + (samples - FRAME_LENGTH) // FRAME_STEP


def max_frames(window_samples: int) -> int:
    """Return the padded length of a window, in frames: an even number, 376 for the reference's 3.75 s."""
    return -(-(window_samples // FRAME_STEP) // STACK) * STACK


class AudioEncoderGraph(nn.Module):
    """Features, float32 [B, T, 80], 2 <= T <= `length` -> tokens, float32 [B, N, D]."""

    def __init__(self, encoder: Any, length: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.length = length  # frames, even

    def forward(self, features: Tensor) -> Tensor:
        """Normalise, pad, stack and encode."""
        padded = nn.functional.pad(_normalise(features), (0, 0, 0, self.length - features.shape[1]))
        stacked = padded.reshape(features.shape[0], self.length // STACK, STACK * MEL_BINS)
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


class Features:
    """SeamlessM4TFeatureExtractor, the reference's own front end."""

    def __init__(self, window_samples: int) -> None:
        self.window_samples = window_samples
        self._extractor = SeamlessM4TFeatureExtractor(
            feature_size=MEL_BINS, num_mel_bins=MEL_BINS, sampling_rate=SAMPLE_RATE, stride=STACK
        )

    def raw(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return log-mel frames without normalisation, float32 [1, T, 80], of 16 kHz samples in -1 to 1."""
        stacked = self._extract(samples, do_normalize_per_mel_bins=False)
        frames: NDArray[np.float32] = stacked.reshape(1, -1, MEL_BINS)[:, : mel_frames(len(samples))]
        return frames

    def prepared(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the reference feeds its encoder, float32 [1, frames / 2, 160]: normalised, padded, stacked."""
        longest = self.window_samples // FRAME_STEP
        return self._extract(samples, padding="max_length", max_length=longest, truncation=True)

    def _extract(self, samples: NDArray[np.float32], **how: object) -> NDArray[np.float32]:
        found = self._extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="np", **how)
        features: NDArray[np.float32] = found["input_features"].astype(np.float32)
        return features


def reference_tokens(encoder: Any, prepared: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return the original model's tokens, float32 [1, N, D], for each prepared input."""
    with torch.inference_mode():
        return [encoder(input_features=torch.from_numpy(one)).last_hidden_state.numpy() for one in prepared]
