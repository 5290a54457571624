"""Runs the server: uvicorn, one process, the sans-I/O websocket implementation.

    serve(engine, Settings(port=7860), on_listening=lambda here: print(here.url))

What was checked in uvicorn's source: with `websockets-sansio` reading pauses while a message waits to be taken, and
sending waits while the socket's buffer is over its high-water mark, so neither side of a connection can grow memory.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

import uvicorn

from clavilux.runtime.errors import DeviceError
from clavilux.server.protocol.words import HARD_LIMIT_BYTES
from clavilux.server.settings import Settings
from clavilux.server.stage.interfaces import EngineLike, OwnSource
from clavilux.server.stage.stage import Stage
from clavilux.server.web.app import create_app

FAREWELL_SECONDS = 1.0  # for clients to take their bye
SHUTDOWN_SECONDS = 3  # for connections to end after it; uvicorn wants whole seconds
MAX_PORT = 65_535
PING_SECONDS = 20.0  # between keep-alive pings, and for the answer to one


@dataclass(frozen=True)
class Listening:
    """Where a server listens, and how to stop it from any thread."""

    host: str
    port: int
    stop: Callable[[], None]

    @property
    def url(self) -> str:
        """The address of the page, as a browser takes it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises DeviceError when the address cannot be had."""
    if not 0 <= port <= MAX_PORT:
        raise DeviceError(f"cannot listen on port {port}; expected 0 (any that is free) to {MAX_PORT}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise DeviceError(
            f"cannot listen on {host}, port {port}: {error.strerror}; stop what uses it, or choose another port"
        ) from error


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stage: Stage, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._stage = stage
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._stage.farewell()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):  # of who does not read what is left to send
            connection.transport.abort()
        await asyncio.sleep(0)  # an aborted transport closes its socket in the loop's next turn

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not uvicorn's own, which raises the signal again at the end and so kills the command that called `serve`.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def serve(
    engine: EngineLike,
    settings: Settings,
    *,
    source: OwnSource | None = None,
    on_listening: Callable[[Listening], None] = lambda here: None,
) -> None:
    """Serve until SIGINT or SIGTERM (in the main thread) or `Listening.stop`, then end the engine and return.

    `source` is the sound card that the engine hears, if it hears one.
    `on_listening` is called once on the event loop, with the real port; it must not block.
    Raises DeviceError when the address cannot be had.
    """
    listener = bind(settings.host, settings.port)
    host, port = settings.host, listener.getsockname()[1]
    app = create_app(engine, settings, source)
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=HARD_LIMIT_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )

    def started() -> None:
        on_listening(Listening(host, port, stop))

    server = _Server(config, app.state.stage, started)

    def stop() -> None:
        server.should_exit = True

    with listener:
        server.run([listener])
