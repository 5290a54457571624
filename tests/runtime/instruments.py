"""Ways to play an instrument or an engine that several tests share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.clock import Clock, ManualClock
from clavilux.runtime.frame import Frame
from clavilux.runtime.hearing.listener import HopGrid
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import open_instrument
from clavilux.runtime.models import Models
from clavilux.runtime.playing.engine import Engine

RATE = 16_000
DEADLINE = 30.0  # s, after which a test that waits has failed


class Player:
    """An instrument, with the parameters and the grid of hops that hold for its next frame."""

    def __init__(self, opened: Instrument, **parameters: float | str | bool) -> None:
        self.instrument = opened
        self.parameters = opened.defaults.merge(parameters, opened.ranges)
        self.grid: HopGrid | None = None

    def step(self, now: float) -> Frame:
        """Make the frame of time `now`."""
        return self.instrument.step(now, self.parameters, self.grid)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.instrument, name)


def unplayed(bundle: Path) -> Instrument:
    """Return an instrument that nothing has been played on."""
    return Instrument(*_loaded(bundle))


def painting_light(bundle: Path, strength: float = 1.0) -> Instrument:
    """Return an instrument that nothing has been played on, whose bundle paints light, too, by seeded rows."""
    opened, models = _loaded(bundle)
    rows = strength * np.random.default_rng(0).standard_normal((len(LIGHT_NUMBERS), opened.tokens.width))
    conditioning = replace(opened.conditioning, light=rows.astype(np.float32))
    return Instrument(replace(opened, light=True, conditioning=conditioning), models)


@cache
def _loaded(bundle: Path) -> tuple[Bundle, Models]:
    """Load a bundle's graphs once in a process: their sessions keep nothing from one run to the next."""
    opened = open_instrument(bundle, threads=1)
    return opened.bundle, opened.models


def instrument(bundle: Path, **parameters: float | str | bool) -> Player:
    """Return an instrument that nothing has been played on, with these parameters."""
    return Player(unplayed(bundle), **parameters)


def stopped(bundle: Path, clock: Clock | None = None) -> Engine:
    """Return an engine that has not been started yet."""
    return Engine(unplayed(bundle), clock=clock)


def pixels(frames: list[Frame]) -> np.ndarray:
    """Return all pictures, uint8 [frames, H, W, 3]."""
    return np.stack([frame.pixels for frame in frames])


class Conductor:
    """Moves an engine's clock and takes exactly one frame at each time."""

    def __init__(self, engine: Engine, clock: ManualClock) -> None:
        self.engine = engine
        self.frames: list[Frame] = []
        self._clock = clock
        self._made = threading.Semaphore(0)
        engine.subscribe(self._take)

    def step(self, now: float) -> Frame:
        """Return the frame of time `now`; the first one is that of time 0, whatever `now` is."""
        self._clock.set(now)
        assert self._made.acquire(timeout=DEADLINE), f"no frame at {now}: {self.engine.failure}"
        return self.frames[-1]

    def _take(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._made.release()


@contextmanager
def conducted(bundle: Path, frame_rate: float) -> Iterator[Conductor]:
    """Run an engine whose every frame the test asks for, at most `frame_rate` a second."""
    clock = ManualClock()
    engine = stopped(bundle, clock)
    # A hair faster than asked, so that a rounding error never makes a frame late for its own time.
    engine.set({"frame_rate": frame_rate * 1.001})
    conductor = Conductor(engine, clock)
    with engine:
        conductor.step(0.0)
        yield conductor
