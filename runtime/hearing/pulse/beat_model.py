"""Hidden Markov model of the beat: how probable each period and each place in it is, after every 10 ms.

The bar pointer model (Whiteley, Cemgil and Godsill, ISMIR 2006) in the efficient state space of Krebs, Böck and Widmer
(ISMIR 2015), for one beat instead of a bar and filtered forwards alone: it knows the past and nothing after it. States
are readings within a period; each moves on by one, and at its end may begin a slightly other period. A small share of
the probability starts anew everywhere, so that a jump of the tempo is found again.
"""

import numpy as np

from clavilux.runtime.hearing.pulse.spectrum import Floats
from clavilux.runtime.pulse import PULSE_RATE

FASTEST, SLOWEST = 215.0, 55.0  # beats per minute
PERIODS = np.arange(round(60 * PULSE_RATE / FASTEST), round(60 * PULSE_RATE / SLOWEST) + 1)  # readings
USUAL = 60 * PULSE_RATE / 115.0  # readings, the period that is expected most
SPREAD = 0.55  # octaves, deviation of the log-normal prior round it (Ellis 2007)
STEADY = 90.0  # how firmly a period is kept: probability falls by e when it changes by one part in so many
# Places in a beat where notes begin, as parts of it, and how probable that is: measured on the songs of the study.
PLACES = ((0.0, 0.85), (0.5, 0.45), (0.75, 0.25), (0.25, 0.10), (0.667, 0.12), (0.333, 0.06))
ELSEWHERE = 0.03
ZONE = 3.0  # readings that a place takes, at least
ZONE_PART = 1 / 24  # of a period that it takes, at least
ANEW = 3e-5  # of the probability, each reading
FIRST = np.concatenate([[0], np.cumsum(PERIODS)[:-1]])  # state at the beginning of each period
LAST = FIRST + PERIODS - 1
STATES = int(PERIODS.sum())
PHASES: Floats = np.concatenate([np.arange(period) / period for period in PERIODS])
PERIOD_OF: Floats = np.repeat(PERIODS, PERIODS).astype(np.float64)


def _zones() -> Floats:
    zones = np.full(STATES, len(PLACES))
    reach = np.maximum(ZONE, ZONE_PART * PERIOD_OF) / 2 / PERIOD_OF
    for number in reversed(range(len(PLACES))):
        away = PHASES - PLACES[number][0]
        away -= np.floor(away + 0.5)
        zones[np.abs(away) < reach] = number
    return zones


ZONE_OF = _zones()
EXPECTED: Floats = np.array([*(one for _, one in PLACES), ELSEWHERE])


def _prior() -> Floats:
    octaves = np.log2(PERIODS / USUAL) / SPREAD
    each = np.exp(-0.5 * octaves**2) / PERIODS
    prior = np.repeat(each, PERIODS)
    return prior / prior.sum()


def _changes() -> Floats:
    """Return the probability of each period [to, from]."""
    ratio = PERIODS[:, None] / PERIODS[None, :]
    changes = np.exp(-STEADY * np.abs(ratio - 1))
    return changes / changes.sum(axis=0)


PRIOR: Floats = _prior()
CHANGES: Floats = _changes()


class BeatModel:
    """State: the probability of each state, [STATES]."""

    def __init__(self) -> None:
        self.probability = PRIOR.copy()

    def move(self, steady: bool) -> None:
        """Let 10 ms pass; periods stay exactly as they are when `steady`."""
        lasts = self.probability[LAST]
        moved = np.empty(STATES)
        moved[1:] = self.probability[:-1]
        moved[FIRST] = lasts if steady else CHANGES @ lasts
        self.probability = moved

    def observe(self, beat: float) -> None:
        """Take how much likelier the sound is with a note than without one; 1 says nothing."""
        self.probability *= (1 + EXPECTED * (beat - 1))[ZONE_OF]
        self.probability *= (1 - ANEW) / self.probability.sum()
        self.probability += ANEW * PRIOR

    def forget(self) -> None:
        """Know nothing again."""
        self.probability = PRIOR.copy()

    def likeliest(self) -> tuple[float, float]:
        """Return the period in readings and the phase, 0 to 1, round the most probable state."""
        best = int(np.argmax(self.probability))
        row = int(np.searchsorted(FIRST, best, side="right")) - 1
        return float(PERIODS[row]), float(PHASES[best])

    def mass(self, period: float, phase: float) -> tuple[float, float, float]:
        """Return the probability within reach of a period and a phase, and the mean of both there."""
        low = int(np.searchsorted(PERIODS, period * (1 - REACH_PERIOD)))
        high = int(np.searchsorted(PERIODS, period * (1 + REACH_PERIOD), side="right"))
        if high <= low:
            return 0.0, period, phase
        states = slice(int(FIRST[low]), int(LAST[high - 1]) + 1)
        away = PHASES[states] - phase
        away -= np.floor(away + 0.5)
        near = self.probability[states] * (np.abs(away) < REACH_PHASE)
        total = float(near.sum())
        if total < 1e-9:
            return 0.0, period, phase
        return total, float(near @ PERIOD_OF[states]) / total, phase + float(near @ away) / total


REACH_PERIOD = 0.06
REACH_PHASE = 0.12
