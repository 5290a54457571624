"""How evenly pictures come: the intervals between them, their jitter, and those that came too late.

Unevenness disturbs players more than a constant delay of the same size, so it has figures of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from clavilux.benchmarks.measurements.percentiles import Summary, summary

LATE = 1.5  # intervals of the usual length, after which a picture has been missed


@dataclass(frozen=True)
class Pacing:
    """The rhythm of one run."""

    frames_per_second: float
    intervals: Summary
    jitter_ms: float  # p95 - p50 of the intervals
    late: float  # share of intervals longer than LATE times the median


def pacing(arrivals: Sequence[float]) -> Pacing:
    """Return the rhythm of pictures that were shown at these times, in seconds, rising."""
    intervals = [after - before for before, after in pairwise(arrivals)]
    told = summary(intervals)
    if not intervals or arrivals[-1] <= arrivals[0]:
        return Pacing(0.0, told, 0.0, 0.0)
    late = sum(1000 * one > LATE * told.p50 for one in intervals) / len(intervals)
    return Pacing(round(len(intervals) / (arrivals[-1] - arrivals[0]), 2), told, told.jitter, round(late, 4))
