"""Hostile clients of a real server: mutated websocket frames, messages in any order, mutated requests.

    sent = asyncio.run(beset(url, LIVES["socket"], 10_000, 60.0, Random(7)))

Bounded in number and time, and for addresses of this machine alone. Each connection is short: what it meets at its end
is counted, and the server's own faults (close 1011, HTTP 500) are none that it may meet.
"""

import asyncio
import json
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from clavilux.benchmarks.studies import fuzz_inputs as inputs
from clavilux.benchmarks.studies.attackers import SUBPROTOCOL, Target, ending, met, opened, upgraded
from clavilux.benchmarks.studies.fuzz_decoders import opening, said
from clavilux.benchmarks.studies.fuzz_inputs import Shaker

AT_ONCE = 8  # connections
MESSAGES = 40  # of one connection at most, so that the server's limits are met by some and not by all
PATIENCE = 2.0  # s for a connection to end, once everything has been sent
BINARY, TEXT = 2, 1
OPCODES = (0, TEXT, BINARY, 3, 8, 9, 10, 11, 15)
UNSETTLING = ("frame_rate", "freeze", "blackout", "panic", "hop", "steps", "noise")
"""Parameters that any performer may set, and that would make a usual client's pictures fewer or more."""

FAULTS = ("closed 1011", "HTTP 500")
"""Endings that are the server's own fault."""

MESSAGES_SENT = (
    *(message for message in inputs.CLIENT_MESSAGES if message["type"] != "bye"),
    {"type": "parameters", "values": {"glide": 0.5, "mirror": 3, "gain_follows": True}},
)


@dataclass
class Siege:
    """State of hostile clients together: what they have sent, and how their connections ended."""

    target: Target
    sent: int = 0
    endings: Counter[str] = field(default_factory=Counter)


Life = Callable[[Siege, Shaker], Awaitable[str]]
"""One connection from its beginning to how it ended, whose chance is its own."""


def wire_frame(shaker: Shaker, message: str | bytes) -> bytes:
    """Return a message as a client's frame, one of four times with a wrong opcode, length, mask, or end."""
    random = shaker.random
    payload = message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message
    head, mask = 0x80 | (TEXT if isinstance(message, str) else BINARY), random.randbytes(4)
    if random.random() < 0.1:
        head = random.choice((0, 0x80, 0x80, 0xC0, 0x90)) | random.choice(OPCODES)
    size = len(payload) if random.random() < 0.95 else random.choice((0, 125, 126, 127, 65_535, 65_536, 2**63))
    length = (
        bytes([size])
        if size < 126
        else struct.pack(">BH", 126, size)
        if size < 2**16
        else struct.pack(">BQ", 127, size)
    )
    masked = random.random() < 0.98
    length = bytes([length[0] | (0x80 if masked else 0)]) + length[1:]
    written = bytes([head]) + length + (mask if masked else b"") + _masked(payload, mask)
    return shaker.bytes(written) if random.random() < 0.05 else written


def _masked(payload: bytes, mask: bytes) -> bytes:
    keys = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(len(payload), "big")


def _messages(shaker: Shaker) -> Iterator[str | bytes]:
    """Yield what to send: nothing that changes everyone's pictures by right, as every performer may."""
    yield opening(shaker)
    for _ in range(shaker.random.randint(1, MESSAGES)):
        message = said(shaker, MESSAGES_SENT)
        if not (isinstance(message, str) and any(name in message for name in UNSETTLING)):
            yield message


async def raw(siege: Siege, shaker: Shaker) -> str:
    """Live on a bare connection that writes frames, right and wrong ones, and reads on until the server has closed."""
    async with opened(siege.target) as (reader, writer):
        await upgraded(reader, writer)
        over = asyncio.ensure_future(ending(reader))
        try:
            for message in _messages(shaker):
                if over.done():
                    break
                writer.write(wire_frame(shaker, message))
                await writer.drain()
                siege.sent += 1
            writer.write(wire_frame(shaker, json.dumps({"type": "bye"})))
            return await asyncio.wait_for(asyncio.shield(over), PATIENCE)
        finally:
            over.cancel()
            with suppress(asyncio.CancelledError, OSError, EOFError):
                await over


async def polite(siege: Siege, shaker: Shaker) -> str:
    """Live by the rules of websockets, with mutated messages in any order."""
    async with connect(
        siege.target.url, subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=None, close_timeout=PATIENCE, proxy=None
    ) as socket:
        reading = asyncio.ensure_future(_read(socket.recv))
        try:
            for message in _messages(shaker):
                text = message.encode("utf-8", "replace").decode() if isinstance(message, str) else message
                await socket.send(text)
                siege.sent += 1
            await socket.send(json.dumps({"type": "bye"}))
            await asyncio.wait_for(asyncio.shield(reading), PATIENCE)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await reading
    return "left"


async def _read(receive: Callable[[], Awaitable[object]]) -> None:
    while True:
        await receive()


async def asking(siege: Siege, shaker: Shaker) -> str:
    """Send one mutated request, and read the status of its answer."""
    async with opened(siege.target) as (reader, writer):
        random = shaker.random
        request = shaker.bytes(random.choice(inputs.REQUESTS))
        writer.write(request)
        if random.random() < 0.5:
            writer.write_eof()
        siege.sent += 1
        line = await asyncio.wait_for(reader.readline(), PATIENCE / 4)
        return "HTTP " + line.split(b" ")[1].decode("latin-1") if line.count(b" ") else "ended without an answer"


async def either_way(siege: Siege, shaker: Shaker) -> str:
    """Live on a bare connection or by the rules."""
    return await (raw if shaker.random.random() < 0.7 else polite)(siege, shaker)


LIVES: dict[str, Life] = {"socket": either_way, "http": asking}


async def beset(url: str, life: Life, messages: int, seconds: float, random: Random) -> Siege:
    """Send so many messages at least, for so many seconds at most, on `AT_ONCE` connections at a time."""
    parts = urlsplit(url)
    siege, seed = Siege(Target(url, parts.port or 80, count())), random.random()
    until = time.monotonic() + seconds

    async def live() -> None:
        while siege.sent < messages and time.monotonic() < until:
            try:
                shaker = Shaker(Random(f"{seed}-{next(siege.target.turns)}"))  # noqa: S311
                siege.endings[await life(siege, shaker)] += 1
            except (OSError, EOFError, ValueError, ConnectionClosed, InvalidHandshake) as error:
                siege.endings[met(error)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(live())
    return siege
