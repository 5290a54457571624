"""Clock of the beat: it runs on by itself, and is drawn gently to what the model holds for likely.

It changes to another beat only when that has been much likelier for a while, so that what moves with it never
trembles between two.
"""

import math

from clavilux.runtime.hearing.pulse.beat_model import BeatModel, Cluster
from clavilux.runtime.pulse import PULSE_RATE

LATE = 2.0  # readings from a beat to where the model sees it: the flux is highest a little later
KNOWN = 0.25  # certainty from which the clock runs
LOST = 0.08  # and below which it stops
SETTLE = 0.05  # of the way that certainty goes in one reading
FOLLOW_PHASE, FOLLOW_PERIOD = 0.08, 0.06  # of the difference, each reading
MAX_STEP_BACK = 0.4  # of a reading, so that phases only rise
BETTER = 6.0  # how many times likelier another beat must be
PATIENCE = 20  # readings for which it must be so


class BeatClock:
    """State: period, phase and certainty; a period of 0 is a clock that does not run."""

    def __init__(self) -> None:
        self.period = 0.0  # readings
        self.phase = 0.0  # 0 on the beat, to 1
        self.certainty = 0.0
        self._doubted = 0  # readings for which another beat has been likelier

    def move(self, model: BeatModel) -> None:
        """Let 10 ms pass and look at the model."""
        best = model.likeliest()
        if not self.period:
            self.certainty += SETTLE * (best.mass - self.certainty)
            if self.certainty > KNOWN:
                self._take(best)
            return
        self.phase += 1 / self.period
        own = model.around(self.period, (self.phase - LATE / self.period) % 1.0)
        self.certainty += SETTLE * (own.mass - self.certainty)
        self._doubted = self._doubted + 1 if own.mass * BETTER < best.mass else 0
        if self._doubted > PATIENCE:
            self._take(best)
        elif not self._doubted:
            self._follow(own)
        self.phase %= 1.0
        if self.certainty < LOST:
            self.stop()

    def set(self, *, period: float, phase: float) -> None:
        """Take a period in readings and a phase at once."""
        self.period, self.phase, self._doubted = period, phase % 1.0, 0
        self.certainty = max(self.certainty, KNOWN)

    def stop(self) -> None:
        """Know no beat."""
        self.period = self.phase = self.certainty = 0.0
        self._doubted = 0

    @property
    def tempo(self) -> float:
        """Beats per minute; 0 while none is known."""
        return 60 * PULSE_RATE / self.period if self.period else 0.0

    @property
    def next(self) -> float:
        """Seconds until the next beat; 0 while none is known."""
        return (1 - self.phase) * self.period / PULSE_RATE

    def _take(self, beat: Cluster) -> None:
        self.period, self._doubted = beat.period, 0
        self.phase = (beat.phase + LATE / beat.period) % 1.0

    def _follow(self, beat: Cluster) -> None:
        self.period += FOLLOW_PERIOD * (beat.period - self.period)
        error = beat.phase + LATE / self.period - self.phase
        error -= math.floor(error + 0.5)
        self.phase += max(-MAX_STEP_BACK / self.period, FOLLOW_PHASE * error)
