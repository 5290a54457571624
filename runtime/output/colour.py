"""Colour space sRGB and linear light, there and back (IEC 61966-2-1).

Everything that is done to a picture after the decoder adds and mixes light, so it is done in linear light: floats, 0
black and 1 the white of the screen; above 1 is light that the screen cannot show. Pictures come and go as sRGB bytes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.04045  # of sRGB's straight part, encoded
SLOPE = 12.92  # of the straight part
OFFSET = 0.055
GAMMA = 2.4
BYTE = 255
STEPS = 1 << 16  # of the table from linear light to bytes: at least 19 to a byte, so it is off by 0.03 of one at most
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # of linear red, green and blue (ITU-R BT.709)


def decode(encoded: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the linear light of encoded values, both 0 to 1, of any shape."""
    encoded = np.asarray(encoded, np.float64)
    curved = ((np.maximum(encoded, 0.0) + OFFSET) / (1 + OFFSET)) ** GAMMA
    return np.where(encoded <= THRESHOLD, encoded / SLOPE, curved)


def encode(linear: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the encoded values of linear light, both 0 to 1, of any shape; below 0 is 0."""
    linear = np.maximum(np.asarray(linear, np.float64), 0.0)
    return np.where(linear <= THRESHOLD / SLOPE, linear * SLOPE, (1 + OFFSET) * linear ** (1 / GAMMA) - OFFSET)


_LINEAR = decode(np.arange(BYTE + 1) / BYTE).astype(np.float32)
_BYTES = np.rint(encode(np.arange(STEPS) / (STEPS - 1)) * BYTE).astype(np.uint8)
_FINE = decode(np.arange(STEPS) / (STEPS - 1)).astype(np.float32)


def to_linear(picture: NDArray[Any]) -> NDArray[np.float32]:
    """Return a picture's linear light, float32 of its shape: from sRGB bytes, or from encoded floats of 0 to 1."""
    if picture.dtype == np.uint8:
        return np.take(_LINEAR, picture)
    return decode(picture).astype(np.float32)


def fast_linear(encoded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the linear light of encoded values of 0 to 1, of any shape, by a table of STEPS: right to 2e-5."""
    return np.take(_FINE, (encoded * np.float32(STEPS - 1) + np.float32(0.5)).astype(np.uint16))


def to_srgb(linear: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return linear light as sRGB bytes, rounded; what is below 0 or above 1 is black or white."""
    scaled = linear * np.float32(STEPS - 1) + np.float32(0.5)
    return np.take(_BYTES, np.clip(scaled, 0, STEPS - 1, out=scaled).astype(np.uint16))
