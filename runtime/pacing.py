"""How often to look at the sound: as often as the encoder's cost allows, so that frames stay even.

Pure: it is told what each look cost and answers with the next hop. Assumes a cost that changes slowly.
"""

import math
from collections import deque
from statistics import median

from runtime.manifest import FRAME_STEP, SAMPLE_RATE

SHARE = 0.25  # of the time that listening may take; the rest is for pictures
REMEMBERED = 9  # looks whose median counts: one slow look among them changes nothing
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
