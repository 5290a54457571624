"""Attackers: hostile clients of a stage in a process of their own, written against docs/protocol.md alone.

    python -m clavilux.benchmarks.studies.attackers pings ws://127.0.0.1:7860/ws --seconds 5

Attacks for so many seconds and prints a line of JSON: `met`, how often each ending was, `open` for connections that the
server still bore then; and `processors`, how many of them the attackers themselves took. Bounded in number and time,
and for addresses of this machine alone.
"""

import argparse
import asyncio
import base64
import json
import os
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

SUBPROTOCOL = "clavilux.v1"
HOST = "127.0.0.1"
TEXT, CONTINUATION, PING, CLOSE = 1, 0, 9, 8  # opcodes of RFC 6455
SOUND_HEADER = struct.Struct("<BBHIQ")
PAUSE = 0.02  # s between two lives of one attacker
PATIENCE = 10.0  # s for an answer
GRACE = 2.0  # s for connections to end
STREAM_LIMIT = 4096  # bytes that asyncio reads ahead: who does not read shall not
BURST = 100  # frames in one write
PACKET_BYTES = 262_144
MICROSECONDS = 1_000_000
PRIMES = [rate for rate in range(191_999, 188_000, -2) if all(rate % k for k in range(3, 439, 2))]


@dataclass(frozen=True)
class Target:
    """Socket that is attacked."""

    url: str
    port: int
    turns: "count[int]"  # numbers the lives of attackers, so that no two are alike


Life = Callable[[Target], Awaitable[str]]
"""One connection from its beginning to how it ended, in a word or two; whoever raises has met that."""


def frame(opcode: int, payload: bytes = b"", *, last: bool = True) -> bytes:
    """Return a client's frame of fewer than 65 536 bytes, with a mask of zeros."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else struct.pack(">BH", 0x80 | 126, len(payload))
    return bytes([opcode | (0x80 if last else 0)]) + size + bytes(4) + payload


def handshake(*more: str) -> bytes:
    """Return a request for the websocket, with more header lines."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ["GET /ws HTTP/1.1", f"Host: {HOST}", "Upgrade: websocket", "Connection: Upgrade", *more]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: {SUBPROTOCOL}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def start(role: str, **more: Any) -> str:
    """Return the message that starts."""
    return json.dumps({"type": "start", "role": role, **more})


def packet(samples: int, captured_at: int = 0, byte: int = 1) -> bytes:
    """Return a packet of pcm16 sound of one channel."""
    return SOUND_HEADER.pack(1, 0, 0, 0, captured_at) + bytes([byte, 0]) * samples


def sounding(rate: int) -> dict[str, Any]:
    """Return the format of such packets."""
    return {"encoding": "pcm16", "rate": rate, "channels": 1}


@asynccontextmanager
async def opened(target: Target) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection that reads no further ahead than `STREAM_LIMIT`."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STREAM_LIMIT)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, (HOST, target.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=STREAM_LIMIT)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def upgraded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Make a websocket of a connection. Raises ConnectionError for another answer."""
    writer.write(handshake())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    if b" 101 " not in head:
        raise ConnectionError(head.split(b"\r\n")[0].decode(errors="replace"))


async def flood(writer: asyncio.StreamWriter, frames: bytes) -> str:
    """Write the same frames for ever, as fast as they are taken."""
    while True:
        writer.write(frames)
        await writer.drain()


async def ending(reader: asyncio.StreamReader) -> str:
    """Read until the server closes; return with which code."""
    while True:
        opcode, size = await reader.readexactly(2)
        length = size & 0x7F
        if length > 125:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
        payload = await reader.readexactly(length)
        if opcode & 0x0F == CLOSE:
            return f"closed {int.from_bytes(payload[:2], 'big')}" if payload else "closed without a code"


async def either(*ways: Awaitable[str]) -> str:
    """Return what the first of several ways to end tells; the others end with it."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return min(task.result() for task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pings(target: Target) -> str:
    """Ask for pongs as fast as can be, and read none."""
    async with opened(target) as (reader, writer):
        await upgraded(reader, writer)
        return await flood(writer, frame(PING, bytes(125)) * BURST)


async def fragments(target: Target) -> str:
    """Send a message of endless empty fragments."""
    async with opened(target) as (reader, writer):
        await upgraded(reader, writer)
        writer.write(frame(TEXT, last=False))
        return await either(flood(writer, frame(CONTINUATION, last=False) * BURST), ending(reader))


async def silent_connections(target: Target) -> str:
    """Connect, and say nothing."""
    async with opened(target) as (reader, _):
        return "closed" if not await reader.read(1) else "answered"


async def headers(target: Target) -> str:
    """Ask with nine kilobytes of cookie, or with 150 headers."""
    more = [f"X-{k}: 1" for k in range(150)] if next(target.turns) % 2 else ["Cookie: a=" + "b" * 9000]
    async with opened(target) as (reader, writer):
        writer.write(handshake(*more))
        line = await asyncio.wait_for(reader.readline(), PATIENCE)
        return f"HTTP {line.split()[1].decode()}" if line else "closed without an answer"


async def bad_text(target: Target) -> str:
    """Send text that is not UTF-8."""
    async with opened(target) as (reader, writer):
        await upgraded(reader, writer)
        writer.write(frame(TEXT, b"\xff\xfe"))
        return await ending(reader)


@asynccontextmanager
async def joined(target: Target, *messages: str) -> AsyncIterator[ClientConnection]:
    """Open a websocket as a usual client does, hear hello, and send messages."""
    async with connect(target.url, subprotocols=[SUBPROTOCOL], max_size=None, close_timeout=GRACE) as client:  # type: ignore[list-item]
        try:
            await client.recv()
            for message in messages:
                await client.send(message)
            yield client
            await client.close()
        finally:  # its time may be over: no closing handshake then, which may never end
            client.transport.abort()


async def guesses(target: Target) -> str:
    """Guess a token."""
    async with joined(target, start("viewer", token=f"guess {next(target.turns)}")) as client:
        while True:
            await client.recv()


async def silent_performers(target: Target) -> str:
    """Start to perform, and say nothing."""
    async with joined(target, start("performer")) as client:
        while True:
            await client.recv()


async def slow_readers(target: Target) -> str:
    """Watch uncompressed pictures, a byte of them in a second."""
    async with opened(target) as (reader, writer):
        await _watching(reader, writer)
        for _ in count():
            if not await reader.read(1):
                break
            await asyncio.sleep(1.0)
        return "closed"


async def half_open(target: Target) -> str:
    """Begin to watch, and neither read nor write any more, as one whose network is gone."""
    async with opened(target) as (reader, writer):
        await _watching(reader, writer)
        await asyncio.Event().wait()
        return "closed"


async def _watching(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await upgraded(reader, writer)
    writer.write(frame(TEXT, start("viewer", picture={"encoding": "rgb"}).encode()))


async def _played(target: Target, rate: int, frames: bytes) -> str:
    """Perform at a rate with the same frames for ever, reading what comes."""
    async with opened(target) as (reader, writer):
        await upgraded(reader, writer)
        writer.write(frame(TEXT, start("performer", sound=sounding(rate)).encode()))
        return await either(flood(writer, frames), ending(reader))


async def single_samples(target: Target) -> str:
    """Play packets of one sample."""
    return await _played(target, 48_000, frame(2, packet(1)) * BURST)


async def long_packets(target: Target) -> str:
    """Play packets of four seconds, as fast as they are taken."""
    return await _played(target, 8000, frame(2, packet(32_000)))


async def prime_rates(target: Target) -> str:
    """Play a moment at a rate that nobody has played at before, and leave."""
    rate = PRIMES[next(target.turns) % len(PRIMES)]
    async with joined(target, start("performer", sound=sounding(rate))) as client:
        await client.send(packet(rate // 25, byte=rate % 256))
        return "went"


async def leaping_times(target: Target) -> str:
    """Play packets whose capture times leap nine seconds back and on again."""
    async with joined(target, start("performer", sound=sounding(48_000)), '{"type":"ping","client_time":0}') as client:
        while (told := json.loads(await _text(client)))["type"] != "pong":
            if told["type"] == "error":
                return str(told["code"])
        began, zero = asyncio.get_running_loop().time(), int(told["server_time"])
        reading = asyncio.create_task(_drained(client))
        try:
            for k in count():
                now = zero + round((asyncio.get_running_loop().time() - began) * MICROSECONDS)
                await client.send(packet(480, max(1, now - 9 * MICROSECONDS * (k % 2))))
        finally:
            reading.cancel()
        return "went"


async def parameters(target: Target) -> str:
    """Set a parameter to a new value with every message."""
    values = (f'{{"type":"parameters","values":{{"glide":{k % 3000 / 100 + 0.001}}}}}' for k in count())
    return await _sent(target, values)


async def numbers(target: Target) -> str:
    """Send lists of thousands of numbers where a few belong."""
    found = ",".join(["1.0"] * 15_000)
    sound = f'{{"encoding":"pcm16","rate":48000,"use":[{found}]}}'
    return await _sent(target, (f'{{"type":"start","role":"performer","sound":{sound}}}' for _ in count()))


async def _sent(target: Target, messages: Any) -> str:
    """Send messages without end, reading what comes."""
    async with joined(target, start("performer")) as client:
        reading = asyncio.create_task(_drained(client))
        try:
            for message in messages:
                await client.send(message)
        finally:
            reading.cancel()
    return "went"


async def _text(client: ClientConnection) -> str:
    while not isinstance(message := await client.recv(), str):
        continue
    return message


async def _drained(client: ClientConnection) -> None:
    async for _ in client:
        pass


@dataclass(frozen=True)
class Attack:
    """Attackers of one kind."""

    life: Life
    at_once: int = 1  # connections
    sounds: bool = False  # whether it takes the place of the one who sounds


ATTACKS = {
    "pings": Attack(pings, 4),
    "fragments": Attack(fragments, 4),
    "silent connections": Attack(silent_connections, 200),
    "headers": Attack(headers, 8),
    "bad text": Attack(bad_text, 8),
    "guesses": Attack(guesses, 8),
    "silent performers": Attack(silent_performers, 80),
    "slow readers": Attack(slow_readers, 32),
    "half open": Attack(half_open, 32),
    "numbers": Attack(numbers),
    "parameters": Attack(parameters, 4),
    "single samples": Attack(single_samples, sounds=True),
    "long packets": Attack(long_packets, sounds=True),
    "prime rates": Attack(prime_rates, sounds=True),
    "leaping times": Attack(leaping_times, sounds=True),
}


def met(error: BaseException) -> str:
    """Return what an attacker met, in a word or two."""
    match error:
        case ConnectionClosed():
            return f"closed {error.rcvd.code}" if error.rcvd else "closed without a code"
        case InvalidStatus():
            return f"HTTP {error.response.status_code}"
        case TimeoutError():
            return "no answer"
        case _:
            return "reset"


async def _live(attack: Attack, target: Target, endings: Counter[str], end: float) -> None:
    """Live again and again until `end`, by the loop's clock, and be cancelled then."""
    while asyncio.get_running_loop().time() < end:  # wait_for of Python 3.11 may lose a cancellation
        try:
            endings[await attack.life(target)] += 1
        except asyncio.CancelledError:
            endings["open"] += 1
            raise
        except (OSError, EOFError, ValueError, ConnectionClosed, InvalidHandshake) as error:
            endings[met(error)] += 1
        await asyncio.sleep(PAUSE)


async def attacked(attack: Attack, url: str, seconds: float) -> Counter[str]:
    """Attack for so long; return how often each ending was met."""
    endings: Counter[str] = Counter()
    target = Target(url, urlsplit(url).port or 80, count())
    end = asyncio.get_running_loop().time() + seconds
    lives = [asyncio.create_task(_live(attack, target, endings, end)) for _ in range(attack.at_once)]
    await asyncio.wait(lives, timeout=seconds)
    for life in lives:
        life.cancel()
    await asyncio.wait(lives, timeout=GRACE)
    return endings


def main() -> int:
    """Attack, and print what was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attack", choices=ATTACKS)
    parser.add_argument("url", help="of the websocket, on 127.0.0.1")
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    if urlsplit(arguments.url).hostname != HOST:
        parser.error(f"{arguments.url} is not on {HOST}; attack your own server there")
    begun, taken = time.perf_counter(), time.process_time()
    endings = asyncio.run(attacked(ATTACKS[arguments.attack], arguments.url, arguments.seconds))
    processors = (time.process_time() - taken) / (time.perf_counter() - begun)
    print(json.dumps({"met": endings, "processors": round(processors, 2)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
