"""Message pump between one connection and its channel: a task that reads, a task that writes, and their end.

A channel is whatever carries messages; the websocket one is in `clavilux.server.web.channel`, a fake in
tests/server/fakes.py.
"""

import asyncio
from contextlib import suppress
from typing import Protocol

from clavilux.runtime.frame import Frame
from clavilux.server.protocol.binary import PulseMessage, pack_frame, pack_pulses
from clavilux.server.protocol.messages import ServerMessage
from clavilux.server.protocol.text import encode
from clavilux.server.protocol.words import CloseCode, Role
from clavilux.server.stage.compression import UNLIMITED, flashes_of
from clavilux.server.stage.connection import Connection
from clavilux.server.stage.outbox import Farewell, Readings
from clavilux.server.stage.packing import pack
from clavilux.server.stage.stage import Stage
from clavilux.server.stage.visitor import Visitor
from clavilux.server.stage.wire_time import server_time


class GoneError(Exception):
    """The peer is no longer there; not an error to report to anyone."""


class Channel(Protocol):
    """Carries messages to and from one client."""

    async def receive(self) -> str | bytes | None:
        """Return the next message, None once the client is gone."""

    async def send(self, message: str | bytes) -> None:
        """Send, waiting while the network is full. Raises GoneError."""

    async def close(self, code: int, reason: str) -> None:
        """Close from this side. Raises GoneError."""


async def run_connection(channel: Channel, stage: Stage, visitor: Visitor | None = None) -> Role | None:
    """Talk to one client until either side ends it, and leave the stage whatever happens; return its role, if any.

    What nobody foresaw ends this connection with INTERNAL_ERROR and goes to the log; the peer learns nothing of it.
    """
    pump = _Pump(channel, stage, visitor)
    try:
        await pump.connection.greet()
        # Whichever ends first ends the other: the reader ends with the client, the writer with the farewell.
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(pump.read())
            writer = group.create_task(pump.write())
            reader.add_done_callback(lambda _: writer.cancel())
            writer.add_done_callback(lambda _: reader.cancel())
    except Exception as error:  # of a group, as both tasks may have failed
        stage.peers.failed("internal_error", f"a connection ended by an error: {_root(error)!r}", error)
        await pump.give_up()
    finally:
        pump.connection.leave()
    return pump.connection.role


def _root(error: BaseException) -> BaseException:
    """Return the first error of those that a group holds."""
    return _root(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


class _Pump:
    def __init__(self, channel: Channel, stage: Stage, visitor: Visitor | None) -> None:
        self.connection = Connection(stage, visitor)
        self._channel = channel
        self._stage = stage

    async def read(self) -> None:
        """Take messages until the client is gone; give it `start_seconds` to start."""
        limit = self._stage.settings.start_seconds
        try:
            async with asyncio.timeout(limit) as timer:
                await self._take_all(timer)
        except TimeoutError:
            self.connection.outbox.finish(Farewell(CloseCode.POLICY_VIOLATION, f"no start within {limit:g} s"))
            await self._take_all(timer=None)

    async def _take_all(self, timer: asyncio.Timeout | None) -> None:
        while (message := await self._channel.receive()) is not None:
            await self.connection.take(message)
            if timer is not None and self.connection.role:
                timer.reschedule(None)

    async def write(self) -> None:
        """Send what the outbox gives until its farewell, or until the client is gone or reads nothing."""
        with suppress(GoneError, TimeoutError):
            while not isinstance(item := await self.connection.outbox.next(), Farewell):
                if isinstance(item, Frame):
                    await self._send_frame(item)
                elif isinstance(item, Readings):
                    await self._send_pulses(item)
                else:
                    await self._send(encode(item))
            await self._part(item)

    async def give_up(self) -> None:
        """Close after an error of the server's own, as far as the peer can still be reached."""
        with suppress(GoneError, TimeoutError):
            await self._close(CloseCode.INTERNAL_ERROR, "internal error")

    async def _part(self, farewell: Farewell) -> None:
        for message in farewell.messages:
            await self._send(encode(message))
        await self._close(farewell.code, farewell.reason)

    async def _close(self, code: int, reason: str) -> None:
        async with asyncio.timeout(self._stage.settings.send_seconds):
            await self._channel.close(code, reason)

    async def _send_frame(self, frame: Frame) -> None:
        stage, outbox, layout = self._stage, self.connection.outbox, self.connection.picture
        flashes = UNLIMITED if self.connection.limits_flashes else flashes_of(frame)
        picture = await stage.compressor.get(frame, layout, flashes)
        packed = pack(frame, picture, layout, stage.engine.clock.now())
        outbox.in_flight.add(packed.sequence, stage.health.timed(frame))
        await self._send(pack_frame(packed))
        stage.metrics.frames_sent.inc()
        reached: list[ServerMessage] = [*outbox.sent(frame, packed)]
        for message in reached:
            await self._send(encode(message))

    async def _send_pulses(self, readings: Readings) -> None:
        known = self._stage.known
        message = PulseMessage(readings.pulses, server_time(readings.captured_at), known)
        await self._send(pack_pulses(message))

    async def _send(self, message: str | bytes) -> None:
        async with asyncio.timeout(self._stage.settings.send_seconds):
            await self._channel.send(message)
        self._stage.metrics.bytes_sent.inc(len(message))
