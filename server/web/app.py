"""The web application: the page, the socket, health and metrics, as one Starlette app.

    app = create_app(engine, Settings())

Its lifespan starts and stops the engine. Assumes one process and one event loop.
"""

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from clavilux.server.protocol.words import SESSION_HEADER, SUBPROTOCOL
from clavilux.server.settings import Right, Settings
from clavilux.server.stage.interfaces import EngineLike, OwnSource
from clavilux.server.stage.peer_log import peer_name
from clavilux.server.stage.refusals import RefusedError
from clavilux.server.stage.stage import Stage
from clavilux.server.stage.visitor import Visitor
from clavilux.server.web.channel import converse
from clavilux.server.web.security import HardenedResponses, bearer, denial, is_local, refusal

# Some systems map .js to text/plain, which no browser runs as a module.
mimetypes.add_type("text/javascript", ".js")


class _Site:
    """The handlers of the routes, round one stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    async def index(self, request: Request) -> Response:
        return FileResponse(self.stage.settings.page / "index.html", media_type="text/html")

    async def healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(self, request: Request) -> Response:
        state = self.stage.engine.state
        return PlainTextResponse(state, 200 if self.stage.ready else 503)

    async def metrics(self, request: Request) -> Response:
        try:
            visitor = self._visitor(request)
        except RefusedError as refused:
            return self._noted(request, denial(refused))
        may_all = visitor.token is not None and visitor.token.right == Right.ADMIN
        if not may_all and not is_local(request.headers, visitor.address, self.stage.settings):
            line = "metrics are for this machine, and for tokens of the role admin: Authorization: Bearer TOKEN\n"
            return PlainTextResponse(line, 401, {"WWW-Authenticate": "Bearer"})
        return Response(self.stage.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def socket(self, socket: WebSocket) -> None:
        denied = refusal(socket.headers, socket.scope["subprotocols"], self.stage.settings)
        try:
            visitor = self._visitor(socket) if denied is None else Visitor()
        except RefusedError as refused:
            denied = denial(refused)
        if denied is not None:
            await socket.send_denial_response(self._noted(socket, denied))
            return
        await socket.accept(SUBPROTOCOL)
        await converse(socket, self.stage, visitor)

    def _noted(self, request: HTTPConnection, denied: Response) -> Response:
        """Return the answer to a refused request, of which the log is told."""
        line = f"{peer_name(request.client)}: {bytes(denied.body).decode()}"
        self.stage.peers.refused(f"http_{denied.status_code}", line)
        return denied

    def _visitor(self, request: HTTPConnection) -> Visitor:
        """Return who asks. Raises RefusedError for a token in the header that is wrong, or is not looked at."""
        address = request.client.host if request.client else Visitor.address
        visitor = Visitor(address, peer=peer_name(request.client))
        shown = bearer(request.headers)
        if shown is None:
            return visitor
        stage, session = self.stage, request.headers.get(SESSION_HEADER)
        return replace(visitor, token=stage.admission.identify(shown, visitor, stage.engine.clock.now(), session))


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
