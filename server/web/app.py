"""The web application: the page, the socket, health and metrics, as one Starlette app.

    app = create_app(engine, Settings())

Its lifespan starts and stops the engine. Assumes one process and one event loop.
"""

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from clavilux.server.protocol.messages import STAGE_FULL, SUBPROTOCOL
from clavilux.server.settings import Settings
from clavilux.server.stage.connection import GoneError, run_session
from clavilux.server.stage.interfaces import EngineLike
from clavilux.server.stage.stage import Stage

WAITING_CONNECTIONS = 16  # sockets beyond `most_viewers`: performers, and who has not started yet
SECURITY_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "; ".join(
        (
            "default-src 'self'",
            "connect-src 'self'",
            "img-src 'self' blob: data:",
            "worker-src 'self' blob:",
            "media-src 'self' blob:",
            "style-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'self'",
        )
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
# Some systems map .js to text/plain, which no browser runs as a module.
mimetypes.add_type("text/javascript", ".js")


class WebSocketChannel:
    """A `clavilux.server.stage.connection.Channel` over a Starlette websocket."""

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


class HardenedResponses:
    """ASGI middleware that puts SECURITY_HEADERS on every HTTP response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the wrapped app, adding the headers as its response starts."""

        async def harden(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self.app(scope, receive, harden if scope["type"] == "http" else send)


def refusal(headers: Headers, protocols: list[str], settings: Settings) -> PlainTextResponse | None:
    """Return the HTTP answer to a websocket request that must not be accepted, None for one that may."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if not (origin is None or origin in settings.origins or origin.partition("://")[2].lower() == host.lower()):
        return PlainTextResponse(f"Origin is {origin}, this server is {host}; open the page from here\n", 403)
    if not settings.answers(host_name(host)):
        return PlainTextResponse(f"this server does not answer to the name {host!r}; start it with that name\n", 403)
    if SUBPROTOCOL not in protocols:
        return PlainTextResponse(f"found subprotocols {protocols}; expected {SUBPROTOCOL}\n", 400)
    return None


def host_name(host: str) -> str:
    """Return the name in a Host header without its port, lower case; "" if there is none to find."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class _Site:
    """The handlers of the routes, round one stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._open = 0  # sockets

    async def index(self, request: Request) -> Response:
        return FileResponse(self.stage.settings.page / "index.html", media_type="text/html")

    async def healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(self, request: Request) -> Response:
        if self.stage.ready:
            return PlainTextResponse("ready")
        return PlainTextResponse("warming up" if self.stage.engine.failure is None else "engine failed", 503)

    async def metrics(self, request: Request) -> Response:
        return Response(self.stage.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def socket(self, socket: WebSocket) -> None:
        denied = refusal(socket.headers, socket.scope["subprotocols"], self.stage.settings)
        if denied is not None:
            await socket.send_denial_response(denied)
            return
        await socket.accept(SUBPROTOCOL)
        if self._open >= self.stage.settings.most_viewers + WAITING_CONNECTIONS:
            await socket.close(STAGE_FULL, "stage full")
            return
        self._open += 1
        try:
            await run_session(WebSocketChannel(socket), self.stage)
        finally:
            self._open -= 1


def create_app(engine: EngineLike, settings: Settings) -> Starlette:
    """Return the application that plays `engine`, which must not be started yet. `app.state.stage` is its Stage."""
    stage = Stage(engine, settings)
    site = _Site(stage)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with stage:
            yield

    routes = [
        Route("/", site.index),
        Route("/healthz", site.healthz),
        Route("/readyz", site.readyz),
        Route("/metrics", site.metrics),
        WebSocketRoute("/ws", site.socket),
        Mount("/page", StaticFiles(directory=settings.page)),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(HardenedResponses)], lifespan=lifespan)
    app.state.stage = stage
    return app
