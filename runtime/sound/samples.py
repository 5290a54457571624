"""Checked samples: whatever a source gives becomes float32 [n, channels] in -1 to 1, once, at the door.

What stands behind the door (the window, the queue, the listener) trusts what it is given.
"""

import math
import numbers

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clavilux.runtime.errors import SoundError
from clavilux.runtime.refused_json import shown

Samples = NDArray[np.float32]


RATES = (8_000, 192_000)  # Hz, what a source may have
MAX_CHANNELS = 32
MAX_AMPLITUDE = 64.0  # 36 dB over full scale: beyond that it is no sound, but integers or noise in the wrong format


def as_sound(samples: ArrayLike, rate: int) -> Samples:
    """Return a copy of `samples` as float32 [n, channels] in -1 to 1.

    Takes [n] or [n, channels], float or signed 16-bit or 32-bit. Raises SoundError for any other shape or type, for a
    rate outside `RATES`, for more than `MAX_CHANNELS` channels and for values that are not finite or beyond
    `MAX_AMPLITUDE`.
    """
    low, high = RATES
    if not isinstance(rate, numbers.Integral) or not low <= rate <= high:
        raise SoundError(f"the sample rate is {rate!r} Hz; expected a whole number, {low} to {high}")
    try:
        samples = np.asarray(samples)
    except ValueError as error:
        raise SoundError("the sound's channels have different lengths; expected as many samples of each") from error
    sound = samples[:, None] if samples.ndim == 1 else samples
    if sound.ndim != 2 or not 1 <= sound.shape[1] <= MAX_CHANNELS:
        raise SoundError(f"the sound has shape {samples.shape}; expected [n] or [n, 1 to {MAX_CHANNELS} channels]")
    if np.issubdtype(sound.dtype, np.signedinteger):
        full_scale = 2.0 ** (8 * sound.dtype.itemsize - 1)
        return np.array(sound.astype(np.float64) / full_scale, np.float32)
    if not np.issubdtype(sound.dtype, np.floating):
        raise SoundError(f"the sound has type {samples.dtype}; expected float or signed integer samples")
    result = np.array(sound, np.float32)
    if not np.isfinite(result).all():
        raise SoundError("the sound holds values that are not finite; expected -1 to 1")
    if result.size and np.abs(result).max() > MAX_AMPLITUDE:
        raise SoundError(
            f"the sound reaches {np.abs(result).max():.3g}; expected -1 to 1, and at most {MAX_AMPLITUDE:g}"
        )
    return result


def checked_time(at: float, what: str = "the sound was captured") -> float:
    """Return a time in seconds. Raises SoundError for one that is no number, or not finite; `what` happened then."""
    try:
        seconds = float(at) if isinstance(at, numbers.Real) else math.nan
    except OverflowError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise SoundError(f"{what} at {shown(at)} s; expected a finite time")
    return seconds
