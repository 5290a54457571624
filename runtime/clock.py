"""Time behind one interface, so that the same sound and the same clock give the same frames."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

Timer = Callable[[], float]
"""Seconds that never go backwards, and no way to wait: `time.perf_counter`."""


class Clock(Protocol):
    """Seconds that never go backwards, and a way to wait for them."""

    def now(self) -> float:
        """Return the time in seconds; its zero is arbitrary."""

    def wait_until(self, when: float, wake: threading.Event) -> None:
        """Return at `when`, or as soon as `wake` is set."""


class MonotonicClock:
    """The machine's monotonic clock, the one live playing runs on."""

    def now(self) -> float:
        """Return `time.monotonic()`, in seconds."""
        return time.monotonic()

    def wait_until(self, when: float, wake: threading.Event) -> None:
        """Sleep until `when`, or until `wake` is set."""
        delay = when - time.monotonic()
        if delay > 0:
            wake.wait(delay)


class ManualClock:
    """A clock that stands still until told: for offline rendering and for tests."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._moved = threading.Condition()

    def now(self) -> float:
        """Return the time that was last set, in seconds."""
        with self._moved:
            return self._now

    def set(self, now: float) -> None:
        """Move to `now` seconds and release whoever waits for it."""
        with self._moved:
            self._now = now
            self._moved.notify_all()

    def wait_until(self, when: float, wake: threading.Event) -> None:
        """Wait until `set` has reached `when`, or `wake` is set."""
        with self._moved:
            while self._now < when and not wake.is_set():
                self._moved.wait(0.01)


class Stopwatch:
    """Seconds of work per stage."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Book the time since the last lap on `stage`."""
        now = time.perf_counter()
        self.stages[stage] = now - self._since
        self._since = now
