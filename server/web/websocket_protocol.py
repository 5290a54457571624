"""Websocket connection that no peer can make cost more than its limits: uvicorn's own, with bounds round it.

    GuardedConfig(app, limits, peers, ws=GuardedWebSocket, http=GuardedHttp)

What uvicorn 0.54 and websockets 17.4 leave open, found by reading both, and what closes it here:

* a piece of 256 KiB is read at once and becomes up to 43 000 frames in one turn of the event loop, and as many messages
  in a queue: it is handed over in pieces of PIECE bytes, none while a message waits to be taken;
* control frames and empty fragments are parsed as fast as they come, at everyone's cost: frames have a pace;
* a pong is written for each ping, whether the peer reads or not: no more than a few wait, then nothing more is read;
* fragments of a message are collected without end: their number is bounded, 1009;
* a handshake that websockets refuses while parsing (431, 400) is neither answered nor closed;
* text that is not UTF-8 logs a traceback, and raises where the peer's close came with it;
* `shutdown` raises while the peer's own close waits to be sent, and with it the shutdown of all the others;
* closing waits for a peer that reads nothing, for ever: `sweep` ends it.

When uvicorn bounds these itself the class goes: tests/server/web/test_attacks.py passes then with
`ws="websockets-sansio"` in `run.py`.
"""

import asyncio
from contextlib import suppress
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol as UvicornWebSocket
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame

from clavilux.server.stage.peer_log import peer_name
from clavilux.server.web.deadlines import Deadlines
from clavilux.server.web.limits import GuardedConfig
from clavilux.server.web.transports import bounded

PIECE = 4096  # bytes handed over at once: some seven hundred frames at most
READS_PER_FRAME = 4  # reads that cost as much as a frame does
BYTES_PER_FRAME = 131_072  # bytes that cost as much as a frame does; 64 MB/s at 500 frames
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class GuardedWebSocket(UvicornWebSocket):
    """A websocket connection within the limits of a GuardedConfig."""

    in_use = True  # for the listener: never ended to make room for another connection

    def __init__(
        self,
        config: GuardedConfig,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take what uvicorn gives its protocol classes."""
        super().__init__(config, server_state, app_state, _loop)
        self._limits, self._peers = config.limits, config.peers
        self._pace = config.pace()
        self._deadlines = Deadlines(self._limits, self.loop.time())
        self._waiting = bytearray()  # read, and not handed over yet: one read at most
        self._pongs = 0  # written since the peer stopped reading
        self._timer: asyncio.TimerHandle | None = None  # until there may be read again
        self.close_timeout = self._limits.handshake_seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        super().connection_made(bounded(transport))

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent, piece by piece."""
        self._pace.spend(1 / READS_PER_FRAME + len(data) / BYTES_PER_FRAME, self.loop.time())
        self._waiting += data
        self._go_on()

    def handle_events(self) -> None:
        """Count the frames, then let uvicorn handle them."""
        self._pace.spend(len(self.conn.events), self.loop.time())
        super().handle_events()

    def handle_cont(self, event: Frame) -> None:
        """Collect a fragment, unless the message has too many."""
        if len(self.frames) >= self._limits.fragments:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"a message in more than {self._limits.fragments} fragments")
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        """Send the pong, which may have to wait."""
        if not self.writable.is_set():
            self._pongs += 1
        super().handle_ping()

    def send_receive_event_to_app(self) -> None:
        """Hand over a message; text that is none ends the connection."""
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self.frames = []
            self._fail(CloseCode.INVALID_DATA, "text that is not UTF-8")
            return
        if not self.close_sent:
            self.read_paused = True  # so that it is not uvicorn that pauses the transport, which costs two system calls
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Send the close frame that is due, and say whose fault it was."""
        close = self.conn.close_sent
        if close is not None:
            kind = CloseCode(close.code).name.lower()
            self._peers.refused(kind, f"{self._peer()}: closed with {close.code}: {close.reason}")
        super().handle_parser_exception()

    async def receive(self) -> Any:
        """Return the next message for the application, and read on."""
        message = await super().receive()
        self._go_on()
        return message

    async def send(self, message: Any) -> None:
        """Send what the application says, and read on after accept and close. Raises ClientDisconnected."""
        is_message = message["type"] == "websocket.send"
        if is_message and self.transport.is_closing():
            raise ClientDisconnected
        await super().send(message)
        if not is_message:  # which changes nothing of what may be read
            self._go_on()

    def pause_writing(self) -> None:
        """Learn that the peer does not keep up."""
        self._deadlines.unread = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Learn that it does again."""
        self._deadlines.unread = None
        self._pongs = 0
        super().resume_writing()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Begin to close, whatever state the peer has brought the connection into."""
        with suppress(InvalidState):  # its own close is being answered
            super().shutdown()
        self.transport.close()

    def sweep(self, now: float) -> None:
        """End a connection that is overdue at `now`, seconds of the loop's clock."""
        if self.handshake_complete:
            self._deadlines.asking = None
        reason = self._deadlines.overdue(now, closing=self.transport.is_closing())
        if reason is not None:
            self._peers.refused(reason, f"{self._peer()}: a websocket was {reason} for too long")
            self.transport.abort()

    def _go_on(self) -> None:
        """Hand over what waits as far as it may be, and read on if nothing waits then."""
        while self._waiting and not self._is_held():
            piece = bytes(self._waiting[:PIECE])
            del self._waiting[:PIECE]
            super().data_received(piece)
            self._end_failed_handshake()
        if self.transport.is_closing():
            self._waiting.clear()
        elif self._waiting:
            self.transport.pause_reading()
            self._wake_in_time()
        else:  # also where it is held: one more read may wait
            self.transport.resume_reading()

    def _is_held(self) -> bool:
        """Whether nothing may be handed over now."""
        return (
            self.read_paused  # a message waits for the application
            or (self.handshake_initiated and not self.handshake_complete)  # frames before the answer
            or self._pongs >= self._limits.pongs
            or self._pace.wait(self.loop.time()) > 0
            or self.transport.is_closing()
        )

    def _wake_in_time(self) -> None:
        """Go on once the pace allows it; whatever else holds the connection wakes it by itself."""
        wait = self._pace.wait(self.loop.time())
        if wait > 0 and self._timer is None:
            self._timer = self.loop.call_later(wait, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self._go_on()

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Close with `code`, once."""
        if not (self.close_sent or self.transport.is_closing()):
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def _end_failed_handshake(self) -> None:
        """Answer a request that websockets could not read, which uvicorn never hears of."""
        if self.conn.handshake_exc is None or self.handshake_initiated or self.transport.is_closing():
            return
        answer = b"".join(self.conn.data_to_send()) or BAD_REQUEST
        self.close_sent = self.handshake_complete = True
        status, _, _ = answer.partition(b"\r\n")
        self._peers.refused("handshake", f"{self._peer()}: {status.decode('ascii', 'replace')}")
        self.transport.write(answer)
        self.transport.close()

    def _peer(self) -> str:
        return peer_name(self.client)


def _is_text(fragments: list[bytes]) -> bool:
    try:
        b"".join(fragments).decode()
    except UnicodeDecodeError:
        return False
    return True
