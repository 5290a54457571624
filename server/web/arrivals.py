"""Arrivals: how many connections of one address are accepted, at once and in the long run. Pure but for its clock.

A connection costs a server a thousand times what it costs who opens it; one that is closed at once costs little.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from clavilux.runtime.token_bucket import TokenBucket
from clavilux.server.settings import as_address
from clavilux.server.stage.visitor import Visitor

MAX_ADDRESSES = 4096  # remembered; those that have not come for longest are forgotten


class Arrivals:
    """The last arrivals, by address, of IPv6 by its /64."""

    def __init__(
        self,
        burst: float,
        per_second: float,
        proxies: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`proxies` are addresses and networks from which many come, and who are not counted; `clock` gives seconds."""
        self._burst, self._per_second = burst, per_second
        self._proxies = [ipaddress.ip_network(proxy) for proxy in proxies]
        self._clock = clock
        self._houses: OrderedDict[str, TokenBucket] = OrderedDict()

    def admit(self, address: str) -> bool:
        """Count a connection from `address`; return whether it may stay."""
        if self.is_proxy(address):
            return True
        bucket = self._bucket(Visitor(address).house)
        if bucket.available(self._clock()) < 1:
            return False
        bucket.spend(1)
        return True

    def is_proxy(self, address: str) -> bool:
        """Return whether many may come from `address`."""
        found = as_address(address)
        return found is not None and any(found in proxy for proxy in self._proxies)

    def _bucket(self, house: str) -> TokenBucket:
        bucket = self._houses.pop(house, None) or TokenBucket(self._burst, self._per_second)
        self._houses[house] = bucket
        if len(self._houses) > MAX_ADDRESSES:
            self._houses.popitem(last=False)
        return bucket
