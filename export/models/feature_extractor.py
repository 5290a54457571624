"""The front end that an audio encoder was trained behind, as its `preprocessor_config.json` tells it.

A checkpoint of `clavilux train` also tells which window it heard, and what came before a sound that was shorter. What
the runtime's log-mel frames cannot be is refused: another rate, another number of mel bins, padding in front.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import SeamlessM4TFeatureExtractor

from clavilux.export.checkpoints.locate import Config, UnreachableError, Where, find, read_config
from clavilux.export.options import REFERENCE_WINDOW
from clavilux.runtime.bundle.manifest import LEAD_INS
from clavilux.runtime.errors import ExportError
from clavilux.runtime.sound.format import FRAME_LENGTH, FRAME_STEP, MEL_BINS, SAMPLE_RATE, frame_count

FILE = "preprocessor_config.json"
STACK = 2  # frames side by side in one input of the encoder
KIND = "SeamlessM4TFeatureExtractor"
MAX_PADDING = 1e3  # standard deviations of a mel bin
MAX_WINDOW = 60.0  # s

_FIXED = {
    "feature_extractor_type": KIND,
    "sampling_rate": SAMPLE_RATE,
    "feature_size": MEL_BINS,
    "num_mel_bins": MEL_BINS,
    "padding_side": "right",
}
"""Settings that have to be these, where they are told: the runtime's log-mel frames are so. The stride is not asked
for, as the encoder's own configuration tells it by the width of its inputs, and the reference sets it by hand."""


@dataclass(frozen=True)
class FeatureSettings:
    """Settings of a front end that differ from encoder to encoder."""

    padding_value: float = 0.0  # what stands behind a sound that is shorter than the window, after normalisation
    window_samples: int = REFERENCE_WINDOW  # at 16 kHz
    lead_in: str = LEAD_INS[0]


def read_feature_settings(where: Where) -> FeatureSettings:
    """Return the settings beside the encoder at `where`, a folder or a hub name; the defaults where it has no file.

    The window of the reference is 3.75 s, and the default padding that of the class. Raises ExportError for what is no
    JSON, and for a front end that the runtime cannot be.
    """
    try:
        if find(where, "encoder", FILE) is None:
            return FeatureSettings()
    except UnreachableError as error:
        raise ExportError(
            f"encoder {where}: {FILE}, which tells its window and padding, is not in the hub's cache, and the hub "
            "cannot be reached; fetch it once with a network, or give a folder that holds the encoder"
        ) from error
    config = read_config(where, "encoder", FILE)
    for key, fixed in _FIXED.items():
        if config.get(key, fixed) != fixed:
            raise ExportError(f"encoder {where}: {FILE} has {key} {config[key]!r}; expected {fixed!r}")
    window = _number(config, where, "window_seconds", FRAME_LENGTH / SAMPLE_RATE, MAX_WINDOW)
    if window is not None and round(window * SAMPLE_RATE) % FRAME_STEP:
        raise ExportError(f"encoder {where}: {FILE} has window_seconds {window}; expected whole hundredths of a second")
    padding = _number(config, where, "padding_value", -MAX_PADDING, MAX_PADDING)
    lead_in = config.get("lead_in", LEAD_INS[0])
    if lead_in not in LEAD_INS:
        raise ExportError(f"encoder {where}: {FILE} has lead_in {lead_in!r}; expected {' or '.join(LEAD_INS)}")
    return FeatureSettings(
        padding_value=0.0 if padding is None else padding,
        window_samples=REFERENCE_WINDOW if window is None else round(window * SAMPLE_RATE),
        lead_in=lead_in,
    )


def _number(config: Config, where: object, key: str, low: float, high: float) -> float | None:
    """Return a number within bounds; None where it is not told."""
    value = config.get(key)
    if value is not None and not (type(value) in (int, float) and low <= value <= high):
        raise ExportError(f"encoder {where}: {FILE} has {key} {value!r}; expected a number, {low:g} to {high:g}")
    return value


class Features:
    """SeamlessM4TFeatureExtractor, the reference's own front end."""

    def __init__(self, window_samples: int, padding_value: float = 0.0) -> None:
        self.window_samples = window_samples
        self._extractor = SeamlessM4TFeatureExtractor(
            feature_size=MEL_BINS,
            num_mel_bins=MEL_BINS,
            sampling_rate=SAMPLE_RATE,
            padding_value=padding_value,
            stride=STACK,
        )

    def raw(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return log-mel frames without normalisation, float32 [1, T, 80], of 16 kHz samples in -1 to 1."""
        stacked = self._extract(samples, do_normalize_per_mel_bins=False)
        frames: NDArray[np.float32] = stacked.reshape(1, -1, MEL_BINS)[:, : frame_count(len(samples))]
        return frames

    def prepared(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the reference feeds its encoder, float32 [1, frames / 2, 160].

        Normalised over all of the samples, cut or padded to the window, stacked.
        """
        longest = self.window_samples // FRAME_STEP
        return self._extract(samples, padding="max_length", max_length=longest, truncation=True)

    def _extract(self, samples: NDArray[np.float32], **how: object) -> NDArray[np.float32]:
        found: Mapping[str, Any] = self._extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="np", **how)
        features: NDArray[np.float32] = found["input_features"].astype(np.float32)
        return features
