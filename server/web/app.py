"""The web application: the page, the socket, health and metrics, as one Starlette app.

    app = create_app(engine, Settings())

Its lifespan starts and stops the engine. Assumes one process and one event loop.
"""

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from clavilux.server.protocol.words import SUBPROTOCOL, CloseCode
from clavilux.server.settings import Settings
from clavilux.server.stage.interfaces import EngineLike, OwnSource
from clavilux.server.stage.peer_log import peer_name
from clavilux.server.stage.stage import Stage
from clavilux.server.web.channel import converse
from clavilux.server.web.security import HardenedResponses, refusal

WAITING_CONNECTIONS = 16  # sockets beyond `max_viewers`: performers, and who has not started yet
# Some systems map .js to text/plain, which no browser runs as a module.
mimetypes.add_type("text/javascript", ".js")


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
        state = self.stage.engine.state
        return PlainTextResponse(state, 200 if self.stage.ready else 503)

    async def metrics(self, request: Request) -> Response:
        return Response(self.stage.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def socket(self, socket: WebSocket) -> None:
        denied = refusal(socket.headers, socket.scope["subprotocols"], self.stage.settings)
        if denied is not None:
            line = f"{peer_name(socket.client)}: {bytes(denied.body).decode()}"
            self.stage.peers.refused(f"http_{denied.status_code}", line)
            await socket.send_denial_response(denied)
            return
        await socket.accept(SUBPROTOCOL)
        if self._open >= self.stage.settings.max_viewers + WAITING_CONNECTIONS:
            self.stage.peers.refused("stage_full", f"{self._open} websockets are open; a newcomer was sent away")
            await socket.close(CloseCode.TRY_AGAIN_LATER, "stage full")
            return
        self._open += 1
        try:
            await converse(socket, self.stage)
        finally:
            self._open -= 1


def create_app(engine: EngineLike, settings: Settings, source: OwnSource | None = None) -> Starlette:
    """Return the application that plays `engine`, which must not be started yet. `app.state.stage` is its Stage.

    `source` is the sound card that it hears, if it hears one.
    """
    stage = Stage(engine, settings, source)
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
