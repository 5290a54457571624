"""Geometry of a picture on a screen: where each pixel of the screen lies in the picture, and where its ground begins.

Places are in heights of the picture from its middle, y upwards. `server/page/screen/effects.js` is the twin.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.output.ground import PLANE
from clavilux.runtime.output.resampling import Floats, sample
from clavilux.runtime.output.size import Plate

FEATHER = 0.07  # heights over which a picture melts into its ground
NO_FEATHER = 1e-5
RING = 0.8  # heights from the middle of a kaleidoscope at which it turns back
SLIDE = 0.3  # heights that its mirrors stand below the picture's middle, where they are many
RIPPLES = (0.23, -0.31, -0.19, 0.37)  # turns a second of the four waves
TAU = 2 * np.pi


@dataclass(frozen=True)
class Placing:
    """How the plane of the picture lies on a screen."""

    height: int  # pixels of the screen
    width: int
    aspect: float  # width / height of the picture
    rows: float  # height of the picture, in pixels of the screen
    feather: tuple[float, float]  # heights over which it melts away, to the sides and up and down


def place_picture(height: int, width: int, aspect: float, values: Mapping[str, float], *, cover: bool) -> Placing:
    """Return where a picture of `aspect` lies: all of it on the screen, or, to `cover` the screen, cropped.

    It melts away as far as the screen reaches over it, up to FEATHER: a picture that just fills it keeps its edges.
    """
    rows = (max if cover else min)(float(height), width / aspect)
    wide, tall = width / rows, height / rows
    if values["mirror"]:
        wide = tall = float(np.hypot(wide, tall))
    angle = np.deg2rad(values["rotation"])
    cosine, sine = abs(np.cos(angle)) / values["zoom"], abs(np.sin(angle)) / values["zoom"]
    over = (cosine * wide + sine * tall - aspect, sine * wide + cosine * tall - 1)
    across, up = (float(min(max(more / 2 + values["displacement"], NO_FEATHER), FEATHER)) for more in over)
    return Placing(height, width, aspect, rows, (across, up))


def draw_plate(plate: Plate, placing: Placing, values: Mapping[str, float], time: float) -> Floats:
    """Return what is seen of a plate through geometry, in linear light [H, W, 3], at a time in seconds."""
    x, y = screen_places(placing)
    x, y = move_places(x, y, values, time)
    inside_x = _smooth_step(np.float32(placing.aspect / 2) - np.abs(x), placing.feather[0])
    inside_y = _smooth_step(np.float32(0.5) - np.abs(y), placing.feather[1])
    mask = inside_x * inside_y
    x = x / np.float32(placing.aspect)
    x, y, mask = (np.broadcast_to(each, (placing.height, placing.width)) for each in (x, y, mask))
    light = np.empty((placing.height, placing.width, 3), np.float32)
    whole, none = mask >= 1, mask <= 0
    between = ~(whole | none)
    _fill(light, whole, plate.picture, (x, y), 1)
    _fill(light, none, plate.ground, (x, y), PLANE)
    if between.any():
        part = mask[between][:, None]
        ground = _look(plate.ground, x[between], y[between], PLANE)
        light[between] = ground + part * (_look(plate.picture, x[between], y[between], 1) - ground)
    return light


def _fill(light: Floats, where: NDArray[np.bool_], image: Floats, places: tuple[Floats, Floats], sides: int) -> None:
    if where.any():
        light[where] = _look(image, places[0][where], places[1][where], sides)


def _look(image: Floats, x: Floats, y: Floats, sides: int) -> Floats:
    return sample(image, x / np.float32(sides) + np.float32(0.5), np.float32(0.5) - y / np.float32(sides))


def screen_places(placing: Placing) -> tuple[Floats, Floats]:
    """Return the places of the screen's columns [1, W] and rows [H, 1]."""
    x = (np.arange(placing.width) + 0.5 - placing.width / 2) / placing.rows
    y = (placing.height / 2 - (np.arange(placing.height) + 0.5)) / placing.rows
    return x.astype(np.float32)[None, :], y.astype(np.float32)[:, None]


def move_places(x: Floats, y: Floats, values: Mapping[str, float], time: float) -> tuple[Floats, Floats]:
    """Return the places in the picture that are seen at places of the screen: folded, turned, scaled, rippled."""
    if values["mirror"]:
        x, y = _folded(x, y, np.float32(values["mirror"]))
    angle = np.deg2rad(values["rotation"])
    cosine, sine = np.float32(np.cos(angle) / values["zoom"]), np.float32(np.sin(angle) / values["zoom"])
    if sine:
        x, y = cosine * x + sine * y, cosine * y - sine * x
    else:
        x, y = cosine * x, cosine * y
    return _rippled(x, y, np.float32(values["displacement"]), time) if values["displacement"] else (x, y)


def _folded(x: Floats, y: Floats, mirrors: np.float32) -> tuple[Floats, Floats]:
    sector = np.float32(TAU / 2) / mirrors
    angle = np.mod(np.arctan2(x, y), 2 * sector)
    angle = sector - np.abs(angle - sector)
    length = np.hypot(x, y)
    if mirrors < 2:
        return length * np.sin(angle), length * np.cos(angle)
    ring = np.float32(RING)
    length = ring - np.abs(np.mod(length, 2 * ring) - ring)
    return length * np.sin(angle), length * np.cos(angle) - np.float32(SLIDE) * (1 - 1 / mirrors)


def _rippled(x: Floats, y: Floats, size: np.float32, time: float) -> tuple[Floats, Floats]:
    first, second, third, fourth = (np.float32(np.fmod(speed * time, 1.0)) for speed in RIPPLES)
    turn = np.float32(TAU)
    across = 0.6 * np.sin(turn * (1.3 * y + first)) + 0.4 * np.sin(turn * (2.9 * y - 1.1 * x + second))
    up = 0.6 * np.sin(turn * (1.1 * x + third)) + 0.4 * np.sin(turn * (2.3 * x + 1.7 * y + fourth))
    return x + size * across, y + size * up


def _smooth_step(value: Floats, width: float) -> Floats:
    t: Floats = np.clip(value / np.float32(width), 0, 1)
    return t * t * (3 - 2 * t)
