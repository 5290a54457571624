"""Times become figures: percentiles in milliseconds, and a warm-up that ends when the times stand still.

Every benchmark here measures with `warm_up` first, and tells a `Summary`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clavilux.runtime.clock import Timer

MS = 1000.0  # per second
WINDOW = 5  # runs whose median is compared with that of as many before them
STABLE = 0.1  # of a median: less change than this is standing still


@dataclass(frozen=True)
class Summary:
    """Percentiles of a series of times, milliseconds."""

    count: int
    p50: float
    p95: float
    p99: float
    mean: float

    @property
    def jitter(self) -> float:
        """How far the slow ones lie from the usual one: p95 - p50."""
        return round(self.p95 - self.p50, 3)


@dataclass(frozen=True)
class WarmUp:
    """How a warm-up went."""

    runs: int
    seconds: float
    stable: bool  # False: time was up first


def summary(seconds: Sequence[float]) -> Summary:
    """Return the percentiles of `seconds`, interpolated linearly; all zero when there are none."""
    if not len(seconds):
        return Summary(0, 0.0, 0.0, 0.0, 0.0)
    times = np.asarray(seconds, np.float64) * MS
    p50, p95, p99 = (round(float(value), 3) for value in np.percentile(times, (50, 95, 99)))
    return Summary(len(times), p50, p95, p99, round(float(times.mean()), 3))


def warm_up(run: Callable[[], object], max_seconds: float, clock: Timer = time.perf_counter) -> WarmUp:
    """Call `run` until the median of WINDOW times differs by less than STABLE from that of the WINDOW before.

    It runs once in any case, and ends after `max_seconds` even where the times still move.
    """
    times: list[float] = []
    began = clock()
    while True:
        since = clock()
        run()
        now = clock()
        times.append(now - since)
        if _stands_still(times):
            return WarmUp(len(times), now - began, stable=True)
        if now - began >= max_seconds:
            return WarmUp(len(times), now - began, stable=False)


def _stands_still(times: Sequence[float]) -> bool:
    if len(times) < 2 * WINDOW:
        return False
    before, after = (float(np.median(part)) for part in (times[-2 * WINDOW : -WINDOW], times[-WINDOW:]))
    return abs(after - before) < STABLE * before
