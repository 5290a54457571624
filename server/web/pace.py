"""Pace at which connections are read: buckets of work that fill with time. Pure: the caller tells the time."""

import math


class Pace:
    """A bucket of `burst` pieces of work that fills by `rate` pieces a second, and may be overdrawn."""

    def __init__(self, rate: float, burst: float) -> None:
        """Begin full."""
        self._rate = rate
        self._burst = burst
        self._left = burst  # pieces; below 0 there is nothing to be done for a while
        self._at = -math.inf

    def spend(self, work: float, now: float) -> None:
        """Take `work` pieces out at `now`, seconds of a clock that does not go back."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - work
        self._at = now

    def wait(self, now: float) -> float:
        """Return how many seconds after `now` there is work left; 0 if there is some."""
        return max(0.0, -self._left / self._rate - (now - self._at))


class FairPace:
    """The pace of one connection among many: its own most, and where all together are too fast, its fair share."""

    def __init__(self, most: Pace, share: Pace, together: Pace) -> None:
        """`together` is the same for all connections."""
        self._most = most
        self._share = share
        self._together = together

    def spend(self, work: float, now: float) -> None:
        """Take `work` pieces out of all three."""
        for pace in (self._most, self._share, self._together):
            pace.spend(work, now)

    def wait(self, now: float) -> float:
        """Return how many seconds after `now` this connection has work left."""
        return max(self._most.wait(now), min(self._share.wait(now), self._together.wait(now)))
