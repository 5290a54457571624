"""How often to look at the sound and to paint: as often as their cost allows, so that frames stay even and soon seen.

A machine that is full makes everything wait, the browser that shows the pictures most of all; so both leave room. Pure:
they are told what looks and pictures cost and answer with the next hop and interval. Assumes costs that change slowly.
"""

import math
from collections import deque
from statistics import median

from runtime.manifest import FRAME_STEP, SAMPLE_RATE

SHARE = 0.25  # of the time that listening may take; the rest is for pictures
PICTURES_SHARE = 0.75  # of the time that the engine may work, pictures and looks together
FASTEST = 30.0  # pictures per second, however fast the machine is: more are to be asked for
REMEMBERED = 9  # looks or pictures whose median counts: one slow one among them changes nothing
LONGEST = 1.0  # s between two looks, however slow the encoder is
STEP_SECONDS = FRAME_STEP / SAMPLE_RATE  # hops are whole log-mel frames


class HopPacer:
    """Turns the cost of looks into a hop, in samples at 16 kHz."""

    def __init__(self, hop_samples: int) -> None:
        self.hop_samples = hop_samples  # the bundle's, until looks have been seen
        self._costs: deque[float] = deque(maxlen=REMEMBERED)

    def note(self, seconds: float) -> None:
        """Take what one look cost; digital silence, which costs nothing, says nothing."""
        if seconds <= 0:
            return
        self._costs.append(seconds)
        wanted = min(median(self._costs) / SHARE, LONGEST)
        self.hop_samples = max(1, math.ceil(wanted / STEP_SECONDS)) * FRAME_STEP


class FramePacer:
    """Turns the cost of pictures into the time from one to the next, in seconds."""

    def __init__(self) -> None:
        self.interval = 1 / FASTEST
        self._costs: deque[float] = deque(maxlen=REMEMBERED)

    def note(self, seconds: float) -> None:
        """Take what one picture cost, with the look at the sound before it; do not tell of one that was not painted."""
        self._costs.append(seconds)
        self.interval = max(1 / FASTEST, median(self._costs) / PICTURES_SHARE)
