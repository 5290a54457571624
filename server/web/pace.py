"""Pace at which connections are read: token buckets of work, its own and those of all. Pure: told the time."""

from clavilux.runtime.token_bucket import TokenBucket


class FairPace:
    """The pace of one connection among many: its own most, and where all together are too fast, its fair share."""

    def __init__(self, most: TokenBucket, share: TokenBucket, together: TokenBucket) -> None:
        """`together` is the same for all connections."""
        self._most = most
        self._share = share
        self._together = together

    def spend(self, work: float, now: float) -> None:
        """Take `work` pieces out of all three."""
        for bucket in (self._most, self._share, self._together):
            bucket.spend(work, now)

    def wait(self, now: float) -> float:
        """Return how many seconds after `now` this connection has work left."""
        fair = self._share.wait(now)
        return max(self._most.wait(now), min(fair, self._together.wait(now)) if fair else 0.0)
