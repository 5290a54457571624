"""Caustic sheets of the light: waves, colours and weights of each sheet, as `light.py` and `light.js` draw them.

A sheet of rays leaves a soft source; slow mirrors displace it by a few plane waves; where it folds, rays pile up and
there is light (M. Berry and C. Upstill, "Catastrophe optics", 1980), as in Thomas Wilfred's lumia. The random constants
come from an integer hash, so that Python and JavaScript show the same light.
"""

from dataclasses import dataclass
from functools import cache
from math import cos, exp, floor, pi, sin

from clavilux.runtime.output.light_state import MAX_SHEETS, LightSettings

FOLDS, SHADES, EDDIES = 5, 3, 7  # waves that fold a sheet (each way), colour it, and make it turbulent (each way)
PATTERN = 29  # another number is another light
COARSE, FINE = 0.34, 1.15  # cycles over a half sheet, of the folds
FOLD_COARSE, FOLD_FINE = 0.62, 0.40  # how far they displace, half heights
EDDY_SCALE, EDDY_FOLD, EDDY_SPEED = 4.6, 0.085, 2.2
SHADE_SCALE = 0.45
SOURCE_VARIANCE = 0.2  # of the soft source, half sheets squared
SPREAD = ((0.0, 0.0), (-0.5, 0.12), (0.52, -0.08), (0.06, 0.16))  # where each sheet stands, half heights
TURNS = (0.0, 0.085, -0.075, 0.4)  # hue of each sheet beside the first, turns
SHADE_TURN = 0.12  # hue from one side of a sheet to the other, turns
SMALL, LARGE = 0.42, 1.12  # figure, of the smallest and the largest extent
BREATH_EXTENT, BREATH_LIGHT, PUSH_LIGHT = 0.03, 0.03, 0.06
ARM = 0.3  # half heights that a symmetrical figure leaves its middle
FAINT, FULL = 0.035, 1.5  # light of a sheet, of the least and the most
RISE = 0.55  # half heights from the middle to where the lowest and highest notes stand

# Linear light of the twelve pitch classes from C, like gels before a lamp; between them it is mixed.
RING = (
    (1.00, 0.10, 0.05),
    (1.00, 0.24, 0.03),
    (1.00, 0.42, 0.04),
    (0.86, 0.62, 0.06),
    (0.42, 0.74, 0.10),
    (0.10, 0.74, 0.24),
    (0.03, 0.70, 0.52),
    (0.03, 0.52, 0.88),
    (0.08, 0.28, 1.00),
    (0.26, 0.14, 1.00),
    (0.58, 0.09, 0.92),
    (0.92, 0.07, 0.42),
)

Wave = tuple[float, float, float, float]  # radians per half sheet along u and v, phase in radians, amplitude
Colour = tuple[float, float, float]  # linear light


@dataclass(frozen=True)
class Sheet:
    """One sheet, ready to be folded."""

    across: tuple[Wave, ...]  # waves that displace to the right, half heights
    up: tuple[Wave, ...]  # waves that displace upwards
    shade: tuple[Wave, ...]  # waves between its two colours
    middle: tuple[float, float]  # where its unmoved middle ray meets the wall, half heights
    stretch: tuple[float, float]  # half heights that its unfolded half is wide and high
    colours: tuple[Colour, Colour]
    light: float  # factor


def sheets(settings: LightSettings) -> tuple[Sheet, ...]:
    """Return the sheets of the settings that are lit at all."""
    return tuple(_sheet(settings, number) for number in range(MAX_SHEETS) if _presence(settings.sheets, number) > 0)


def colour(hue: float) -> Colour:
    """Return the linear light of a hue in turns, between its neighbours on the ring."""
    at = (hue - floor(hue)) * len(RING)
    first, part = int(at) % len(RING), at - floor(at)
    one, other = RING[first], RING[(first + 1) % len(RING)]
    return (
        one[0] + part * (other[0] - one[0]),
        one[1] + part * (other[1] - one[1]),
        one[2] + part * (other[2] - one[2]),
    )


def dice(number: int) -> float:
    """Return the draw of this number, 0 to below 1: C. Wellons' lowbias32 hash of 32 bits."""
    value = (number * 0x9E3779B9) & 0xFFFFFFFF
    value = ((value ^ (value >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    value = ((value ^ (value >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return float((value ^ (value >> 16)) / 2**32)


@cache
def _draws(sheet: int, part: int, count: int) -> tuple[tuple[float, float, float, float], ...]:
    """Return angle, relative scale, phase and speed of `count` waves of a part of a sheet."""
    first = 1 + 4096 * PATTERN + 512 * sheet + 64 * part
    return tuple(
        (
            2 * pi * dice(first + 4 * wave),
            0.5 + dice(first + 4 * wave + 1),
            2 * pi * dice(first + 4 * wave + 2),
            2 * dice(first + 4 * wave + 3) - 1,
        )
        for wave in range(count)
    )


def _presence(sheets: float, number: int) -> float:
    part = min(max(sheets - number, 0.0), 1.0)
    return part * part * (3 - 2 * part)


def _waves(draws: tuple[Wave, ...], scale: float, size: float, time: float) -> tuple[Wave, ...]:
    return tuple(
        (
            2 * pi * scale * relative * cos(angle),
            2 * pi * scale * relative * sin(angle),
            (phase + speed * time) % (2 * pi),
            size / relative,
        )
        for angle, relative, phase, speed in draws
    )


def _mean(waves: tuple[Wave, ...]) -> float:
    """Return how far these waves move a soft source as a whole."""
    return sum(
        size * sin(phase) * exp(-SOURCE_VARIANCE * (along * along + up * up) / 2) for along, up, phase, size in waves
    )


def _sheet(settings: LightSettings, number: int) -> Sheet:
    fine = settings.fineness
    scale = COARSE + (FINE - COARSE) * fine
    fold = FOLD_COARSE + (FOLD_FINE - FOLD_COARSE) * fine
    fold *= 0.8 + 0.4 * dice(1 + 4096 * PATTERN + 512 * number + 511)
    grown = SMALL + (LARGE - SMALL) * settings.extent
    grown *= 1 + BREATH_EXTENT * settings.breath
    eddy = EDDY_FOLD * settings.turbulence
    across, up = (
        _waves(_draws(number, part, FOLDS), scale, fold * grown, settings.time)
        + _waves(_draws(number, part + 1, EDDIES), EDDY_SCALE, eddy * grown, EDDY_SPEED * settings.time)
        for part in (0, 2)
    )
    x, y = SPREAD[number]
    hue = settings.hue + TURNS[number]
    glow = FAINT + (FULL - FAINT) * settings.light * settings.light
    glow *= 1 + BREATH_LIGHT * settings.breath * settings.light + PUSH_LIGHT * min(settings.ripple[1], 1.0)
    return Sheet(
        across=across,
        up=up,
        shade=_waves(_draws(number, 4, SHADES), SHADE_SCALE, 1 / SHADES, settings.time),
        middle=(x * grown + ARM * settings.symmetry - _mean(across), y * grown - _mean(up)),
        stretch=(0.42 * grown, 0.3 * grown),
        colours=(colour(hue - SHADE_TURN), colour(hue + SHADE_TURN)),
        light=glow * _presence(settings.sheets, number),
    )


def rise(settings: LightSettings) -> float:
    """Return where the middle of the light stands, half heights above the middle of the wall."""
    return RISE * (2 * settings.place - 1)
