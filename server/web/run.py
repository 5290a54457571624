"""Runs the server: uvicorn, one process, its sans-I/O websockets and h11, both within limits.

    serve(engine, Settings(port=7860), on_listening=lambda here: print(here.url))

uvicorn alone lets a peer grow memory by either side of a connection (pongs, fragments), and hold it for ever; what its
source leaves open, and what closes it, stands in `http_protocol` and `websocket_protocol`. Here all connections are
looked at SWEEPS times a second, and end in time with the server whatever their peers do.
"""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from types import FrameType

import uvicorn

from clavilux.runtime.errors import DeviceError
from clavilux.server.protocol.words import HARD_LIMIT_BYTES
from clavilux.server.settings import Settings, plain
from clavilux.server.stage.interfaces import EngineLike, OwnSource
from clavilux.server.stage.peer_log import LibraryLines, PeerLog
from clavilux.server.stage.stage import Stage
from clavilux.server.web import exposure
from clavilux.server.web.answers import BoundedAnswers
from clavilux.server.web.app import create_app
from clavilux.server.web.arrivals import Arrivals
from clavilux.server.web.http_protocol import GuardedHttp
from clavilux.server.web.limits import GuardedConfig, Limits, affordable, free_descriptors
from clavilux.server.web.listener import Listener
from clavilux.server.web.transports import read_less
from clavilux.server.web.websocket_protocol import GuardedWebSocket

logger = logging.getLogger(__name__)

FAREWELL_SECONDS = 1.0  # for clients to take their bye
CLOSING_SECONDS = 2.0  # for them to take what else is left; then connections are cut
SHUTDOWN_SECONDS = 3  # for connections to end after the bye; uvicorn wants whole seconds
SWEEPS = 5  # per second, of the connections that are overdue
TICKS = 10  # per second, of uvicorn's main loop
BACKLOG = 256  # connections that the system keeps until they are accepted
LIBRARIES = ("asyncio", "uvicorn.error")  # loggers that say something for each thing that a peer does
MAX_PORT = 65_535
ADVICE = {
    errno.EADDRINUSE: "stop what uses it, or choose another port",
    errno.EACCES: "choose a port above 1023",
}
PING_SECONDS = 20.0  # between keep-alive pings, and for the answer to one
LIMITS = Limits()


@dataclass(frozen=True)
class Listening:
    """Where a server listens, and how to stop it from any thread."""

    host: str  # with a certificate the first name that it answers to, if it was told any
    port: int
    stop: Callable[[], None]
    secure: bool = False  # whether it speaks TLS

    @property
    def url(self) -> str:
        """The address of the page, as a browser takes it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        scheme = "https" if self.secure else "http"
        return f"{scheme}://[{host}]:{self.port}/" if ":" in host else f"{scheme}://{host}:{self.port}/"


def bind(host: str, port: int, check: Callable[[str], None] = lambda address: None) -> socket.socket:
    """Return a listening socket, once `check` has seen the address that `host` is.

    Raises DeviceError when the address cannot be had, and whatever `check` raises.
    """
    if not 0 <= port <= MAX_PORT:
        raise DeviceError(f"cannot listen on port {port}; expected 0 (any that is free) to {MAX_PORT}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        check(str(address[0]))
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, "expected an address, or a name, of this machine")
        raise DeviceError(f"cannot listen on {host}, port {port}: {error.strerror}; {advice}") from error


def check(settings: Settings) -> None:
    """Look over settings before anything dear is begun. Raises DeviceError for what `serve` would refuse."""
    exposure.tls(settings)
    _bind(settings).close()


def _bind(settings: Settings) -> socket.socket:
    return bind(settings.host, settings.port, lambda address: exposure.check(settings, address))


class _Server(uvicorn.Server):
    def __init__(self, config: GuardedConfig, stage: Stage, listener: Listener, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._peers, self._limits = config.peers, config.limits
        self._stage = stage
        self._listener = listener
        self._on_started = on_started
        listener.in_use = lambda: _descriptors(one for one in self._connections() if one.in_use)
        listener.lasting = lambda: _descriptors(one for one in self._connections() if isinstance(one, GuardedWebSocket))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        if counter % (TICKS // SWEEPS) == 0:
            now = asyncio.get_running_loop().time()
            for connection in self._connections():
                connection.sweep(now)
            self._listener.sweep(now, self._limits.head_seconds, _descriptors(self._connections()))
            self._peers.tell()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._stage.farewell()
        cut = asyncio.get_running_loop().call_later(min(CLOSING_SECONDS, SHUTDOWN_SECONDS), self._cut)
        await super().shutdown(sockets)
        cut.cancel()
        self._cut()
        self._peers.tell(last=True)
        await asyncio.sleep(0)  # an aborted transport closes its socket in the loop's next turn

    def _cut(self) -> None:
        """End all connections, also of those who do not read what is left to send."""
        for connection in self._connections():
            connection.transport.abort()
        self._listener.end_all()

    def _connections(self) -> list[GuardedHttp | GuardedWebSocket]:
        return [one for one in self.server_state.connections if isinstance(one, GuardedHttp | GuardedWebSocket)]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not uvicorn's own, which raises the signal again at the end and so kills the command that called `serve`.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _descriptors(connections: Iterable[GuardedHttp | GuardedWebSocket]) -> set[int]:
    sockets = (one.transport.get_extra_info("socket") for one in connections)
    return {one.fileno() for one in sockets if one is not None}  # over TLS one that is lost has none for a moment


@contextlib.contextmanager
def _calm(peers: PeerLog) -> Iterator[None]:
    """Let libraries say no more about peers than `peers` does, while the block lasts."""
    lines = LibraryLines(peers)
    for name in LIBRARIES:
        logging.getLogger(name).addFilter(lines)
    try:
        yield
    finally:
        for name in LIBRARIES:
            logging.getLogger(name).removeFilter(lines)


@contextlib.contextmanager
def hanging_up(stop: Callable[[], None]) -> Iterator[None]:
    """Let a terminal that is closed (SIGHUP) stop the server as SIGTERM does in the block; under nohup it does not."""
    number = getattr(signal, "SIGHUP", None)
    here = threading.current_thread() is threading.main_thread()
    if number is None or not here or signal.getsignal(number) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(number, lambda *_: stop())
    try:
        yield
    finally:
        signal.signal(number, before)


def _limits_here(wanted: Limits, settings: Settings) -> Limits:
    """Return the limits that this process can carry, and say so where the stage could hold more."""
    needed = settings.max_viewers + settings.max_performers
    most = wanted.connections if settings.max_viewers <= Settings.max_viewers else max(wanted.connections, 2 * needed)
    limits = replace(wanted, connections=most, unread_seconds=settings.send_seconds)
    limits = affordable(limits, free_descriptors())
    if limits.connections < needed:
        line = "this process may open so few files that %d connections are the most; a full stage is %d: ulimit -n %d"
        logger.warning(line, limits.connections, needed, 4 * needed)
    return limits


def serve(
    engine: EngineLike,
    settings: Settings,
    *,
    source: OwnSource | None = None,
    limits: Limits = LIMITS,
    on_listening: Callable[[Listening], None] = lambda here: None,
) -> None:
    """Serve until SIGINT or SIGTERM (in the main thread) or `Listening.stop`, then end the engine and return.

    `source` is the sound card that the engine hears, if it hears one.
    `limits` bound what peers may cost; of connections there are fewer where the process may open few files.
    `on_listening` is called once on the event loop, with the real port; it must not block.
    Raises DeviceError when the address cannot be had, when others could reach it without a token and `settings.open`
    does not say so, and for settings that cannot be (`clavilux.server.web.exposure`).
    """
    context = exposure.tls(settings)
    if context is not None:
        read_less()
    bound = _bind(settings)
    host, port = settings.host, bound.getsockname()[1]
    exposure.warn(settings)
    limits = _limits_here(limits, settings)
    app = create_app(engine, settings, source)
    peers = app.state.stage.peers
    config = GuardedConfig(
        BoundedAnswers(app, limits, peers),
        limits,
        peers,
        loop="asyncio",  # whose accept the listener bounds, whatever else is installed
        http=GuardedHttp,
        ws=GuardedWebSocket,
        ws_max_size=HARD_LIMIT_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="on",
        backlog=BACKLOG,
        timeout_keep_alive=limits.idle_seconds,
        # Without a proxy that was named nobody's word is taken for where a request comes from.
        forwarded_allow_ips=list(settings.proxies),
        ssl_context_factory=None if context is None else lambda config, usual: context,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )

    def started() -> None:
        named = host if context is None else next(map(plain, settings.names), host)
        on_listening(Listening(named, port, stop, context is not None))

    def stop() -> None:
        server.should_exit = True

    arrivals = Arrivals(limits.arrival_burst, limits.arrivals, settings.proxies)
    with hanging_up(stop), Listener(bound, limits.connections, peers, arrivals) as listener, _calm(peers):
        server = _Server(config, app.state.stage, listener, started)
        server.run([listener])
