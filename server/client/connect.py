"""A Python client: watch a stage, or play it.

    async for frame in connect("ws://127.0.0.1:7860/ws"):           # watches, and reconnects for ever
        show(frame.pixels)

    async with connect(url, role="performer", sound=SoundFormat(rate=48_000)) as stage:
        await stage.send(samples)
        async for frame in stage: ...

Who is slow skips frames and never lags.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import cast

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from clavilux.runtime.errors import ProtocolError
from clavilux.server.client.frame import ReceivedFrame
from clavilux.server.client.stage import ClientStage, Disconnected, dismissed, ended
from clavilux.server.protocol import messages
from clavilux.server.protocol.messages import ErrorEvent, Hello, PictureFormat, Start, Started
from clavilux.server.protocol.text import encode, parse_event
from clavilux.server.protocol.words import SESSION_HEADER, SUBPROTOCOL, ErrorCode, Role, SoundEncoding

__all__ = [
    "ClientStage",
    "Connect",
    "Disconnected",
    "PictureFormat",
    "ReceivedFrame",
    "SoundFormat",
    "backoff",
    "connect",
]

MAX_FRAME_BYTES = 64 * 2**20  # raw RGB of a 4096 x 4096 picture fits
MIN_WAIT, MAX_WAIT = 0.5, 15.0  # s, between attempts to reconnect
UNAUTHORIZED, TOO_MANY = 401, 429  # HTTP, to a token in a header


def backoff() -> Iterator[float]:
    """Yield waits in seconds, doubling up to MAX_WAIT, each cut by up to a half at random."""
    whole = MIN_WAIT
    while True:
        yield whole * random.uniform(0.5, 1.0)  # noqa: S311
        whole = min(MAX_WAIT, 2 * whole)


class SoundFormat(messages.SoundFormat, frozen=True):
    """Layout of the samples that a performer sends: float32 mono at 48 kHz unless it is told otherwise."""

    encoding: SoundEncoding = SoundEncoding.FLOAT32
    rate: messages.Rate = 48_000
    channels: messages.Channels = 1  # interleaved
    use: messages.Use | None = None  # which of them are heard, counted from 1; None: all


def connect(
    url: str,
    *,
    role: Role | str = Role.VIEWER,
    sound: messages.SoundFormat | None = None,
    picture: PictureFormat | None = None,
    token: str | None = None,
    pulse: bool = False,
    take_over: bool = False,
    delays: Callable[[], Iterator[float]] = backoff,
) -> "Connect":
    """Return a connection to be opened with `async with`, or read with `async for`.

    `url` is the socket's, such as ws://127.0.0.1:7860/ws. `role` is "viewer" or "performer". With `pulse` the stage has
    readings of the pulse, too: `ClientStage.pulses`. With `take_over` and a token of the role admin it sounds in the
    place of whoever does. `delays` gives the waits between attempts of `async for`, in seconds; when it ends, so do the
    attempts. Where the server names a longer time, that is waited.
    """
    # The server has the last word on the role, as on all that `start` says.
    start = Start(cast(Role, role), sound, picture or PictureFormat(), token, pulse, take_over=take_over)
    return Connect(url, start, delays)


class Connect:
    """Connection to be made: a stage for `async with`, frames without end for `async for`."""

    def __init__(self, url: str, start: Start, delays: Callable[[], Iterator[float]]) -> None:
        self.url = url
        self.start = start
        self._delays = delays
        self._stage: ClientStage | None = None

    async def __aenter__(self) -> ClientStage:
        """Connect, start, and learn the server's clock.

        Raises ProtocolError when the server refuses what was asked for, Disconnected when there is no talking to it.
        """
        self._stage = await _open(self.url, self.start)
        self.start = msgspec.structs.replace(self.start, session=self._stage.session or None)
        return self._stage

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stage, self._stage = self._stage, None
        if stage is not None:
            await stage.close()

    async def __aiter__(self) -> AsyncIterator[ReceivedFrame]:
        """Yield frames, reconnecting with back-off whenever the connection is lost.

        Raises ProtocolError and Disconnected where another attempt would end the same: a wrong token, a refused origin.
        """
        delays = self._delays()
        while True:
            try:
                async with self as stage:
                    async for frame in stage:
                        delays = self._delays()
                        yield frame
                    return
            except Disconnected as lost:
                delay = next(delays, None)
                if lost.final or delay is None:
                    raise
                delay = max(delay, lost.retry_after)
            await asyncio.sleep(delay)


async def _open(url: str, start: Start) -> ClientStage:
    try:
        socket = await open_socket(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            max_size=MAX_FRAME_BYTES,
            additional_headers=_headers(start),
        )
    except InvalidStatus as error:
        raise _refused(url, error) from error
    except InvalidURI as error:
        raise Disconnected(f"{url} is no websocket address; expected ws://HOST:PORT/ws", 0, final=True) from error
    except (OSError, InvalidHandshake) as error:
        raise Disconnected(f"cannot reach {url}: {error}", 0) from error
    try:
        return await _begin(socket, start)
    except ConnectionClosed as error:
        raise ended(socket) from error
    except BaseException:
        try:
            await socket.close()
        finally:
            socket.transport.abort()  # where that was cancelled; does nothing to one that has closed
        raise


def _headers(start: Start) -> dict[str, str]:
    """Return the headers that show the token and the session of `start`: so those without cannot crowd this one out."""
    token = start.token
    if not (token and token.isascii() and token.isprintable() and token == token.strip()):
        return {}
    return {"Authorization": f"Bearer {token}", **({SESSION_HEADER: start.session} if start.session else {})}


def _refused(url: str, error: InvalidStatus) -> ProtocolError | Disconnected:
    response = error.response
    status, body = response.status_code, (response.body or b"").decode(errors="replace").strip()
    if status == UNAUTHORIZED:
        return ProtocolError(ErrorCode.UNAUTHORIZED, body)
    wait = response.headers.get("Retry-After", "")
    retry_after = float(wait) if wait.isascii() and wait.isdigit() else 0.0
    final = status < 500 and status != TOO_MANY
    return Disconnected(f"{url} answers {status}: {body}", status, final=final, retry_after=retry_after)


async def _begin(socket: ClientConnection, start: Start) -> ClientStage:
    greeting = parse_event(await _text(socket))
    if not isinstance(greeting, Hello):
        raise ProtocolError(ErrorCode.BAD_MESSAGE, f"the server opened with {greeting}; expected hello")
    # A server with nothing to join says so and closes; what it said can still be read.
    with suppress(ConnectionClosed):
        await socket.send(encode(start))
    while not isinstance(event := parse_event(await _text(socket)), Started):
        if isinstance(event, ErrorEvent) and event.code in (ErrorCode.ENGINE_FAILED, ErrorCode.TRY_AGAIN):
            raise dismissed(event)
        if isinstance(event, ErrorEvent):
            raise ProtocolError(event.code, event.message)
    stage = ClientStage(socket, greeting, event, start.sound)
    await stage.learn_clock()
    return stage


async def _text(socket: ClientConnection) -> str:
    message = await socket.recv()
    if isinstance(message, bytes):
        raise ProtocolError(ErrorCode.BAD_MESSAGE, f"{len(message)} bytes before started; expected text")
    return message
