"""High-pass of a stream, so that neither an offset nor rumble counts as sound.

Butterworth of second order (Oppenheim and Schafer, "Discrete-Time Signal Processing", section 7.1: bilinear transform),
computed in blocks: within one the recursion is a product with a fixed matrix, exact and free of loops over samples.
"""

import math

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.sound.format import FRAME_STEP, SAMPLE_RATE
from clavilux.runtime.sound.samples import Samples

CUTOFF = 30.0  # Hz; the lowest note of a bass guitar is 41 Hz

Floats = NDArray[np.float64]


def _coefficients() -> tuple[Floats, Floats]:
    """Return numerator and denominator [3] of the filter."""
    warped = math.tan(math.pi * CUTOFF / SAMPLE_RATE)
    scale = 1 / (1 + math.sqrt(2) * warped + warped**2)
    poles = [1.0, 2 * scale * (warped**2 - 1), scale * (1 - math.sqrt(2) * warped + warped**2)]
    return scale * np.array([1.0, -2.0, 1.0]), np.array(poles)


def _matrices(length: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return what turns (input, state) of a block into its output and the next state, as four matrices.

    The state [2] is that of the transposed direct form II.
    """
    zeros, poles = _coefficients()
    step = np.array([[-poles[1], 1.0], [-poles[2], 0.0]])
    enter = zeros[1:] - poles[1:] * zeros[0]
    powers = [np.eye(2)]
    for _ in range(length):
        powers.append(step @ powers[-1])
    response = np.array([zeros[0], *(float(powers[k][0] @ enter) for k in range(length - 1))])
    lag = np.subtract.outer(np.arange(length), np.arange(length))
    direct = np.where(lag >= 0, response[np.maximum(lag, 0)], 0.0)
    ringing = np.array([power[0] for power in powers[:length]])
    entering = np.array([power @ enter for power in powers[:length][::-1]]).T
    return direct, ringing, entering, powers[length]


_DIRECT, _RINGING, _ENTERING, _LEAVING = _matrices(FRAME_STEP)
_ZEROS, _POLES = _coefficients()


class HighPass:
    """State of the filter on one stream."""

    def __init__(self) -> None:
        self._state: Floats | None = None  # None before any sound

    def push(self, block: Samples) -> Floats:
        """Take the next float32 [FRAME_STEP] at 16 kHz; return it without what lies below `CUTOFF`, float64.

        The stream counts as having stood at its first value for ever: an offset makes no click at the beginning.
        """
        sound = block.astype(np.float64)
        if self._state is None:  # where a constant leaves the filter: output 0
            self._state = sound[0] * np.array([-_ZEROS[0], _ZEROS[2]])
        passed: Floats = _DIRECT @ sound + _RINGING @ self._state
        self._state = _ENTERING @ sound + _LEAVING @ self._state
        return passed
