"""Both protocol classes on a transport that a test plays by hand: whatever comes, nothing raises and nothing grows."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState

from clavilux.server.stage.peer_log import PeerLog
from clavilux.server.web.http_protocol import GuardedHttp
from clavilux.server.web.limits import GuardedConfig, Limits
from clavilux.server.web.websocket_protocol import PIECE, GuardedWebSocket
from tests.server.fakes import DEADLINE
from tests.server.web.raw_client import CLOSE, CONTINUATION, HANDSHAKE, PING, TEXT, frame

pytestmark = pytest.mark.anyio
FAST = 1e9  # frames per second
UNPACED = Limits(frames=FAST, frame_share=FAST, all_frames=FAST)
ANSWER = bytes(1000)  # of the application, to whatever it is asked
TURNS = 30  # of the event loop, more than enough for everything that can happen
MESSAGE = 8192  # bytes, the most
READ = 65_536  # bytes that a transport gives at once


class HandTransport(asyncio.Transport):
    """A connection to a peer that reads everything, or nothing at all."""

    HIGH_WATER = 65_536  # bytes, asyncio's own

    def __init__(self, *, reads: bool) -> None:
        super().__init__()
        self.reads = reads
        self.written = bytearray()
        self.wrote = asyncio.Event()
        self.most_unsent = 0
        self.reading = True
        self.pauses = 0
        self.ended = False
        self._unsent = 0
        self._closing = False
        self._protocol: Any = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.pauses += self.reading
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.ended:
            return
        self.written += data
        self.wrote.set()
        if not self.reads:
            self._unsent += len(data)
            self.most_unsent = max(self.most_unsent, self._unsent)
            if self._unsent > self.HIGH_WATER >= self._unsent - len(data):
                self._protocol.pause_writing()

    def take(self) -> None:
        """Let the peer read what waits for it."""
        full, self._unsent = self._unsent > self.HIGH_WATER, 0
        if full:
            self._protocol.resume_writing()

    def close(self) -> None:
        self._closing = True
        if not self._unsent:
            self._end()

    def abort(self) -> None:
        self._closing = True
        self._end()

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            asyncio.get_running_loop().call_soon(self._lose)

    def _lose(self) -> None:
        self._protocol.connection_lost(None)


class Peer:
    """A peer on a connection that has just been accepted."""

    def __init__(self, limits: Limits, *, reads: bool = True, takes: bool = True) -> None:
        counter = Counter("refused", "Refused", ["reason"], registry=CollectorRegistry())
        config = GuardedConfig(
            application if takes else idle_application,
            limits,
            PeerLog(counter),
            http=GuardedHttp,
            ws=GuardedWebSocket,
            ws_max_size=MESSAGE,
            ws_ping_interval=None,
            ws_per_message_deflate=False,
            log_config=None,
            log_level="warning",
            lifespan="off",
        )
        config.load()
        self.state = ServerState()
        self.transport = HandTransport(reads=reads)
        first = GuardedHttp(config, self.state, {})
        self.transport.set_protocol(first)
        first.connection_made(self.transport)

    @property
    def protocol(self) -> Any:
        return self.transport.get_protocol()

    async def say(self, data: bytes) -> int:
        """Send in reads as a transport does; return how many bytes were taken."""
        taken = 0
        while taken < len(data):
            if not self.transport.reading or self.transport.is_closing():
                await turns()
            if not self.transport.reading or self.transport.is_closing():
                break
            self.protocol.data_received(data[taken : taken + READ])
            taken += READ
        await turns()
        return min(taken, len(data))

    async def end(self) -> None:
        """Hang up, and let everything end."""
        self.transport.abort()
        await turns()
        for task in self.state.tasks:
            task.cancel()
        await turns()


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer each request, and each message."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": ANSWER})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "bytes": ANSWER})


async def idle_application(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept, take no message and answer no request."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
    await asyncio.Event().wait()


@asynccontextmanager
async def upgraded(limits: Limits, *, reads: bool = True, takes: bool = True) -> AsyncIterator[Peer]:
    """A peer on an open websocket."""
    peer = Peer(limits, reads=reads, takes=takes)
    await peer.say(HANDSHAKE.format(host="x", port=1, more="").encode())
    assert isinstance(peer.protocol, GuardedWebSocket)
    yield peer
    await peer.end()


frames = st.builds(
    lambda opcode, data, fin: frame(opcode, data, fin=fin),
    st.integers(0, 15),
    st.binary(max_size=8) | st.builds(bytes, st.sampled_from([125, 126, 5000, MESSAGE + 1])),
    st.booleans(),
)
requests = st.builds(
    lambda method, path, more, version: f"{method} {path} HTTP/{version}\r\nHost: x\r\n{more}\r\n".encode(),
    st.sampled_from(["GET", "HEAD", "POST", "CONNECT"]),
    st.sampled_from(["/", "*", "/%ff", "http://x/", "/?a=%zz"]),
    st.sampled_from(
        ["", "Connection: close\r\n", "Content-Length: 5\r\n", "Upgrade: h2c\r\n", "Expect: 100-continue\r\n"]
    ),
    st.sampled_from(["1.0", "1.1", "2.0"]),
)
HANDSHAKES = [
    HANDSHAKE.format(host="x", port=1, more=more).encode()
    for more in (
        "",
        "Transfer-Encoding: chunked\r\n",
        "Sec-WebSocket-Version: 12\r\n",
        "Cookie: " + 9000 * "a" + "\r\n",
    )
]
speech = st.lists(st.binary(max_size=40) | requests | st.sampled_from(HANDSHAKES), max_size=6)
talk = st.lists(st.binary(max_size=12) | frames | st.builds(bytes.__mul__, frames, st.integers(1, 50)), max_size=8)


@contextmanager
def complaints() -> Iterator[list[object]]:
    """Errors that the event loop and uvicorn complain of while the block lasts."""
    found: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: found.append(context))
    logger = logging.getLogger("uvicorn.error")

    def look(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            found.append(record)
        return False

    logger.addFilter(look)
    yield found
    logger.removeFilter(look)


async def live_through(pieces: Sequence[bytes], *, reads: bool) -> Peer:
    """Say all pieces, shut down and end; return the peer."""
    peer = Peer(replace(UNPACED, fragments=30), reads=reads)
    with complaints() as found:
        for piece in pieces:
            await peer.say(piece)
        peer.protocol.sweep(asyncio.get_running_loop().time())
        peer.protocol.shutdown()
        await turns()
        await peer.end()
        assert found == []
    return peer


@given(
    st.builds(list.__add__, speech, st.builds(list.__add__, st.sampled_from([[], HANDSHAKES[:1]]), talk)), st.booleans()
)
def test_whatever_a_peer_says_nothing_raises_nothing_stays_and_little_is_written(
    pieces: list[bytes], reads: bool
) -> None:
    peer = asyncio.run(live_through(pieces, reads=reads))
    assert peer.state.connections == set()
    assert peer.state.tasks == set()
    assert peer.transport.most_unsent <= HandTransport.HIGH_WATER + UNPACED.pongs * 127 + PIECE + 2 * len(ANSWER)


async def test_pings_of_who_never_reads_wait_in_a_bounded_buffer() -> None:
    async with upgraded(UNPACED, reads=False) as peer:
        taken = await peer.say(frame(PING, bytes(125)) * 100_000)
        bound = HandTransport.HIGH_WATER + UNPACED.pongs * 127 + PIECE
        assert HandTransport.HIGH_WATER < peer.transport.most_unsent <= bound
        assert taken <= bound + READ
        peer.transport.take()
        assert peer.transport.reading


async def test_frames_that_come_too_fast_are_not_read_until_there_is_time() -> None:
    async with upgraded(Limits(frames=100)) as peer:
        taken = await peer.say(frame(PING) * 20_000)
        assert not peer.transport.reading
        assert taken == READ
        assert peer.transport.written.count(b"\x8a\x00") <= PIECE


async def test_messages_wait_before_they_are_parsed_while_one_waits_to_be_taken() -> None:
    async with upgraded(UNPACED, takes=False) as peer:
        assert await peer.say(frame(TEXT, b"x") * 100_000) == READ
        assert peer.protocol.queue.qsize() <= PIECE


async def test_reading_is_not_paused_for_messages_that_are_taken_one_by_one() -> None:
    async with upgraded(UNPACED) as peer:
        for _ in range(10):
            await peer.say(frame(TEXT, b"x"))
        assert peer.transport.pauses == 0


async def test_while_a_message_waits_one_more_read_does_and_no_further() -> None:
    async with upgraded(UNPACED, takes=False) as peer:
        assert await peer.say(frame(TEXT, b"x")) > 0
        assert peer.transport.reading
        assert await peer.say(bytes(10 * READ)) == READ


async def test_messages_that_come_in_one_piece_are_all_taken_though_none_is_answered() -> None:
    async with upgraded(UNPACED, takes=False) as peer, asyncio.timeout(DEADLINE):
        await peer.say(frame(TEXT, b"x") * 3000)
        for _ in range(3000):
            assert (await peer.protocol.receive())["text"] == "x"
        assert peer.transport.reading


async def test_reading_goes_on_by_itself_when_there_is_time_again() -> None:
    async with upgraded(Limits(frames=600)) as peer, asyncio.timeout(DEADLINE):
        await peer.say(frame(PING) * 900)  # of which one piece holds six hundred and eighty-two
        assert peer.transport.written.count(b"\x8a\x00") < 900
        while peer.transport.written.count(b"\x8a\x00") < 900:
            peer.transport.wrote.clear()
            await peer.transport.wrote.wait()
        await turns()
        assert not peer.protocol._waiting


async def test_who_is_gone_is_sent_nothing() -> None:
    async with upgraded(UNPACED, takes=False) as peer:
        before = len(peer.transport.written)
        peer.transport.close()
        with pytest.raises(ClientDisconnected):
            await peer.protocol.send({"type": "websocket.send", "bytes": b"late"})
        assert len(peer.transport.written) == before


async def test_a_websocket_that_is_open_may_be_silent() -> None:
    async with upgraded(UNPACED, takes=False) as peer:
        peer.protocol.sweep(asyncio.get_running_loop().time() + 1000)
        assert not peer.transport.ended


async def test_frames_before_the_handshake_is_answered_wait() -> None:
    peer = Peer(UNPACED)
    peer.protocol.data_received(HANDSHAKES[0])
    peer.protocol.data_received(frame(PING, b"early"))
    await turns()
    assert peer.transport.written.startswith(b"HTTP/1.1 101")
    assert peer.transport.written.endswith(b"\x8a\x05early")
    await peer.end()


async def test_a_close_in_the_middle_of_too_many_fragments_raises_nothing() -> None:
    async with upgraded(replace(UNPACED, fragments=3)) as peer:
        await peer.say(
            frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 9 + frame(CLOSE, b"\x03\xe8")
        )
        assert peer.transport.is_closing()


async def test_shutdown_while_a_close_waits_to_be_sent_raises_nothing() -> None:
    async with upgraded(UNPACED, reads=False) as peer:
        await peer.say(frame(PING, bytes(125)) * 100 + frame(CLOSE, b"\x03\xe8"))
        assert not peer.transport.ended
        peer.protocol.shutdown()
        assert peer.transport.is_closing()


async def test_who_does_not_take_the_rest_of_a_closed_connection_is_cut() -> None:
    async with upgraded(UNPACED, reads=False) as peer:
        await peer.say(frame(PING, bytes(125)) * 400 + frame(CLOSE, b"\x03\xe8"))
        peer.protocol.sweep(1000.0)
        assert not peer.transport.ended
        peer.protocol.sweep(1000.1 + UNPACED.closing_seconds)
        assert peer.transport.ended


async def test_what_comes_after_the_last_request_does_not_disturb_its_answer() -> None:
    peer = Peer(UNPACED)
    peer.protocol.data_received(b"GET / HTTP/1.0\r\n\r\n")
    peer.protocol.data_received(b"more")
    await turns()
    assert not peer.transport.written
    assert peer.transport.ended
    assert peer.state.tasks == set()


async def test_a_long_head_that_comes_whole_is_refused_too() -> None:
    peer = Peer(UNPACED)
    await peer.say(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + 30_000 * b"a" + b"\r\n\r\n")
    assert peer.transport.written.startswith(b"HTTP/1.1 431 ")


async def test_the_time_to_ask_begins_anew_with_each_answer() -> None:
    peer = Peer(UNPACED)
    now = asyncio.get_running_loop().time()
    peer.protocol._deadlines.asking = now - UNPACED.head_seconds - 1  # it has been open for long
    await peer.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    peer.protocol.sweep(now)
    assert not peer.transport.ended
    peer.protocol.sweep(now + 2 * UNPACED.head_seconds)
    assert peer.transport.ended


async def test_an_answer_may_take_its_time() -> None:
    peer = Peer(UNPACED, takes=False)
    await peer.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    peer.protocol.sweep(asyncio.get_running_loop().time() + 1000)
    assert not peer.transport.ended
    await peer.end()
