"""Token bucket: what somebody may ask for in a burst, and in the long run. Pure: it is told the time.

    bucket = TokenBucket(burst=8, per_second=1)
    if bucket.available(now) >= 1:
        bucket.spend(1)

The algorithm of traffic shapers (Turner 1986, "New Directions in Communications").
"""


class TokenBucket:
    """Tokens that are spent and come back; not for several threads at once."""

    def __init__(self, burst: float, per_second: float) -> None:
        """Take how many there are at most, and to begin with, and how many come back each second."""
        self._burst = burst
        self._per_second = per_second
        self._tokens = burst
        self._then: float | None = None  # s, when they were counted last

    def available(self, now: float) -> float:
        """Return how many there are at `now` seconds; fewer than 0 when more was spent than was there."""
        if self._then is None:
            self._then = now
        if now > self._then:
            self._tokens = min(self._burst, self._tokens + (now - self._then) * self._per_second)
            self._then = now
        return self._tokens

    def spend(self, tokens: float, now: float | None = None) -> None:
        """Take tokens out, whether they are there or not; `now` is the time, where `available` was not asked for it."""
        if now is not None:
            self.available(now)
        self._tokens -= tokens

    def wait(self, now: float) -> float:
        """Return for how many seconds there is less than nothing: 0 where nobody owes anything."""
        return max(0.0, -self.available(now) / self._per_second)
