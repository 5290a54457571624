"""The websocket channel: carries a connection's messages over a Starlette websocket, and counts them."""

import logging
import time
from dataclasses import dataclass

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from clavilux.server.stage.message_pump import GoneError, run_connection
from clavilux.server.stage.peer_log import peer_name
from clavilux.server.stage.stage import Stage
from clavilux.server.stage.visitor import Visitor

logger = logging.getLogger(__name__)


@dataclass
class Traffic:
    """Count of what went one way."""

    messages: int = 0
    size: int = 0  # bytes, of text characters

    def add(self, message: str | bytes) -> None:
        """Count one message."""
        self.messages += 1
        self.size += len(message)


class WebSocketChannel:
    """A `clavilux.server.stage.message_pump.Channel` over a Starlette websocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self.received = Traffic()
        self.sent = Traffic()
        self.code: int | None = None  # that either side closed with first; None while it is open

    async def receive(self) -> str | bytes | None:
        """Return the next message, None once the client is gone."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            self._closed(message.get("code"))
            return None
        text: str | None = message.get("text")
        taken = bytes(message["bytes"]) if text is None else text
        self.received.add(taken)
        return taken

    async def send(self, message: str | bytes) -> None:
        """Send one message. Raises GoneError."""
        kind = "text" if isinstance(message, str) else "bytes"
        await self._pass_on({"type": "websocket.send", kind: message})
        self.sent.add(message)

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame. Raises GoneError."""
        await self._pass_on({"type": "websocket.close", "code": code, "reason": reason})
        self._closed(code)

    def _closed(self, code: int | None) -> None:
        self.code = code if self.code is None else self.code

    async def _pass_on(self, message: Message) -> None:
        try:
            await self._socket.send(message)
        except (WebSocketDisconnect, RuntimeError) as error:
            # uvicorn says RuntimeError where it has closed by itself: a message too large, a ping unanswered.
            raise GoneError(str(error)) from error


async def converse(socket: WebSocket, stage: Stage, visitor: Visitor) -> None:
    """Carry an accepted websocket's messages to and from `stage` until it ends; say in the log that it came and went.

    A line tells address, role, seconds, messages and bytes each way, and the close code; nothing of what was sent.
    """
    channel, begun, peer = WebSocketChannel(socket), time.monotonic(), peer_name(socket.client)
    logger.info("%s connected", peer, extra={"facts": {"event": "opened", "peer": peer}})
    role = None
    try:
        role = await run_connection(channel, stage, visitor)
    finally:
        _log_end(channel, {"event": "closed", "peer": peer, "role": role, "seconds": time.monotonic() - begun})


def _log_end(channel: WebSocketChannel, facts: dict[str, object]) -> None:
    got, sent = channel.received, channel.sent
    facts |= {"code": channel.code, "received_messages": got.messages, "received_bytes": got.size}
    facts |= {"sent_messages": sent.messages, "sent_bytes": sent.size}
    logger.info(
        "%(peer)s (%(role)s) left after %(seconds).1f s, code %(code)s: "
        "%(received_messages)d messages, %(received_bytes)d bytes came, %(sent_messages)d, %(sent_bytes)d went",
        facts | {"role": facts["role"] or "not started"},
        extra={"facts": facts},
    )
