"""Tries at the token, few per address: BURST wrong ones at once, then one each SECONDS_PER_TRY.

A right token costs nothing. While an address has no try left its tokens are not looked at, right or wrong: otherwise
the limit would slow down nobody who guesses. Pure: times are seconds of any clock, passed in.
"""

from collections import OrderedDict

BURST = 5
SECONDS_PER_TRY = 10.0
MAX_ADDRESSES = 4096  # remembered; those that have been wrong least recently are forgotten


class Tries:
    """A token bucket per address, of those that have been wrong lately."""

    def __init__(self) -> None:
        self._full_at: OrderedDict[str, float] = OrderedDict()  # when an address will have all its tries back

    def wait(self, address: str, now: float) -> float:
        """Return in how many seconds a token from `address` will be looked at, 0 for now."""
        return max(0.0, self._full_at.get(address, now) - now - (BURST - 1) * SECONDS_PER_TRY)

    def wrong(self, address: str, now: float) -> None:
        """Take a try from `address`, which was wrong."""
        self._full_at[address] = max(self._full_at.pop(address, now), now) + SECONDS_PER_TRY
        if len(self._full_at) > MAX_ADDRESSES:
            self._full_at.popitem(last=False)
