"""Automatic range: decibels to 0..1, for rooms and instruments as loud as they are, without pumping or falling asleep.

The ceiling follows the loudest sound, but only in part (`share`), so that what is played more softly stays lower. It
comes down slowly while something sounds, and holds in silence. The floor follows the noise of the room.
"""

from dataclasses import dataclass

from clavilux.runtime.pulse import PULSE_RATE

ATTACK = 1 - 0.5 ** (1 / (0.3 * PULSE_RATE))  # share of the way up in one reading: half of it in 0.3 s
RELEASE = 0.4 / PULSE_RATE  # dB a reading down, while something sounds
FLOOR_RISE = 3.0 / PULSE_RATE  # dB a reading up
FLOOR_FALL = 1 - 0.5 ** (1 / (0.05 * PULSE_RATE))
MIN_CEILING = 40.0  # dB below the reference, as low as a ceiling follows
MIN_FLOOR = -90.0  # dBFS
NOISE_MARGIN = 6.0  # dB above the noise of the room where sound begins
LOUDEST_NOISE = -45.0  # dBFS; what is steady above that is no noise of a room
SPAN = (24.0, 36.0)  # dB between floor and ceiling


@dataclass
class AutomaticRange:
    """State of one range."""

    reference: float  # dBFS of loud music, where the ceiling begins
    share: float  # 0 an absolute scale, 1 as loud as ever
    ceiling: float = 0.0  # dBFS
    noise: float = MIN_FLOOR  # dBFS

    def __post_init__(self) -> None:
        self.ceiling = self.reference

    def push(self, decibels: float) -> float:
        """Take one reading in dBFS; return it as 0 to 1."""
        top = max(self.reference + self.share * (self.ceiling - self.reference), min(self.ceiling, decibels))
        narrow, wide = SPAN
        floor = min(max(self.noise + NOISE_MARGIN, top - wide), top - narrow, max(LOUDEST_NOISE, top - wide))
        self._follow(decibels, floor)
        return min(1.0, max(0.0, (decibels - floor) / (top - floor)))

    def _follow(self, decibels: float, floor: float) -> None:
        if decibels > self.ceiling:
            self.ceiling += ATTACK * (decibels - self.ceiling)
        elif decibels > floor:
            self.ceiling = max(self.ceiling - RELEASE, decibels, self.reference - MIN_CEILING)
        heard = max(MIN_FLOOR, decibels)
        if heard < self.noise:
            self.noise += FLOOR_FALL * (heard - self.noise)
        else:
            self.noise = min(heard, self.noise + FLOOR_RISE)
