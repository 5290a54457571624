"""Routes: what of the sound moves which parameter, and how, as one line of text each.

    onset > exposure 0.8, attack 0, release 0.2, curve 1

reads: each onset lifts the exposure by up to 0.8 (in the parameter's own unit), at once, and lets go of it with a time
constant of 0.2 s. What is left out is 0 s, 0.1 s and 1. An empty line is no route.
"""

import re
from dataclasses import dataclass

from clavilux.runtime.refused_json import shown

SOURCES = (
    "level", "low", "mid", "high", "brightness", "noisiness", "harmonicity", "pitch_class", "pitch_height",
    "pitch_confidence", "onset", "density", "beat", "beat_phase", "known", "lfo_1", "lfo_2",
)  # fmt: skip
"""Sources of routes: numbers of a `Pulse` by their names; `beat` is 1 on the beat and falls to 0 towards the next one,
`known` the similarity of what is heard as a thing; the two waves go from -1 to 1, all others from 0 to 1."""

ROUTE_COUNT = 12
MAX_SECONDS = 30.0  # of attack and release
CURVES = 0.1, 10.0  # exponents
MAX_AMOUNT = 1000.0
MAX_LENGTH = 120  # characters of a line
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)  # as the page reads them too
SHAPE = re.compile(r"\s*(\w+)\s*>\s*(\w+)\s+([^\s,]+)\s*((?:,\s*\w+\s+[^\s,]+\s*)*)")


@dataclass(frozen=True)
class Route:
    """One route, read from its line."""

    source: str  # one of SOURCES
    target: str  # name of a parameter of kind "float"
    amount: float  # what is added where the source is 1, in the parameter's own unit
    attack: float = 0.0  # time constant of rising, s
    release: float = 0.1  # time constant of falling, s
    curve: float = 1.0  # exponent on the source: above 1 small values count less


def parse_route(line: str) -> Route | None:
    """Return the route of a line, None for an empty one. Raises ValueError: one line that says what was expected."""
    if not line.strip():
        return None
    found = SHAPE.fullmatch(line) if len(line) <= MAX_LENGTH else None
    if found is None:
        raise ValueError("expected a line like 'onset > exposure 0.8, attack 0, release 0.2, curve 1', or an empty one")
    source, target, amount, rest = found.groups()
    if source not in SOURCES:
        raise ValueError(f"there is no source {shown(source)}; expected one of {', '.join(SOURCES)}")
    numbers = {"amount": _number("amount", amount, -MAX_AMOUNT, MAX_AMOUNT)}
    for part in rest.split(",")[1:]:
        name, value = part.split()
        if name not in ("attack", "release", "curve") or name in numbers:
            raise ValueError(f"{shown(name)} is no part of a route, or came twice; expected attack, release or curve")
        low, high = CURVES if name == "curve" else (0.0, MAX_SECONDS)
        numbers[name] = _number(name, value, low, high)
    return Route(source, target, **numbers)


def _number(name: str, text: str, low: float, high: float) -> float:
    value = float(text) if NUMBER.fullmatch(text) else float("nan")
    if not low <= value <= high:
        raise ValueError(f"{name} is {shown(text)}; expected a number from {low:g} to {high:g}")
    return value
