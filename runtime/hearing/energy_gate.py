"""The energy gate: sound or silence, by loudness alone. A voice-activity detector would mute music."""

import math
from collections import deque

from clavilux.runtime.hearing.high_pass import Floats
from clavilux.runtime.hearing.loudness import decibels
from clavilux.runtime.hearing.noise_floor import NoiseFloor
from clavilux.runtime.pulse import SILENCE_DB
from clavilux.runtime.sound.format import STEP_SECONDS

PAUSE = 1.0  # s without a loud step, up to which music pauses
TAIL = 0.3  # s after the last loud step during which the window is still encoded: the end of a word is soft
MEAN_STEPS = 4  # of 10 ms, whose mean power is compared: deep notes flutter
MARGIN = 8.0  # dB above the noise floor where sound begins,
HYSTERESIS = 4.0  # dB below its opening where an open gate shuts,
LOWEST = -75.0  # dBFS; and as low as it goes where it follows the floor: below lies the noise of a sound card


class EnergyGate:
    """State of the gate: whether it is open, for how long it has been shut, and the floor that it follows."""

    def __init__(self) -> None:
        self.is_open = False
        self.quiet_for = math.inf  # seconds of sound since the gate was open
        self.threshold = SILENCE_DB  # dBFS where it opens, as of the last step
        self._floor = NoiseFloor()
        self._powers = deque([0.0] * MEAN_STEPS, maxlen=MEAN_STEPS)

    def push(self, powers: Floats, threshold: float, *, follows: bool) -> None:
        """Take the mean squares of steps of 10 ms, [n].

        `threshold` is where the gate opens, in dBFS. One that `follows` opens `MARGIN` above the noise floor, but at
        `threshold` at the latest: what is steady and louder is a sound that is held, and no noise of a room.
        """
        for power in powers.tolist():
            self._floor.push(power)
            self._powers.append(power)
            self.threshold = min(threshold, max(LOWEST, self._floor.level + MARGIN)) if follows else threshold
            self.is_open = decibels(sum(self._powers) / MEAN_STEPS) >= self.threshold - (
                HYSTERESIS if self.is_open else 0.0
            )
            self.quiet_for = 0.0 if self.is_open else self.quiet_for + STEP_SECONDS

    @property
    def listens(self) -> bool:
        """Whether the window still holds something worth encoding."""
        return self.quiet_for <= TAIL

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has been loud for longer than a pause."""
        return self.quiet_for > PAUSE

    def is_silent(self, hold: float, stalled: float = 0.0) -> bool:
        """Whether silence has lasted longer than `hold` seconds, `stalled` of them without any sound coming in."""
        return self.quiet_for + stalled > max(hold, TAIL)
