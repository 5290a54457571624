"""The websocket channel: carries a connection's messages over a Starlette websocket."""

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from clavilux.server.stage.message_pump import GoneError


class WebSocketChannel:
    """A `clavilux.server.stage.message_pump.Channel` over a Starlette websocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes | None:
        """Return the next message, None once the client is gone."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        return bytes(message["bytes"]) if text is None else text

    async def send(self, message: str | bytes) -> None:
        """Send one message. Raises GoneError."""
        kind = "text" if isinstance(message, str) else "bytes"
        await self._pass_on({"type": "websocket.send", kind: message})

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame. Raises GoneError."""
        await self._pass_on({"type": "websocket.close", "code": code, "reason": reason})

    async def _pass_on(self, message: Message) -> None:
        try:
            await self._socket.send(message)
        except (WebSocketDisconnect, RuntimeError) as error:
            # uvicorn says RuntimeError where it has closed by itself: a message too large, a ping unanswered.
            raise GoneError(str(error)) from error
