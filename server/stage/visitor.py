"""Visitors: who has connected, before and after it has started. Pure data."""

import ipaddress
from dataclasses import dataclass

from clavilux.server.settings import Token, as_address

NO_ADDRESS = "no address"  # that a proxy says something comes from: whoever may write there could write anything
HOUSE_BITS = 64  # of an IPv6 address: whoever has one has all that begin with these


@dataclass(frozen=True)
class Visitor:
    """Where a client comes from, and the token that its request showed in a header."""

    address: str = "nowhere"
    token: Token | None = None
    peer: str = "a peer"  # as logs call it

    @property
    def house(self) -> str:
        """The addresses that count as one: itself, of IPv6 its /64; what is no address counts as one together."""
        address = as_address(self.address)
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((int(address), HOUSE_BITS), strict=False))
        return NO_ADDRESS if address is None else str(address)
