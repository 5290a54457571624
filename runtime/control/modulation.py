"""Modulation: routes move parameters by what is heard now, by the beat and by two slow waves.

A pure state machine. `feel` takes every reading of the pulse, a hundred a second, so that no onset is missed between
two pictures; `move` gives the parameters of one picture, or of one refresh of the screen. What is tied to the beat is
moved as it will be when it is seen: `ahead` seconds later. The page's `modulation.js` does the same with the same
numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from clavilux.runtime.control.parameters import RANGES, Parameters, Range
from clavilux.runtime.control.routes import ROUTE_COUNT, Route, parse_route
from clavilux.runtime.pulse import PULSE_RATE, Pulse

READING_SECONDS = 1 / PULSE_RATE
ROUTES = tuple(f"route_{number}" for number in range(1, ROUTE_COUNT + 1))
TIMED = ("beat", "beat_phase", "known", "lfo_1", "lfo_2")  # sources that are asked for when a picture is made
CERTAIN = (0.2, 0.5)  # confidence of the beat below which it moves nothing, and from which it moves all
QUIET = 0.5  # s without a reading, after which nothing sounds: a source that was pulled out sends no silence
LEAST = 1e-4  # of an envelope; nearer than this it has come to rest, and what it moved stands still
MAX_PAUSE = 1.0  # s; a longer one between two pictures moves envelopes and waves as far as this one


@dataclass(frozen=True)
class Beat:
    """The beat as the newest reading had it, and when that was."""

    at: float = 0.0  # s of the clock of `move`
    phase: float = 0.0
    tempo: float = 0.0  # beats per minute, 0 for none
    confidence: float = 0.0

    def seen(self, when: float) -> float:
        """Return beats since the last whole one at `when` seconds, 0 to 1."""
        return (self.phase + (when - self.at) * self.tempo / 60) % 1.0

    @property
    def weight(self) -> float:
        """How much of it counts: nothing while it is a guess, all once it is certain."""
        low, high = CERTAIN
        return min(1.0, max(0.0, (self.confidence - low) / (high - low))) if self.tempo else 0.0


@lru_cache(maxsize=64)
def routes_of(lines: tuple[str, ...]) -> tuple[Route | None, ...]:
    """Return the routes of checked lines, each in its place."""
    return tuple(parse_route(line) for line in lines)


class Modulator:
    """Owns the envelopes of all routes, the two waves, and the newest beat."""

    def __init__(self) -> None:
        self.beat = Beat()
        self._levels = [0.0] * ROUTE_COUNT  # of the envelopes, one for each route
        self._waves = [0.0, 0.0]  # cycles passed
        self._beats = 0.0  # counted through the music, for waves that are tied to it
        self._now: float | None = None  # of the last `move`, s
        self._new = False  # whether a reading has come since then
        self._felt = -math.inf  # when one last had, s

    def feel(self, pulse: Pulse, parameters: Parameters, at: float) -> None:
        """Take a reading, told at `at` seconds of the clock of `move`; routes are those of `parameters`."""
        self.beat = Beat(at, pulse.beat_phase, pulse.tempo, pulse.beat_confidence)
        self._new = True
        for index, route in enumerate(_routes(parameters)):
            if route is not None and route.source not in TIMED:
                self._follow(index, route, getattr(pulse, route.source), READING_SECONDS)

    def move(
        self,
        parameters: Parameters,
        now: float,
        *,
        known: float = 0.0,
        ahead: float = 0.0,
        ranges: Mapping[str, Range] = RANGES,
    ) -> Parameters:
        """Return the parameters as the sound moves them at `now` seconds, each within its range.

        `known` is the similarity of what is heard as a thing, 0 to 1; `ahead` is how much later it will be seen, s.
        With `react` 0 they come back as they are.
        """
        elapsed = 0.0 if self._now is None else max(0.0, now - self._now)
        passed = min(MAX_PAUSE, elapsed)
        self._now = now
        if silent := self._silent(now):
            self.beat = Beat(self.beat.at)
        self._count(elapsed, now + ahead)
        self._advance(parameters, passed)
        sources = self._timed(parameters, known, now + ahead)
        changes: dict[str, float] = {}
        for index, route in enumerate(_routes(parameters)):
            if route is None or route.target not in ranges:
                continue
            if route.source in TIMED:
                self._follow(index, route, sources[route.source], passed)
            elif silent:
                self._follow(index, route, 0.0, passed)
            base = changes.get(route.target, getattr(parameters, route.target))
            changes[route.target] = base + parameters.react * route.amount * self._levels[index]
        if parameters.react == 0 or not changes:
            return parameters
        moved: dict[str, Any] = {name: _within(value, ranges[name]) for name, value in changes.items()}
        return replace(parameters, **moved)

    def _silent(self, now: float) -> bool:
        """Return whether no reading has come for a while, whatever the time that it is of."""
        if self._new:
            self._new, self._felt = False, now
        return now - self._felt > QUIET

    def _count(self, elapsed: float, seen: float) -> None:
        """Count the beats that passed: as many as the tempo has, and as the phase says, that may go back a little."""
        if self.beat.tempo:
            turned = self.beat.seen(seen) - self._beats % 1.0
            self._beats += turned + math.floor(elapsed * self.beat.tempo / 60 - turned + 0.5)

    def _advance(self, parameters: Parameters, passed: float) -> None:
        """Let the waves go on; those tied to the beat follow the beats that have passed."""
        for index, (rate, beats) in enumerate(
            ((parameters.lfo_1, parameters.lfo_1_beats), (parameters.lfo_2, parameters.lfo_2_beats))
        ):
            if beats > 0 and self.beat.tempo:
                self._waves[index] = self._beats / beats
            else:
                self._waves[index] += passed * rate

    def _timed(self, parameters: Parameters, known: float, seen: float) -> dict[str, float]:
        phase, weight = self.beat.seen(seen), self.beat.weight
        first, second = self._waves
        return {
            "beat": weight * (1 - phase),
            "beat_phase": weight * phase,
            "known": min(1.0, max(0.0, known)),
            "lfo_1": wave(parameters.lfo_1_shape, first),
            "lfo_2": wave(parameters.lfo_2_shape, second),
        }

    def _follow(self, index: int, route: Route, value: float, seconds: float) -> None:
        """Let an envelope follow `value` for so many seconds, fast or slow as its route says."""
        aim = math.copysign(abs(value) ** route.curve, value)
        constant = route.attack if abs(aim) > abs(self._levels[index]) else route.release
        share = 1.0 if constant == 0 else 1 - math.exp(-seconds / constant)
        level = self._levels[index] + share * (aim - self._levels[index])
        self._levels[index] = aim if abs(level - aim) < LEAST else level


def wave(shape: str, cycles: float) -> float:
    """Return a slow wave after so many cycles, -1 to 1; all but the ramp begin at 0 and rise."""
    phase = cycles % 1.0
    if shape == "sine":
        return math.sin(2 * math.pi * phase)
    if shape == "triangle":
        return 4 * abs((phase + 0.75) % 1.0 - 0.5) - 1
    return 2 * phase - 1 if shape == "ramp" else math.copysign(1.0, 0.5 - phase)


def _routes(parameters: Parameters) -> tuple[Route | None, ...]:
    return routes_of(tuple(getattr(parameters, name) for name in ROUTES))


def _within(value: float, spec: Range) -> float:
    return min(spec.high, max(spec.low, value))
