"""Pacing of pictures: how much of the newest one is shown at a time of the screen.

A new picture grows over what is shown, for as long as pictures are usually apart, and is there in full when the next
one comes: at most one interval late. Where none comes, the newest stays; where they come again, the next one grows from
what is shown then. `server/page/screen/pictures.js` is its twin, with the same numbers.
"""

FIRST = 0.05  # s between pictures, before any have come
MAX_INTERVAL = 0.4  # s; what grows for longer is late
MIN_INTERVAL = 0.004  # s
SMOOTHING = 0.25  # of each new interval in the usual one
STALL = 2  # an interval counts for at most so many usual ones: a stall is none


class Pacing:
    """Share of the newest picture over the one before. Times are seconds of the screen's clock."""

    def __init__(self) -> None:
        self.interval = FIRST  # s, the usual time between pictures
        self._made: float | None = None  # the last picture's own time
        self._since: float | None = None  # when the newest began to grow; None: there is none
        self._held: float | None = None  # the share that is held

    def arrive(self, now: float, made_at: float | None = None) -> float:
        """Take note that a picture has come; return the share of the one before that was shown just now.

        What is shown then is where the new one grows from. `made_at`, seconds of any clock, paces better than the time
        of coming.
        """
        shown = self.share(now)
        made = now if made_at is None else made_at
        if self._made is not None and made > self._made:
            self._learn(made - self._made)
        self._made = made
        # The first one is there at once; there is nothing that it could grow from.
        self._since = now - MAX_INTERVAL if self._since is None else now
        if self._held is not None:
            self._held = 0.0
        return shown

    def _learn(self, interval: float) -> None:
        counted = min(max(interval, MIN_INTERVAL), STALL * self.interval, MAX_INTERVAL)
        self.interval += SMOOTHING * (counted - self.interval)

    def share(self, now: float) -> float:
        """Return how much of the newest picture is shown, 0 to 1."""
        if self._held is not None:
            return self._held
        if self._since is None:
            return 1.0
        return min(max((now - self._since) / self.interval, 0.0), 1.0)

    def hold(self, now: float) -> None:
        """Keep what is shown as it is (freeze)."""
        if self._held is None:
            self._held = self.share(now)

    def release(self, now: float) -> None:
        """Go on from what is held."""
        if self._held is None:
            return
        if self._since is not None:
            self._since = now - self._held * self.interval
        self._held = None
