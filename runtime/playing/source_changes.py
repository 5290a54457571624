"""Changes of the source, bounded in number: another rate, other channels, or sound again after a gap.

Each costs what a tenth of a second of sound costs, and the silence of a gap what sound does; that takes its time with
people. Who says so many times a second is heard again when their time has come. Pure: told the time.
"""

from clavilux.runtime.hearing.pulse.gaps import MAX_GAP
from clavilux.runtime.queues import Chunk
from clavilux.runtime.token_bucket import TokenBucket

BURST = 8.0  # changes that may follow each other at once, and seconds of gaps,
PER_SECOND = 1.0  # and in the long run
LONGEST = 3.0  # s that a gap counts for at most: so long waits who comes after somebody that used all of them up


class SourceChanges:
    """State: the source that plays, and how many changes are left."""

    def __init__(self) -> None:
        self._layout: tuple[int, int] | None = None  # of the last chunk that was admitted; None before any
        self._until = 0.0  # capture time of its end, s
        self._left = TokenBucket(BURST, PER_SECOND)

    def admit(self, chunk: Chunk, now: float) -> bool:
        """Return whether `chunk` is heard at `now` seconds; if it is not, the source stays as it was."""
        cost = self._cost(chunk)
        if cost > self._left.available(now):
            return False
        self._left.spend(cost)
        self._layout, self._until = chunk.layout, chunk.captured_at + chunk.seconds
        return True

    def _cost(self, chunk: Chunk) -> float:
        """Return the changes that a chunk counts as: another layout is one, a gap one a second, up to LONGEST."""
        if self._layout is None:
            return 0.0
        gap = chunk.captured_at - self._until
        silence = min(gap, LONGEST) if gap > MAX_GAP else 0.0
        return max(silence, float(chunk.layout != self._layout))
