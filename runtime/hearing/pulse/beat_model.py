"""Hidden Markov model of the beat: how probable each period and each place in it is, after every 10 ms.

The bar pointer model (Whiteley, Cemgil and Godsill, ISMIR 2006) in the efficient state space of Krebs, Böck and Widmer
(ISMIR 2015), for one beat instead of a bar and filtered forwards alone: it knows the past and nothing after it. States
are readings within a period; each moves on by one, and at its end may begin a slightly other period. A small share of
the probability starts anew everywhere, so that a jump of the tempo is found again. Notes are expected on the beat and,
less, on its parts: that tells a beat from an off-beat and a tempo from its double (as the rhythm patterns of Krebs,
Böck and Widmer, ISMIR 2013, with six places instead of learnt bars).
"""

from dataclasses import dataclass

import numpy as np

from clavilux.runtime.hearing.pulse.spectrum import Floats
from clavilux.runtime.pulse import PULSE_RATE

MAX_TEMPO, MIN_TEMPO = 215.0, 55.0  # beats per minute
PERIODS = np.arange(round(60 * PULSE_RATE / MAX_TEMPO), round(60 * PULSE_RATE / MIN_TEMPO) + 1)  # readings
USUAL = 60 * PULSE_RATE / 115.0  # readings, the period that is expected most
SPREAD = 0.3  # octaves, deviation of the log-normal prior round it (Ellis 2007)
PREFERENCE = 0.01  # how much less likely, in each reading, a tempo is an octave from the usual one: e to the minus that
STEADY = 90.0  # how firmly a period is kept: probability falls by e when it changes by one part in so many
ANEW = 1e-5  # of the probability, each reading

# Places in a beat where notes begin, as parts of it, and how probable that is: rounded from songs of the study.
PLACES = (0.0, 0.5, 0.75, 0.25, 2 / 3, 1 / 3)
NOTES = (0.85, 0.40, 0.20, 0.06, 0.10, 0.04)
ELSEWHERE = 0.03
ZONE = 4.0  # readings that a place takes
SLOW = (52.0, 80.0)  # readings; between beats so slow (115 to 75 a minute) strong notes are not expected

REACH_PERIOD = 0.06  # of a period, to either side: states that count as one beat
REACH_PHASE = 0.12
LEAST_MASS = 1e-9

TAP_PHASE = 0.06  # of a period, standard deviation of fingers
TAP_PERIOD = 0.03  # of a period
TAP_DOUBT = 1e-4

FIRST = np.concatenate([[0], np.cumsum(PERIODS)[:-1]])  # state at the beginning of each period
LAST = FIRST + PERIODS - 1
STATES = int(PERIODS.sum())
PERIOD_OF: Floats = np.repeat(PERIODS, PERIODS).astype(np.float64)
PHASE_OF: Floats = (np.arange(STATES) - np.repeat(FIRST, PERIODS)) / PERIOD_OF


def _prior() -> Floats:
    octaves = np.log2(PERIOD_OF / USUAL) / SPREAD
    each: Floats = np.exp(-0.5 * octaves**2) / PERIOD_OF
    return each / float(each.sum())


def _preferred() -> Floats:
    """Return the weight of each state: people beat time near the usual tempo (van Noorden and Moelants 1999)."""
    weight: Floats = np.exp(-PREFERENCE * np.log2(PERIOD_OF / USUAL) ** 2)
    return weight


def _changes() -> Floats:
    """Return the probability of each period [to, from]."""
    changes: Floats = np.exp(-STEADY * np.abs(PERIODS[:, None] / PERIODS[None, :] - 1))
    columns: Floats = changes.sum(axis=0)
    return np.asarray(changes / columns, np.float64)


def _zones() -> Floats:
    """Return how probable a note is in each state."""
    expected: Floats = np.full(STATES, ELSEWHERE)
    for place, notes in reversed(list(zip(PLACES, NOTES, strict=True))):
        expected[np.abs(_wrapped(PHASE_OF - place)) * PERIOD_OF < ZONE / 2] = notes
    return expected


def _unaccented() -> Floats:
    """Return how little a strong note is expected in each state: between slow beats, where it would be one itself."""
    between = np.abs(_wrapped(PHASE_OF)) * PERIOD_OF >= ZONE / 2
    slow: Floats = np.clip((PERIOD_OF - SLOW[0]) / (SLOW[1] - SLOW[0]), 0.0, 1.0)
    return EXPECTED * between * slow


def _wrapped(phase: Floats) -> Floats:
    """Return phases as -0.5 to 0.5."""
    wrapped: Floats = phase - np.floor(phase + 0.5)
    return wrapped


PRIOR: Floats = _prior()
CHANGES: Floats = _changes()
SILENT: Floats = _preferred()  # weight of each state where nothing is told
EXPECTED: Floats = SILENT * _zones()
UNACCENTED: Floats = _unaccented()


@dataclass(frozen=True)
class Cluster:
    """States that are one beat, more or less."""

    mass: float  # their probability
    period: float  # readings, their mean
    phase: float  # 0 to 1, or a little beside


class BeatModel:
    """State: the probability of each state, [STATES]."""

    def __init__(self) -> None:
        self._probability = PRIOR.copy()

    def move(self, *, steady: bool) -> None:
        """Let 10 ms pass; periods stay exactly as they are when `steady`."""
        lasts = self._probability[LAST]
        moved = np.empty(STATES)
        moved[1:] = self._probability[:-1]
        moved[FIRST] = lasts if steady else CHANGES @ lasts
        self._probability = moved

    def observe(self, ratio: float, accent: float) -> None:
        """Take how much likelier the sound is with a note than without one, and by how much that is for its strength.

        Both are from 0 on; 1 and 0 say nothing.
        """
        self._probability *= SILENT + EXPECTED * (ratio - 1) - UNACCENTED * accent
        self._probability *= (1 - ANEW) / float(self._probability.sum())
        self._probability += ANEW * PRIOR

    def expect(self, ago: float, period: float | None) -> None:
        """Take that a beat was `ago` readings ago, and how long a beat is if that is known: somebody tapped."""
        away = _wrapped(PHASE_OF - ago / PERIOD_OF) / TAP_PHASE
        weight = TAP_DOUBT + np.exp(-0.5 * away**2)
        if period is not None:
            weight *= TAP_DOUBT + np.exp(-0.5 * ((PERIOD_OF / period - 1) / TAP_PERIOD) ** 2)
        self._probability *= weight
        self._probability /= float(self._probability.sum())

    def forget(self) -> None:
        """Know nothing again."""
        self._probability = PRIOR.copy()

    def likeliest(self) -> Cluster:
        """Return the states round the most probable one."""
        best = int(np.argmax(self._probability))
        return self.around(float(PERIOD_OF[best]), float(PHASE_OF[best]))

    def around(self, period: float, phase: float) -> Cluster:
        """Return the states near a period in readings and a phase."""
        low = int(np.searchsorted(PERIODS, period * (1 - REACH_PERIOD)))
        high = int(np.searchsorted(PERIODS, period * (1 + REACH_PERIOD), side="right"))
        states = slice(int(FIRST[low]), int(LAST[high - 1]) + 1)
        away = _wrapped(PHASE_OF[states] - phase)
        near = self._probability[states] * (np.abs(away) < REACH_PHASE)
        mass = float(near.sum())
        if mass < LEAST_MASS:
            return Cluster(0.0, period, phase)
        return Cluster(mass, float(near @ PERIOD_OF[states]) / mass, phase + float(near @ away) / mass)
