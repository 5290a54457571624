"""Watchdog: how long an engine may be silent, which follows what its frames take; and how often it may begin again.

Pure: whoever calls says how much time has passed. Time is taken in steps of `MAX_STEP` at most, so that a process that
was stopped itself, or a clock that jumps, makes nobody look dead.
"""

from collections import deque
from dataclasses import dataclass

REMEMBERED = 64  # frames whose slowest one the bound follows
FEW = 3  # frames after a beginning or a change, until which `patience` holds
MAX_STEP = 0.5  # s


@dataclass(frozen=True)
class Bounds:
    """Bounds of silence, in seconds, and of restarts."""

    loading: float = 1800.0  # until the models are loaded: engines of TensorRT are built in minutes
    patience: float = 120.0  # for the first frames, and the first ones of another size or number of steps
    least: float = 2.0  # for all others, or
    factor: float = 5.0  # so many times the slowest of the last frames, whichever is longer
    failures: int = 3  # of which the last one is final, if they come
    within: float = 60.0  # s

    @property
    def rest(self) -> float:
        """How long to leave be what ended a worker, s: as often as that it may be tried without an end for good."""
        return self.within / max(1, self.failures - 1) + 1.0


class Watchdog:
    """Silence of one engine."""

    def __init__(self, bounds: Bounds) -> None:
        self.silence = 0.0  # s since the last frame
        self._bounds = bounds
        self._costs: deque[float] = deque(maxlen=REMEMBERED)
        self._frames = 0  # since the last beginning or change

    def change(self) -> None:
        """Be patient with the next frames: they will be others than those before."""
        self._frames = 0
        self.silence = 0.0

    def frame(self, cost: float, *, counts: bool = True) -> None:
        """Take a frame that took `cost` seconds from its beginning to its arrival.

        One that does not count tells nothing of how long those take that are waited for since the last change.
        """
        self.silence = 0.0
        if not counts:
            return
        self._frames += 1
        if self._frames > 1:  # the first one of its kind warms up
            self._costs.append(max(0.0, cost))

    def bound(self, pause: float) -> float:
        """Return how long silence may last, s, where `pause` seconds are left between frames on purpose."""
        bounds = self._bounds
        if self._frames < FEW:
            return bounds.patience + pause
        return max(bounds.least, bounds.factor * max(self._costs)) + pause

    def tick(self, seconds: float, pause: float) -> bool:
        """Let `seconds` pass; return whether the silence has become too long."""
        self.silence += min(max(0.0, seconds), MAX_STEP)
        return self.silence > self.bound(pause)


class RestartBudget:
    """Failures that are forgiven."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._failures: deque[float] = deque(maxlen=bounds.failures)

    def forgives(self, now: float) -> bool:
        """Take a failure at `now` seconds; return whether it is followed by another try."""
        self._failures.append(now)
        full = len(self._failures) == self._bounds.failures
        return not (full and now - self._failures[0] <= self._bounds.within)
