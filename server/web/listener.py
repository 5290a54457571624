"""Listening socket that accepts no more connections than its process can carry.

Where it is full, the oldest connection that has not asked for anything yet makes room for the newcomer: who opens
connections and says nothing cannot keep others out. Nor can who holds many: an address that has half of all makes room
for its own newcomers. Works for event loops that call `accept`, as asyncio's does
everywhere but on Windows, where descriptors do not run out.
"""

import errno
import os
import socket
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from clavilux.server.stage.peer_log import PeerLog
from clavilux.server.stage.visitor import Visitor
from clavilux.server.web.arrivals import Arrivals

SLACK = 16  # connections over the limit while those that were ended for them are still closing
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class _Accepted(socket.socket):
    """An accepted connection, which tells its listener that it is closed."""

    def __init__(self, connection: socket.socket, house: str, on_close: Callable[[int], None]) -> None:
        super().__init__(connection.family, connection.type, connection.proto, fileno=connection.detach())
        self.house = house  # the addresses that count as its own
        self.is_ended = False
        self.accepted_at = time.monotonic()  # s, as the event loop counts
        self._descriptor = self.fileno()
        self._on_close = on_close

    def end(self) -> None:
        """Let both sides see the end; the event loop closes it then."""
        self.is_ended = True
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close, once or more often."""
        super().close()
        self._on_close(self._descriptor)
        self._on_close = lambda _: None  # the number may be another's by now


class Listener(socket.socket):
    """A listening socket with at most `limit` connections open, and a few more for a moment."""

    def __init__(self, bound: socket.socket, limit: int, peers: PeerLog, arrivals: Arrivals) -> None:
        """Take over `bound`, which listens already; who comes too often by `arrivals` is closed at once."""
        super().__init__(bound.family, bound.type, bound.proto, fileno=bound.detach())
        self.in_use: Callable[[], Collection[int]] = tuple  # descriptors of connections that make room for nobody,
        self.lasting: Callable[[], Collection[int]] = tuple  # and that do not even for others of their own address
        self._limit = limit
        self._peers = peers
        self._arrivals = arrivals
        self._open: dict[int, _Accepted] = {}  # by descriptor, oldest first
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY)

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection and its address. Raises BlockingIOError when there is none, or it was closed."""
        try:
            connection, address = super().accept()
        except OSError as error:
            if error.errno not in OUT_OF_DESCRIPTORS:
                raise
            self._turn_away()
            raise BlockingIOError(error.errno, "no descriptor is left") from error
        if not self._arrivals.admit(str(address[0])):
            connection.close()
            self._peers.refused("too_often", f"{address[0]} opens connections too often; one was closed at once")
            raise BlockingIOError(errno.EAGAIN, "one address has come too often")
        house = Visitor(str(address[0])).house
        if not self._arrivals.is_proxy(str(address[0])) and self._holds_its_share(house):
            if not self._end_one(self.lasting(), house):
                connection.close()
                self._peers.refused("too_many", f"{address[0]} holds half of all connections; one more was closed")
                raise BlockingIOError(errno.EAGAIN, "one address holds too many")
        elif len(self._open) >= self._limit and self._end_one(self.in_use()):
            self._peers.refused("idle", f"{self._limit} connections are open; the longest idle one gives way")
        if len(self._open) >= self._limit + SLACK:
            connection.close()
            self._refused()
            raise BlockingIOError(errno.EAGAIN, "no room is left")
        accepted = _Accepted(connection, house, self._forget)
        self._open[accepted.fileno()] = accepted
        return accepted, address

    def sweep(self, now: float, seconds: float, known: Collection[int]) -> None:
        """End connections that are no protocol's, whose descriptors are `known`, `seconds` after they came.

        Such a one has not even begun with TLS, does not go on with it, or does not end it.
        """
        for number, one in self._open.items():
            if number not in known and not one.is_ended and now - one.accepted_at > seconds:
                one.end()
                self._peers.refused("asking", f"{one.house}: TLS has not begun, or has not ended, within {seconds:g} s")

    def end_all(self) -> None:
        """End every connection, also those that have not become any protocol's yet."""
        for connection in list(self._open.values()):
            connection.end()

    def close(self) -> None:
        """Stop listening."""
        super().close()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _forget(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def _holds_its_share(self, house: str) -> bool:
        """Whether an address holds half of all connections."""
        share = max(1, self._limit // 2)
        if len(self._open) < share:
            return False
        return sum(one.house == house and not one.is_ended for one in self._open.values()) >= share

    def _end_one(self, kept: Collection[int], house: str | None = None) -> bool:
        """End the oldest connection that is not to be kept, of one address or any; return whether there was one."""
        for number, one in self._open.items():
            if number not in kept and not one.is_ended and house in (None, one.house):
                one.end()
                return True
        return False

    def _turn_away(self) -> None:
        """Close the next connection with the descriptor that was kept for this, so that nobody waits for nothing."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        with suppress(OSError):
            super().accept()[0].close()
        with suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)
        self._refused()

    def _refused(self) -> None:
        self._peers.refused("full", f"{len(self._open)} connections are open; a newcomer was closed at once")
