"""Beat: a clock that follows the likeliest beat, runs free through breaks and falls silent after them."""

import math
from dataclasses import dataclass

from clavilux.runtime.hearing.pulse.beat_model import BeatModel
from clavilux.runtime.pulse import PULSE_RATE

LATE = 2.0  # readings between a sound and its flux's height
PEAK_LEFT = math.exp(-1 / (4.0 * PULSE_RATE))
LEAST_PEAK = 0.15
FAINTEST, SUREST = 0.5, 12.0  # how much likelier with a note
MIDDLE = 0.12
NOTHING = 1.0  # says nothing
SOUNDS = 0.3  # activation that shows that there still is rhythm
BREAK = 1.6  # seconds without any, after which the clock runs free
SILENT_AFTER = 8.0  # seconds
KNOWN = 0.25  # confidence from which a tempo is told
FOLLOW_PHASE, FOLLOW_PERIOD = 0.08, 0.06  # of the difference, each reading
BETTER = 2.0  # how much likelier another beat must be


@dataclass(frozen=True)
class Beat:
    """One reading."""

    tempo: float = 0.0  # beats per minute; 0: none is known
    phase: float = 0.0
    confidence: float = 0.0
    next: float = 0.0  # seconds


class BeatTracker:
    """State: the model, the clock, and since when nothing has been heard."""

    def __init__(self) -> None:
        self._model = BeatModel()
        self._peak = LEAST_PEAK
        self._quiet = 0
        self._silent = True
        self._period = 0.0  # readings; 0: the clock does not run
        self._phase = 0.0
        self._sure = 0.0
        self._other = 0

    def push(self, flux: float) -> Beat:
        """Take the flux of this reading."""
        self._peak = max(flux, LEAST_PEAK, self._peak * PEAK_LEFT)
        activation = flux / self._peak
        self._quiet = 0 if activation > SOUNDS else self._quiet + 1
        free = self._quiet > BREAK * PULSE_RATE
        self._model.move(steady=free)
        self._model.observe(NOTHING if free else self._ratio(activation))
        if self._quiet > SILENT_AFTER * PULSE_RATE:
            self._forget()
        self._run()
        return self._told()

    def _ratio(self, activation: float) -> float:
        return FAINTEST * (SUREST / FAINTEST) ** (min(1.0, activation / (2 * MIDDLE)))

    def _run(self) -> None:
        period, phase = self._model.likeliest()
        mass, mean_period, mean_phase = self._model.mass(period, phase)
        if self._period:
            self._phase += 1 / self._period
            own, own_period, own_phase = self._model.mass(self._period, (self._phase - LATE / self._period) % 1)
            if own * BETTER >= mass:
                mass, mean_period, mean_phase = own, own_period, own_phase
                self._other = 0
            else:
                self._other += 1
        self._sure += 0.05 * (mass - self._sure)
        if not self._period or self._other > 20:
            if self._period or self._sure > KNOWN:
                self._other = 0
                self._period, self._phase = mean_period, mean_phase + LATE / mean_period
        elif not self._other:
            self._period += FOLLOW_PERIOD * (mean_period - self._period)
            error = mean_phase + LATE / self._period - self._phase
            error -= math.floor(error + 0.5)
            self._phase += max(-0.4 / self._period, FOLLOW_PHASE * error)
        self._phase %= 1.0

    def _forget(self) -> None:
        self._model.forget()
        self._period = self._phase = self._sure = 0.0

    def _told(self) -> Beat:
        if not self._period:
            return Beat()
        left = (1 - self._phase) * self._period / PULSE_RATE
        return Beat(60 * PULSE_RATE / self._period, self._phase, self._sure, left)
