"""Contenders take turns, A B C A B C ..., so that what slows the machine slows them all; then their ratios.

Only ratios are told, each with a 95 % interval by bootstrap over whole rounds (Efron 1979: resample, take the ratio of
medians, read the percentiles): what one round had in common stays together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
COVERED = (2.5, 97.5)  # percent
SEED = 0


@dataclass(frozen=True)
class Ratio:
    """How many times as long one contender takes as another, and where that lies with 95 % confidence."""

    value: float  # of the medians
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f}-{self.high:.2f})"


def alternate(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return what each run returned, round by round; every second one goes backwards, so nobody is always first."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    for played in range(rounds):
        for name in order if played % 2 == 0 else reversed(order):
            taken[name].append(runs[name]())
    return taken


def ratio(times: Sequence[float], reference: Sequence[float]) -> Ratio:
    """Return the ratio of medians, `times` over `reference`; both came from the same rounds, in the same order."""
    above, below = np.asarray(times, np.float64), np.asarray(reference, np.float64)
    if len(above) != len(below) or not len(above):
        raise ValueError(f"{len(above)} and {len(below)} times; expected as many of one as of the other, and some")
    rounds = np.random.default_rng(SEED).integers(len(above), size=(RESAMPLES, len(above)))
    low, high = np.percentile(_medians(above[rounds], below[rounds]), COVERED)
    return Ratio(*(float(f"{value:.4g}") for value in (np.median(above) / np.median(below), low, high)))


def _medians(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    ratios: NDArray[np.float64] = np.median(above, axis=1) / np.median(below, axis=1)
    return ratios
