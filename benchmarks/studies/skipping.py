"""Costs of playing, of being silent and of being alone: processor time, pictures, and energy where the machine tells.

A real engine on the machine's clock is fed in real time. In silence with still noise no picture is painted, since each
would be the same; walking noise defeats that with the same silence and the same graphs. A stage that nobody watches
paints a few pictures a second. Part of `clavilux.benchmarks.studies.levers`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.energy import read_counters, spent
from clavilux.benchmarks.measurements.in_process import LOUDNESS
from clavilux.runtime.frame import Frame
from clavilux.runtime.playing.engine import Engine
from clavilux.runtime.pulse import SILENCE_DB
from clavilux.runtime.sound.format import SAMPLE_RATE

BLOCK = 0.05  # s of sound that is given at once
SETTLED_SECONDS = 1.0  # of a state's sound that the engine takes before it is measured: longer than any pause is held
SETTLED_FRAMES = 3  # and pictures after that
PATIENCE = 60.0  # s, for an engine to settle


@dataclass(frozen=True)
class State:
    """One way to play."""

    sounds: bool
    noise: str  # parameter
    audience: int = 1


STATES = {
    "playing": State(sounds=True, noise="walk"),
    "playing, nobody watches": State(sounds=True, noise="walk", audience=0),
    "silence, walking noise": State(sounds=False, noise="walk"),
    "silence, still noise": State(sounds=False, noise="fixed"),
}
PLAYING, UNWATCHED, DEFEATED, SKIPPING = STATES


@dataclass(frozen=True)
class Spent:
    """Costs of one state, each per second."""

    processor: float  # seconds of all cores, by this process
    frames: float  # pictures given out
    painted: float  # of them, those that the graphs were run for
    watts: float | None  # as `energy` counts, with all that runs beside; None: the machine does not tell


class Player:
    """Puts an engine into states, and takes stock."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        """`engine` runs; each state is measured for `seconds`."""
        self._engine = engine
        self._seconds = seconds
        self._random = np.random.default_rng(0)
        self._frames = self._painted = 0
        self._level = SILENCE_DB
        engine.subscribe(self._take)

    def play(self, state: State) -> Spent:
        """Settle in this state, then measure it. Raises BenchError when the engine does not get there."""
        # Without drift and hold the silence is still at once; by default it takes some twenty seconds.
        self._engine.set({"noise": state.noise, "feedback": 0.0, "drift": 0.0, "hold": 0.0})
        self._engine.watch(state.audience)
        self._settle(state)
        counters, frames, painted = read_counters(), self._frames, self._painted
        worked, since = time.process_time(), time.perf_counter()
        self._feed(state, lambda: time.perf_counter() - since < self._seconds)
        took = time.perf_counter() - since
        joules = spent(counters, read_counters())
        return Spent(
            processor=(time.process_time() - worked) / took,
            frames=(self._frames - frames) / took,
            painted=(self._painted - painted) / took,
            watts=sum(joules.values()) / took if joules else None,
        )

    def _settle(self, state: State) -> None:
        until = time.perf_counter() + PATIENCE

        def waits_for(reached: Callable[[], bool]) -> Callable[[], bool]:
            return lambda: self._is_in_time(until) and not reached()

        self._feed(state, waits_for(lambda: (self._level > SILENCE_DB) == state.sounds))
        heard = self._engine.counters().heard_seconds + SETTLED_SECONDS
        self._feed(state, waits_for(lambda: self._engine.counters().heard_seconds >= heard))
        frames = self._frames + SETTLED_FRAMES
        self._feed(state, waits_for(lambda: self._frames >= frames))

    def _is_in_time(self, until: float) -> bool:
        if self._engine.failure is not None:
            raise BenchError(f"the engine has stopped: {self._engine.failure}")
        if time.perf_counter() > until:
            raise BenchError(f"the engine does not keep up: nothing settled in {PATIENCE:.0f} s; take a faster bundle")
        return True

    def _feed(self, state: State, goes_on: Callable[[], bool]) -> None:
        """Give the engine blocks of sound in real time while `goes_on` says so."""
        due = time.perf_counter()
        while goes_on():
            self._engine.hear(self._block(state), SAMPLE_RATE)
            due += BLOCK
            time.sleep(max(0.0, due - time.perf_counter()))

    def _block(self, state: State) -> NDArray[np.float32]:
        samples = round(BLOCK * SAMPLE_RATE)
        if not state.sounds:
            return np.zeros(samples, np.float32)
        return self._random.normal(0, LOUDNESS, samples).astype(np.float32)

    def _take(self, frame: Frame) -> None:
        self._frames += 1
        self._painted += frame.stages["denoise"] > 0
        self._level = frame.level


def take_turns(engine: Engine, seconds: float, rounds: int) -> dict[str, list[Spent]]:
    """Return what each of STATES took, round by round; every second round goes backwards. Raises BenchError."""
    player = Player(engine, seconds)
    taken: dict[str, list[Spent]] = {name: [] for name in STATES}
    for played in range(rounds):
        for name in STATES if played % 2 == 0 else reversed(STATES):
            taken[name].append(player.play(STATES[name]))
    return taken


def middle(taken: Mapping[str, Sequence[Spent]]) -> dict[str, Spent]:
    """Return the medians of each state over its rounds."""
    return {name: _middle(many) for name, many in taken.items()}


def _middle(many: Sequence[Spent]) -> Spent:
    processor, frames, painted = np.median([(one.processor, one.frames, one.painted) for one in many], axis=0)
    watts = [one.watts for one in many if one.watts is not None]
    return Spent(float(processor), float(frames), float(painted), float(np.median(watts)) if watts else None)
