"""Beat: flux in, a clock out, that follows the likeliest beat, runs free through breaks and is silent after them.

The plain method of BTrack (Stark, Davies and Plumbley, DAFx 2009) has one tempo and one phase and loses both when the
tempo jumps; a filter over all of them at once (`beat_model`) finds them again within two seconds or so.
"""

import math
from itertools import pairwise

from clavilux.runtime.hearing.pulse.beat_clock import BeatClock
from clavilux.runtime.hearing.pulse.beat_model import PERIODS, BeatModel
from clavilux.runtime.pulse import PULSE_RATE

PEAK_LEFT = math.exp(-1 / (4.0 * PULSE_RATE))
LEAST_PEAK = 0.15
NO_NOTE, NOTE = 0.5, 30.0  # how much likelier a note is than none, without flux and with much
MUCH = 0.36  # of the peak
ACCENT = 0.7  # how much less likely the strongest notes are beside the beat
SOUNDS = 0.3  # of the peak, flux that shows that there still is rhythm
BREAK = round(1.6 * PULSE_RATE)  # readings without any, after which the clock runs free
SILENT_AFTER = round(8.0 * PULSE_RATE)  # readings without any, after which no beat is known
TAPS = 4  # that are kept
TAPS_WITHIN = round(1.5 * PULSE_RATE)  # readings between two that belong together
UNEVEN = 0.2  # of the mean interval, that one may differ from it


class BeatTracker:
    """State: the model, the clock, since when nothing has been heard, and taps."""

    def __init__(self) -> None:
        self.clock = BeatClock()
        self._model = BeatModel()
        self._peak = LEAST_PEAK
        self._quiet = SILENT_AFTER  # readings since there was rhythm
        self._taps: list[int] = []

    @property
    def confidence(self) -> float:
        """Certainty of the beat, 0 to 1, which fades in a break."""
        left = min(1.0, (SILENT_AFTER - self._quiet) / (SILENT_AFTER - BREAK))
        return self.clock.certainty * max(0.0, left)

    def push(self, flux: float) -> None:
        """Take the flux of one more reading."""
        self._peak = max(flux, LEAST_PEAK, self._peak * PEAK_LEFT)
        activation = flux / self._peak
        self._quiet = 0 if activation > SOUNDS else self._quiet + 1
        if self._quiet >= SILENT_AFTER:
            if self.clock.period:
                self._model.forget()
                self.clock.stop()
            return
        free = self._quiet > BREAK
        self._model.move(steady=free)
        if not free:
            ratio = NO_NOTE * (NOTE / NO_NOTE) ** min(1.0, activation / MUCH)
            self._model.observe(ratio, ratio * ACCENT * max(0.0, activation - MUCH) / (1 - MUCH))
        self.clock.move(self._model)

    def tap(self, ago: int, now: int) -> None:
        """Take a beat that somebody tapped `ago` readings before reading `now`."""
        at = now - ago
        if self._taps and not 0 < at - self._taps[-1] <= TAPS_WITHIN:
            self._taps = []
        self._taps = [*self._taps[1 - TAPS :], at]
        period = _interval(self._taps)
        self._quiet = 0
        self._model.expect(ago, period)
        period = period or self.clock.period
        if period:
            self.clock.set(period=period, phase=ago / period)


def _interval(taps: list[int]) -> float | None:
    """Return the mean interval in readings, if there are two or more, even ones, that a beat may have."""
    intervals = [after - before for before, after in pairwise(taps)]
    if len(intervals) < 2:
        return None
    mean = (taps[-1] - taps[0]) / len(intervals)
    even = all(abs(one - mean) <= UNEVEN * mean for one in intervals)
    return mean if even and PERIODS[0] <= mean <= PERIODS[-1] else None
