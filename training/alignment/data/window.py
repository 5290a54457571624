"""The window of sound that gives as many tokens as a text encoder takes: the adapter decides how long it must be."""

from dataclasses import dataclass
from typing import Any

from clavilux.export.models.audio_encoder import token_count
from clavilux.export.models.feature_extractor import STACK
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.sound.format import FRAME_STEP, SAMPLE_RATE


@dataclass(frozen=True)
class Adapter:
    """Convolutions that thin out what the encoder heard; the defaults are the reference's."""

    layers: int = 2
    kernel: int = 3  # inputs
    stride: int = 2  # inputs

    def settings(self) -> dict[str, Any]:
        """Return the entries of a configuration that say so."""
        return {
            "add_adapter": True,
            "num_adapter_layers": self.layers,
            "adapter_kernel_size": self.kernel,
            "adapter_stride": self.stride,
        }


@dataclass(frozen=True)
class Window:
    """How much sound gives how many tokens."""

    tokens: int
    frames: int  # padded, even; 10 ms each
    samples: int  # at 16 kHz

    @property
    def seconds(self) -> float:
        """Return the length in seconds: what `clavilux export --window` takes."""
        return self.samples / SAMPLE_RATE


def window_for(tokens: int, adapter: Adapter) -> Window:
    """Return the longest window of which `adapter` makes `tokens` tokens: 3.75 s for 47, 6.07 s for 76.

    The inverse of `clavilux.export.models.audio_encoder.token_count`. Raises ClaviluxError when there is none.
    """
    stacked, padding = tokens, 2 * (adapter.stride // 2)
    for _ in range(adapter.layers):
        stacked = adapter.stride * stacked - 1 + adapter.kernel - padding
    frames = STACK * stacked
    if tokens < 1 or frames < STACK or token_count(adapter.settings(), frames) != tokens:
        raise ClaviluxError(f"no window gives {tokens} tokens with {adapter}; expected at least 1 token")
    return Window(tokens, frames, (frames - 1) * FRAME_STEP)
