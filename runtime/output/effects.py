"""Effects after the decoder, in linear light, for films; declared once as data.

`EFFECTS` says what each one does, in the order in which they act; the parameters of the same names have their ranges
in `clavilux.runtime.control.parameters`. `server/page/screen/effects.js` is the twin at the rate of the screen, with
the same numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.output.colour import LUMINANCE
from clavilux.runtime.output.resampling import (
    Floats,
    blur_matrix,
    box_matrix,
    enlarge_linearly,
    separably,
    spline_matrix,
)

TRAIL_RATE = 30  # trails tell what stays after a thirtieth of a second
BLEED = 0.2  # of the light that a colour cannot show, in each of the three
GRAIN_RATE = 24  # grains a second
GRAIN_DEPTH = 0.14  # of the square root of light
GRAIN_PERIOD = 1 << 20  # steps after which grain comes again
GLOW_ROWS = 120  # of the near glow; 30 of the wide one
WIDE = 4  # times as wide
GLOW_TAPS = 2  # samples a side for each pixel of the glow
GLOW_SPREAD = 2.0  # standard deviation in its own rows, of both
GLOW_REACH = 6  # rows to each side that count
GLOW_LOW = 0.05  # luminance from which light begins to spill,
GLOW_HIGH = 0.75  # and from which all does
GLOW_SHARES = (0.8, 1.4)  # near and wide, at glow 1
HASH_FACTORS = (0x7FEB352D, 0x846CA68B)  # of the 32-bit mixer "lowbias32" (Wellons, 2018)


@dataclass(frozen=True)
class Effect:
    """One effect. Places are in heights of the picture from its middle, light is linear."""

    name: str  # of the parameter
    neutral: float  # where it does nothing, and costs nothing
    formula: str  # x, y place; c light; L its luminance; v the value; t seconds


EFFECTS = (
    Effect(
        "mirror",
        0,
        "angle from above folded into sectors of 180°/v; from 2 on, distance at 0.8, y - 0.3 (1 - 1/v)",
    ),
    Effect("rotation", 0.0, "(x, y) turned by -v degrees, so that the picture turns by v to the left"),
    Effect("zoom", 1.0, "(x, y) / v"),
    Effect("displacement", 0.0, "(x, y) + v * two waves each, 0.6 and 0.4 high, of 1.1 to 3.1 a height, 2.7 to 5.3 s"),
    Effect("hue", 0.0, "c turned by v degrees round grey: at 120 red is green, green blue, blue red"),
    Effect("saturation", 1.0, "L + v * (c - L)"),
    Effect("exposure", 0.0, "c * 2^v, not below 0"),
    Effect("glow", 0.0, "c + v (0.8 near + 1.4 wide) (1 - c), blurs of c where L is bright, 1/60 and 1/15 high"),
    Effect("trails", 0.0, "max(c, v^(30 dt) * what was shown dt ago)"),
    Effect("grain", 0.0, "(sqrt(c) + 0.14 v n)^2, n noise of -1 to 1 by pixel and 1/24 s"),
)
NEUTRAL: dict[str, float] = {effect.name: effect.neutral for effect in EFFECTS}


def colour_matrix(values: Mapping[str, float]) -> Floats:
    """Return the matrix [3, 3] that turns colours by `hue`, saturates them and brightens them by stops."""
    angle = np.deg2rad(values["hue"])
    same, along, across = np.cos(angle), (1 - np.cos(angle)) / 3, np.sin(angle) / np.sqrt(3)
    turn = np.array(
        [
            [same + along, along - across, along + across],
            [along + across, same + along, along - across],
            [along - across, along + across, same + along],
        ]
    )
    grey = LUMINANCE @ turn
    matrix = 2.0 ** values["exposure"] * (grey + values["saturation"] * (turn - grey))
    rounded: Floats = matrix.astype(np.float32)
    return rounded


def recolour(light: Floats, matrix: Floats) -> Floats:
    """Return light [H, W, 3] through a colour matrix, nothing below 0; the same array where nothing changes."""
    if np.array_equal(matrix, np.eye(3, dtype=np.float32)):
        return light
    changed: Floats = np.maximum(light @ matrix.T, 0)
    return changed


def bled(light: Floats) -> Floats:
    """Return light [H, W, 3] in which what is too bright for its colour goes towards white, as it does to eyes."""
    if light.max() <= 1:
        return light
    excess = np.maximum(light - 1, 0).sum(axis=-1, keepdims=True)
    whiter: Floats = light + np.float32(BLEED) * excess
    return whiter


def glowing(light: Floats, glow: float) -> Floats:
    """Return light [H, W, 3] with glow of 0 to 1: added as far as there is room for it, so that nothing burns out."""
    added: Floats = np.minimum(np.float32(glow) * spilled_light(light), 1)
    glowed: Floats = light + np.maximum(np.float32(1) - light, 0) * added
    return glowed


def spilled_light(light: Floats) -> Floats:
    """Return the glow of light [H, W, 3], as large: what is bright of it, softly near and far."""
    height, width, _ = light.shape
    (near_rows, near_columns), (wide_rows, wide_columns) = glow_sizes(height, width)
    near = separably(_box(height, near_rows), light, _box(width, near_columns))
    near *= _smooth_step(near @ LUMINANCE)[..., None]
    near = separably(_blur(near_rows), near, _blur(near_columns))
    wide = separably(_box(near_rows, wide_rows), near, _box(near_columns, wide_columns))
    wide = separably(_far(wide_rows, near_rows), wide, _far(wide_columns, near_columns))
    both = np.float32(GLOW_SHARES[0]) * near + np.float32(GLOW_SHARES[1]) * wide
    return enlarge_linearly(both, height, width)


def glow_sizes(height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return rows and columns of the near glow and of the wide one."""
    near = max(int(GLOW_ROWS * width / height + 0.5), WIDE)
    return (GLOW_ROWS, near), (-(-GLOW_ROWS // WIDE), -(-near // WIDE))


@cache
def _box(size: int, out: int) -> Floats:
    return box_matrix(size, out, GLOW_TAPS)


@cache
def _blur(size: int) -> Floats:
    return blur_matrix(size, GLOW_SPREAD, GLOW_REACH)


@cache
def _far(size: int, out: int) -> Floats:
    return spline_matrix(size, out) @ blur_matrix(size, GLOW_SPREAD, GLOW_REACH)


def _smooth_step(luminance: Floats) -> Floats:
    t: Floats = np.clip((luminance - np.float32(GLOW_LOW)) / np.float32(GLOW_HIGH - GLOW_LOW), 0, 1)
    return t * t * (3 - 2 * t)


def grained(light: Floats, grain: float, time: float) -> Floats:
    """Return light [H, W, 3] with grain of 0 to 1 at a time in s: grey noise, as strong to the eye in the dark."""
    height, width, _ = light.shape
    noise = grain_noise(height, width, int(time * GRAIN_RATE) % GRAIN_PERIOD)
    root: Floats = np.maximum(np.sqrt(light) + np.float32(GRAIN_DEPTH * grain) * noise[..., None], 0)
    return root * root


def grain_noise(height: int, width: int, moment: int) -> Floats:
    """Return noise [height, width] of -1 to 1, of a triangular distribution; rows are counted from the bottom."""
    rows = _hash(np.arange(height, dtype=np.uint32)[::-1] + _hash(np.array([moment], np.uint32)))
    both = _hash(np.arange(width, dtype=np.uint32) + rows[:, None])
    return ((both & 0xFFFF) + (both >> 16)).astype(np.float32) / np.float32(65535) - 1


def _hash(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    first, second = (np.uint32(factor) for factor in HASH_FACTORS)
    x = (x ^ (x >> np.uint32(16))) * first
    x = (x ^ (x >> np.uint32(15))) * second
    return x ^ (x >> np.uint32(16))


def trailed(light: Floats, past: Floats | None, trails: float, passed: float) -> Floats:
    """Return light [H, W, 3] over what was shown `passed` seconds ago; what of it stays does not hang on the rate."""
    if past is None or trails == 0:
        return light
    longer: Floats = np.maximum(light, np.float32(trails ** (TRAIL_RATE * passed)) * past)
    return longer
