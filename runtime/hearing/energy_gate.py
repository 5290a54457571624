"""The energy gate: sound or silence, by loudness alone. A voice-activity detector would mute music."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_LEVEL = -120.0  # dBFS, what digital silence is reported as
TAIL = 0.3  # s after the last loud hop during which the window is still encoded: the end of a word is soft


def decibels(samples: NDArray[np.float32]) -> float:
    """Return the root mean square of samples in -1 to 1, in dBFS, not below `MIN_LEVEL`."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return max(MIN_LEVEL, 10 * math.log10(power)) if power > 0 else MIN_LEVEL


@dataclass
class EnergyGate:
    """State of the gate: how long it has been quiet, in seconds of sound."""

    quiet_for: float = math.inf  # seconds of sound since the last loud hop

    def pass_hop(self, level: float, seconds: float, threshold: float) -> None:
        """Take one hop of `seconds` whose loudness was `level`; `threshold` in the same dBFS."""
        self.quiet_for = 0.0 if level >= threshold else self.quiet_for + seconds

    @property
    def listens(self) -> bool:
        """Whether the window still holds something worth encoding."""
        return self.quiet_for <= TAIL

    def is_silent(self, hold: float) -> bool:
        """Whether silence has lasted longer than `hold` seconds."""
        return self.quiet_for > max(hold, TAIL)
