"""HTTP connection that no peer can make cost more than its limits: uvicorn's own on h11, with bounds round it.

What uvicorn 0.54 and h11 0.16 leave open, found by reading both, and what closes it here:

* a connection that says nothing, or a byte now and then, stays for ever: `sweep` ends it;
* a head that comes whole may be as long as one read, with any number of headers: 431;
* a body is read on after its answer, without end: no route here takes one, so a request with one gets 413;
* an answer that nobody reads waits for ever, and closing with it: `sweep` ends both;
* CONNECT turns the connection into a tunnel that leads nowhere: 405;
* requests that come before the answers to those before them are kept without end: a few kB of them may wait;
* what comes after the last request of a connection raises in the answer that is being made: the connection ends;
* `shutdown` may raise, and with it the shutdown of all the others.
"""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol as UvicornHttp

from clavilux.server.stage.peer_log import peer_name
from clavilux.server.web.deadlines import Deadlines
from clavilux.server.web.limits import GuardedConfig, Limits
from clavilux.server.web.transports import bounded
from clavilux.server.web.websocket_protocol import PIECE

MAX_AHEAD = 16_384  # bytes of requests that wait for the answer to the one before them; browsers send none


class RefusedRequestError(Exception):
    """A request that gets no answer but a status."""

    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status


class GuardedRequests(h11.Connection):
    """h11's server side, which gives out no request that is over the limits."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(h11.SERVER, limits.head_bytes)
        self._limits = limits

    def next_event(self) -> Any:
        """Return h11's next event. Raises RefusedRequestError."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            raise RefusedRequestError(HTTPStatus(error.error_status_hint), str(error)) from None
        if isinstance(event, h11.Request):
            self._check(event)
        return event

    def _check(self, request: h11.Request) -> None:
        headers = request.headers
        if request.method == b"CONNECT":
            raise RefusedRequestError(HTTPStatus.METHOD_NOT_ALLOWED, "CONNECT; this is no proxy")
        size = len(request.target) + sum(len(name) + len(value) + 4 for name, value in headers)
        if size > self._limits.head_bytes:
            line = f"a head of {size} bytes; expected {self._limits.head_bytes} at most"
            raise RefusedRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, line)
        if len(headers) > self._limits.headers:
            line = f"{len(headers)} headers; expected {self._limits.headers} at most"
            raise RefusedRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, line)
        if any(name == b"transfer-encoding" or (name == b"content-length" and int(value)) for name, value in headers):
            raise RefusedRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a request with a body; expected none")


class GuardedHttp(UvicornHttp):
    """An HTTP connection within the limits of a GuardedConfig."""

    def __init__(
        self,
        config: GuardedConfig,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take what uvicorn gives its protocol classes."""
        super().__init__(config, server_state, app_state, _loop)
        self._peers = config.peers
        self._deadlines = Deadlines(config.limits, self.loop.time())
        self.conn = GuardedRequests(config.limits)

    @property
    def in_use(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        super().connection_made(bounded(transport))

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent, in pieces, so that a long head is found out before all of it is parsed."""
        for begin in range(0, len(data), PIECE):
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
            if len(self.conn.trailing_data[0]) > MAX_AHEAD:
                self._peers.refused("pipelined", f"{peer_name(self.client)}: more requests than are answered")
                self.transport.abort()
                return
            super().data_received(data[begin : begin + PIECE])

    def handle_events(self) -> None:
        """Let uvicorn handle what was parsed; a request that is refused ends the connection."""
        try:
            super().handle_events()
        except RefusedRequestError as refusal:
            self._refuse(refusal)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self._deadlines.asking = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Learn that the peer does not keep up."""
        self._deadlines.unread = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Learn that it does again."""
        self._deadlines.unread = None
        super().resume_writing()

    def shutdown(self) -> None:
        """Begin to close, whatever state the peer has brought the connection into."""
        with suppress(h11.LocalProtocolError):
            super().shutdown()
        if not self.in_use:
            self.transport.close()

    def sweep(self, now: float) -> None:
        """End a connection that is overdue at `now`, seconds of the loop's clock."""
        if self.in_use:
            self._deadlines.asking = None
        reason = self._deadlines.overdue(now, closing=self.transport.is_closing())
        if reason is not None:
            self._peers.refused(reason, f"{peer_name(self.client)}: a connection was {reason} for too long")
            self.transport.abort()

    def _refuse(self, refusal: RefusedRequestError) -> None:
        """Answer with a status if nothing else is being answered, and close."""
        name = f"http_{refusal.status.value}"
        self._peers.refused(name, f"{peer_name(self.client)}: {refusal.status.value} for {refusal}")
        if self.in_use:
            self.transport.abort()
            return
        body = f"{refusal.status.phrase}\n".encode()
        head = (
            f"HTTP/1.1 {refusal.status.value} {refusal.status.phrase}\r\nconnection: close\r\n"
            f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
