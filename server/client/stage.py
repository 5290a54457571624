"""The Python client once it is connected: frames out, sound and parameters in.

`clavilux.server.client.connect.connect` makes it. One task reads the socket, one keeps the clock; both end with the
connection. Local times are seconds of `time.monotonic`, server times whole microseconds.
"""

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from clavilux.runtime.errors import ClaviluxError, ProtocolError, SoundError
from clavilux.runtime.queues import NewestSlot
from clavilux.server.client.clock import ClockOffset
from clavilux.server.client.frame import ReceivedFrame
from clavilux.server.protocol.binary import (
    SAMPLE_TYPES,
    SOUND_HEADER,
    PulseMessage,
    Sound,
    pack_sound,
    unpack_frame,
    unpack_pulses,
)
from clavilux.server.protocol.messages import (
    Acknowledge,
    Bye,
    ClientMessage,
    ErrorEvent,
    Hello,
    Marker,
    MarkerReached,
    ParameterValues,
    Ping,
    Pong,
    ServerMessage,
    SoundFormat,
    Started,
    Status,
    Tap,
)
from clavilux.server.protocol.text import encode, parse_event
from clavilux.server.protocol.words import (
    CLOSE_REPLACED,
    MAX_SEQUENCE,
    PACKET_BYTES,
    BinaryType,
    CloseCode,
    ErrorCode,
)

FIRST_PINGS = 3  # before the stage is handed over
PING_SECONDS = 10.0
SILENT_SECONDS = 15.0  # without a word, though a status comes twice a second and each ping is answered: it is dead
KEPT_PULSES = 100  # messages of the pulse that nobody has taken: two seconds; the oldest go first
KEPT_ERRORS = 16  # error events that nobody has looked at; the oldest go first
CLOSE_CODES: dict[str, int] = {  # of the close that follows a fatal error
    ErrorCode.UNAUTHORIZED: CloseCode.POLICY_VIOLATION,
    ErrorCode.TRY_AGAIN: CloseCode.TRY_AGAIN_LATER,
    ErrorCode.REPLACED: CLOSE_REPLACED,
}
HOPELESS = frozenset({CloseCode.POLICY_VIOLATION, CLOSE_REPLACED})


class Disconnected(ClaviluxError):  # noqa: N818
    """The connection ended or could not be made; `code` is the close code, an HTTP status, or 0 for no answer."""

    def __init__(self, message: str, code: int, *, final: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.final = final  # another attempt would end the same
        self.retry_after = retry_after  # s, before which another attempt would end the same


def ended(socket: ClientConnection) -> Disconnected:
    """Return the error for a socket that is closed."""
    code = CloseCode.ABNORMAL_CLOSURE if socket.close_code is None else socket.close_code
    return Disconnected(f"the connection ended ({code} {socket.close_reason or ''})", code, final=code in HOPELESS)


def dismissed(event: ErrorEvent) -> Disconnected:
    """Return the error for a connection that a fatal `event` ends."""
    code = CLOSE_CODES.get(event.code, CloseCode.INTERNAL_ERROR)
    return Disconnected(event.message, code, final=code in HOPELESS, retry_after=event.retry_after or 0.0)


class ClientStage:
    """A started connection. Iterate over it for frames; what the server complained about is raised there, too."""

    def __init__(self, socket: ClientConnection, hello: Hello, started: Started, sound: SoundFormat | None) -> None:
        self.hello = hello  # what the server said first
        self.session = started.session  # to be shown when this client comes back
        self.parameters: dict[str, Any] = started.parameters  # the newest the server told
        self.status: Status | None = None  # the newest
        self.clock = ClockOffset(hello.server_time, time.monotonic())
        self._socket = socket
        self._sound = sound
        self._packets = 0
        self._frame: NewestSlot[ReceivedFrame] = NewestSlot()
        self._pulses: deque[PulseMessage] = deque(maxlen=KEPT_PULSES)
        self._errors: deque[ProtocolError] = deque(maxlen=KEPT_ERRORS)
        self._markers: dict[str, asyncio.Future[MarkerReached]] = {}
        self._end: ClaviluxError | None = None
        self._wake = asyncio.Event()
        self._pong = asyncio.Event()
        self._answered = 0.0  # local time of the last ping that came back
        self._tasks = [asyncio.create_task(self._read())]

    @property
    def skipped(self) -> int:
        """Frames that arrived here and that nobody took in time."""
        return self._frame.replaced

    def server_time(self) -> int:
        """Return the server's time now, µs, as well as this client knows it."""
        return self.clock.server_time(time.monotonic())

    async def send(self, samples: NDArray[np.floating[Any]], captured_at: float | None = None) -> None:
        """Send sound, float [n] or [n, channels], -1 to 1, in as many packets as it takes.

        `captured_at` is the local time of the first sample; None: the last one is from now. Raises SoundError for
        another number of channels, or where no sound was announced.
        """
        if self._sound is None:
            raise SoundError("this connection announced no sound; connect with sound=SoundFormat(...)")
        rate, channels = self._sound.rate, self._sound.channels
        block = np.asarray(samples, np.float32)
        if block.size % channels or block.ndim > 2 or (block.ndim == 2 and block.shape[1] != channels):
            raise SoundError(f"samples have shape {block.shape}; expected [n, {channels}]")
        block = block.reshape(-1, channels)
        first = time.monotonic() - len(block) / rate if captured_at is None else captured_at
        room = (PACKET_BYTES - SOUND_HEADER.size) // (SAMPLE_TYPES[self._sound.encoding].itemsize * channels)
        for start in range(0, len(block), room):
            when = self.clock.server_time(first + start / rate)
            packet = Sound(self._packets, when, block[start : start + room])
            self._packets = (self._packets + 1) % (MAX_SEQUENCE + 1)
            await self._transmit(pack_sound(packet, self._sound.encoding))

    async def set(self, **parameters: Any) -> None:
        """Set parameters, all or none; a refusal is raised by the iteration, as ProtocolError "bad_parameter"."""
        await self._say(ParameterValues(parameters))

    async def mark(self, name: str) -> asyncio.Future[MarkerReached]:
        """Send a marker; the future is done when all sound sent before it has shaped a frame that was sent here.

        Keep iterating meanwhile: frames come only as earlier ones are taken. The connection's end cancels the future.
        """
        future = asyncio.get_running_loop().create_future()
        self._markers[name] = future
        await self._say(Marker(name))
        return future

    async def tap(self, at: float | None = None) -> None:
        """Say that there is a beat, at local time `at`; None: now. It corrects the beat that the stage hears."""
        await self._say(Tap(self.clock.server_time(time.monotonic() if at is None else at)))

    def pulses(self) -> list[PulseMessage]:
        """Return readings of the pulse that came since the last call, oldest first, at most two seconds of them.

        There are some only where `connect` was told so. Those of one message are a hundred a second.
        """
        waiting = list(self._pulses)
        self._pulses.clear()
        return waiting

    async def ping(self) -> float:
        """Wait until the server has taken everything sent so far; return the round trip in seconds.

        Raises Disconnected when the connection ends meanwhile.
        """
        sent_at = time.monotonic()
        await self._say(Ping(sent_at))
        while self._answered < sent_at:
            if self._end is not None:
                raise self._end
            self._pong.clear()
            await self._pong.wait()
        return time.monotonic() - sent_at

    async def learn_clock(self) -> None:
        """Ping FIRST_PINGS times, then go on every PING_SECONDS in the background."""
        for _ in range(FIRST_PINGS):
            await self.ping()
        self._tasks.append(asyncio.create_task(self._keep_clock()))

    async def close(self) -> None:
        """Say bye and end the connection; where that is cancelled, it ends at once."""
        try:
            with suppress(Disconnected):
                await self._say(Bye("client closed"))
            await self._socket.close()
        finally:
            self._socket.transport.abort()  # does nothing to one that has closed
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def __aiter__(self) -> "ClientStage":
        return self

    async def __anext__(self) -> ReceivedFrame:
        """Return the newest frame that was not returned yet, and acknowledge it.

        Raises ProtocolError for what the server complained about (iterate again to go on), Disconnected when the
        connection has ended any other way than by bye.
        """
        self._complain()
        while (frame := self._frame.take()) is None:
            if self._end is not None:
                self._stop(self._end)
            self._wake.clear()
            await self._wake.wait()
            self._complain()
        with suppress(Disconnected):
            await self._say(Acknowledge(frame.sequence, self.server_time()))
        return frame

    def _complain(self) -> None:
        if self._errors:
            raise self._errors.popleft()

    def _stop(self, end: ClaviluxError) -> None:
        if isinstance(end, Disconnected) and end.code == CloseCode.NORMAL_CLOSURE:
            raise StopAsyncIteration
        raise end

    async def _say(self, message: ClientMessage) -> None:
        await self._transmit(encode(message))

    async def _transmit(self, message: str | bytes) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed as error:
            raise ended(self._socket) from error

    async def _keep_clock(self) -> None:
        with suppress(Disconnected):
            while True:
                await asyncio.sleep(PING_SECONDS)
                await self._say(Ping(time.monotonic()))

    async def _read(self) -> None:
        try:
            while True:
                async with asyncio.timeout(SILENT_SECONDS):
                    message = await self._socket.recv()
                self._take(message)
        except TimeoutError:
            self._end = Disconnected(f"nothing has come for {SILENT_SECONDS:g} s", CloseCode.ABNORMAL_CLOSURE)
            self._socket.transport.abort()
        except ConnectionClosed:
            self._end = self._end or ended(self._socket)
        except ProtocolError as error:
            self._end = error
        finally:
            for future in self._markers.values():
                future.cancel()
            self._pong.set()
            self._wake.set()

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self._hear_of(parse_event(message))
        elif message[:1] == bytes([BinaryType.PULSE]):
            self._pulses.append(unpack_pulses(message))
        else:
            self._frame.put(ReceivedFrame(unpack_frame(message), self.server_time(), self.hello.stages))
        self._wake.set()

    def _hear_of(self, event: ServerMessage | None) -> None:
        match event:
            case ParameterValues():
                self.parameters = event.values
            case Status():
                self.status = event
            case Pong():
                self.clock.take(event.client_time, event.server_time, time.monotonic())
                self._answered = event.client_time
                self._pong.set()
            case MarkerReached() if event.id in self._markers:
                future = self._markers.pop(event.id)
                if not future.done():
                    future.set_result(event)
            case ErrorEvent(fatal=True):
                self._end = dismissed(event)
            case ErrorEvent():
                self._errors.append(ProtocolError(event.code, event.message))
