"""Transports as connections get them: over TLS they are bounded, and end, as they do without.

What asyncio's transports over TLS do otherwise, from 3.11 on: they keep half a MiB for a peer that reads nothing, and a
quarter of one to read into from the first byte of the handshake on; and one that is closed twice, as uvicorn does,
forgets its socket: nothing can look at it or abort it any more.
"""

import asyncio
from asyncio.sslproto import SSLProtocol
from typing import Any, cast

READ_BYTES = 32_768  # of what a peer sends over TLS, at once
UNREAD_BYTES = 65_536  # that wait for a peer before its connection is told to wait; without TLS it is so anyway


class ClosedOnce:
    """A transport of which closing it again changes nothing."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def close(self) -> None:
        """Close it, unless that was done already."""
        if not self._transport.is_closing():
            self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Do all else as the transport does."""
        return getattr(self._transport, name)


def read_less() -> None:
    """Let each connection over TLS of this process, from now on, have a buffer of `READ_BYTES` to read into."""
    SSLProtocol.max_size = READ_BYTES


def bounded(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """Return `transport`, within the same bounds whether it speaks TLS or not."""
    made = cast(asyncio.Transport, transport)
    if isinstance(transport, ClosedOnce) or made.get_extra_info("sslcontext") is None:
        return made
    made.set_write_buffer_limits(high=UNREAD_BYTES)
    return cast(asyncio.Transport, ClosedOnce(made))
