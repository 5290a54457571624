"""Pacing of hops and pictures: as often as their cost allows, so that frames stay even and soon seen.

A machine that is full makes everything wait, the browser that shows the pictures most of all; so both leave room. Pure:
they are told what hops and pictures cost and answer with the next hop and interval. Assumes costs that change slowly.
"""

import math
from collections import deque
from statistics import median

from clavilux.runtime.sound.format import FRAME_STEP, STEP_SECONDS

SHARE = 0.25  # of the time that listening may take; the rest is for pictures
PICTURES_SHARE = 0.75  # of the time that the engine may work, pictures and hops together
MAX_PAUSE = 0.1  # s between two pictures, however slow they are: sound waits in a queue meanwhile
MAX_FRAME_RATE = 30.0  # pictures per second, however fast the machine is: more are to be asked for
REMEMBERED = 9  # hops or pictures whose median counts: one slow one among them changes nothing
MAX_HOP_SECONDS = 1.0  # s between two hops, however slow the encoder is


class HopPacer:
    """Turns the cost of hops into the distance from one to the next, in samples at 16 kHz."""

    def __init__(self, hop_samples: int) -> None:
        self.hop_samples = hop_samples  # the bundle's, until hops have been seen
        self._costs: deque[float] = deque(maxlen=REMEMBERED)

    def note(self, seconds: float) -> None:
        """Take what one hop cost; digital silence, which costs nothing, says nothing."""
        if seconds <= 0:
            return
        self._costs.append(seconds)
        wanted = min(median(self._costs) / SHARE, MAX_HOP_SECONDS)
        self.hop_samples = max(1, math.ceil(wanted / STEP_SECONDS)) * FRAME_STEP


class FramePacer:
    """Turns the cost of pictures into the time from one to the next, in seconds."""

    def __init__(self) -> None:
        self.interval = (
            1 / MAX_FRAME_RATE
        )  # from the beginning of one to that of the next; `until` keeps the pause short
        self._costs: deque[float] = deque(maxlen=REMEMBERED)
        self._hops: deque[float] = deque(maxlen=REMEMBERED)

    def note(self, picture: float, hop: float) -> None:
        """Take the seconds of one picture and of the hop before it, 0 where there was none."""
        self._costs.append(picture)
        self._hops.append(hop)
        hops = [one for one in self._hops if one > 0]
        cost = median(self._costs) + (median(hops) * len(hops) / len(self._hops) if hops else 0.0)
        self.interval = max(1 / MAX_FRAME_RATE, cost / PICTURES_SHARE)

    def until(self, began: float, now: float) -> float:
        """Return when the picture after the one that `began` then, and is ready `now`, is due."""
        return min(began + self.interval, max(now + MAX_PAUSE, began + 1 / MAX_FRAME_RATE))
