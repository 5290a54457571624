"""Hostile clients on real sockets: each is bounded, answered where there is an answer, and nobody else notices."""

import contextlib
import http.client
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_socket
from websockets.typing import Subprotocol

from clavilux.server.protocol.messages import Hello, PictureFormat, Start, Started
from clavilux.server.protocol.text import encode, parse_event
from clavilux.server.protocol.words import SUBPROTOCOL
from clavilux.server.settings import Settings
from clavilux.server.stage import compression
from clavilux.server.web import run
from clavilux.server.web.limits import Limits
from clavilux.server.web.listener import SLACK
from clavilux.server.web.run import Listening
from tests import waiting
from tests.server.fakes import DEADLINE, FakeEngine, serving
from tests.server.web.raw_client import (
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    close_frame,
    frame,
    get,
    opened,
    plain,
    refused,
    rest,
    upgrading,
)

FAST = 1e9  # frames per second: nothing is paced, so that what a test looks at is what bounds
STUCK = 0.3  # s, after which a socket that takes nothing will take nothing more
MAX_BACKLOG = 96 * 2**20  # bytes; what the kernel keeps of a connection ends far below


@pytest.fixture
def hasty(settings: Settings) -> Settings:
    """Settings by which a peer that reads nothing is gone soon."""
    return replace(settings, send_seconds=0.2)


@contextlib.contextmanager
def watching(here: Listening) -> Iterator[ClientConnection]:
    """A viewer that behaves."""
    with open_socket(f"ws://{here.host}:{here.port}/ws", subprotocols=[Subprotocol(SUBPROTOCOL)]) as viewer:
        assert isinstance(parse_event(str(viewer.recv(DEADLINE))), Hello)
        viewer.send(encode(Start("viewer", picture=PictureFormat("rgb"))))
        assert isinstance(parse_event(str(viewer.recv(DEADLINE))), Started)
        yield viewer


def lives(here: Listening) -> bool:
    """Whether a newcomer is answered."""
    with contextlib.suppress(ConnectionError, http.client.RemoteDisconnected):
        return get(here, "/healthz") == (200, b"ok")
    return False


def flood(deaf: socket.socket, piece: bytes) -> int:
    """Send `piece` again and again until nobody takes it any more; return how many bytes went."""
    deaf.settimeout(STUCK)
    sent = 0
    with contextlib.suppress(TimeoutError, ConnectionError):
        while sent < MAX_BACKLOG:
            sent += deaf.send(piece)
    return sent


def test_a_ping_flood_from_who_never_reads_is_read_no_further_and_cut(engine: FakeEngine, hasty: Settings) -> None:
    limits = Limits(frames=FAST, frame_share=FAST, all_frames=FAST)
    with serving(engine, hasty, limits) as here, watching(here) as viewer, opened(here) as deaf:
        assert flood(deaf, frame(PING, bytes(125)) * 500) < MAX_BACKLOG
        waiting.until(lambda: refused(here, "unread"), "the connection to be cut")
        engine.emit(7)
        assert isinstance(viewer.recv(DEADLINE), bytes)


def test_pings_that_come_too_fast_are_read_at_a_pace_and_all_answered(engine: FakeEngine, settings: Settings) -> None:
    limits = Limits(frames=500)
    with serving(engine, settings, limits) as here, opened(here) as client:
        client.sendall(frame(PING, b"x") * 700 + frame(CLOSE, b"\x03\xe8"))  # more than is parsed at once
        assert rest(client).count(b"\x8a\x01x") == 700


@pytest.mark.parametrize("data", [b"", b"x"])
def test_a_message_in_endless_fragments_is_too_big(engine: FakeEngine, settings: Settings, data: bytes) -> None:
    with serving(engine, settings, Limits(fragments=20)) as here, opened(here) as client:
        client.sendall(frame(TEXT, data, fin=False) + frame(CONTINUATION, data, fin=False) * 20)
        assert close_frame(client) == (1009, "a message in more than 20 fragments")
        assert refused(here, "message_too_big") == 1


def test_a_message_in_a_few_fragments_is_one_message(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, settings, Limits(fragments=20, handshake_seconds=0.1)) as here, opened(here) as client:
        ping = b'{"type":"ping",', b'"client', b'_time":12}'
        client.sendall(frame(TEXT, ping[0], fin=False) + frame(PING) + frame(CONTINUATION, ping[1], fin=False))
        client.sendall(frame(CONTINUATION, ping[2]) + frame(TEXT, b'{"type":"bye"}'))
        assert b'"type":"pong","client_time":12,' in rest(client)


def test_who_connects_and_says_nothing_keeps_nobody_out(
    engine: FakeEngine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.ExitStack() as kept, serving(engine, settings, Limits(connections=4)) as here:
        viewer = kept.enter_context(watching(here))
        silent = [kept.enter_context(plain(here)) for _ in range(3 * SLACK)]
        waiting.until(lambda: lives(here), "an answer, as those make room that were let in first")
        assert rest(silent[0]) == b""
        engine.emit(7)
        assert isinstance(viewer.recv(DEADLINE), bytes)
    lines = [record.getMessage() for record in caplog.records if "connections are open" in record.getMessage()]
    assert len(lines) == len(set(lines)) <= 2


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_request_that_is_never_complete_ends(engine: FakeEngine, settings: Settings, said: bytes) -> None:
    with serving(engine, settings, Limits(head_seconds=0.1)) as here, plain(here) as client:
        client.sendall(said)
        assert rest(client) == b""
        assert refused(here, "asking") == 1


def test_who_trickles_a_request_after_an_answer_is_cut_as_well(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, settings, Limits(head_seconds=0.2)) as here, plain(here) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
        client.settimeout(0.02)
        with contextlib.suppress(ConnectionError):  # cut between two bytes, or with one that nobody read any more
            for _ in range(1000):  # a byte every 20 ms, each of which ends uvicorn's own idle time
                with contextlib.suppress(TimeoutError):
                    if not client.recv(1):
                        break
                client.sendall(b"G")
        assert refused(here, "asking") == 1


@pytest.mark.parametrize("more", ["Cookie: " + 9000 * "a" + "\r\n", "".join(f"X-{k}: 1\r\n" for k in range(150))])
def test_too_long_a_head_is_answered_with_431_and_closed(here: Listening, more: str) -> None:
    with upgrading(here, more) as client:
        assert rest(client).startswith(b"HTTP/1.1 431 ")


def test_a_head_of_many_long_lines_is_refused_before_all_of_it_has_come(here: Listening) -> None:
    with plain(here) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + 30_000 * b"a" + b"\r\n")
        assert rest(client).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "more", ["X: " + 20_000 * "a" + "\r\n", "".join(f"X-{k}: {1000 * 'a'}\r\n" for k in range(20))]
)
def test_a_head_that_comes_whole_is_no_longer_for_that(here: Listening, more: str) -> None:
    with upgrading(here, more) as client:
        assert rest(client).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("body", ["Content-Length: 1000000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\n"])
@pytest.mark.parametrize("request_line", ["POST /healthz", "GET /ws"])
def test_a_request_with_a_body_is_answered_with_413_and_closed(here: Listening, request_line: str, body: str) -> None:
    with plain(here) as client:
        client.sendall(f"{request_line} HTTP/1.1\r\nHost: x\r\n{body}".encode())
        assert rest(client).startswith(b"HTTP/1.1 413 ")


def test_what_is_no_http_is_answered_with_400_and_closed(here: Listening) -> None:
    with plain(here) as client:
        client.sendall(b"\x16\x03\x01 hello, TLS?\r\n\r\n")
        assert rest(client).startswith(b"HTTP/1.1 400 ")


def test_requests_in_one_piece_are_answered_one_after_the_other(here: Listening) -> None:
    with plain(here) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 300)
        client.sendall(b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n")
        assert rest(client).count(b"HTTP/1.1 200 OK") == 301


def test_requests_without_end_before_the_answers_are_cut(here: Listening, caplog: pytest.LogCaptureFixture) -> None:
    with plain(here) as client, contextlib.suppress(ConnectionError):
        request = f"GET /healthz HTTP/1.1\r\nHost: {here.host}:{here.port}\r\n\r\n".encode()
        for _ in range(200):
            client.sendall(request * 1000)
    waiting.until(
        lambda: any("more requests than are answered" in line for line in caplog.messages), "the connection to end"
    )


def test_who_does_not_read_an_answer_is_cut(engine: FakeEngine, hasty: Settings, page: Path) -> None:
    (page / "large.bin").write_bytes(bytes(32 * 2**20))  # more than the kernel keeps
    with serving(engine, hasty) as here, plain(here) as client:
        client.sendall(b"GET /page/large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        waiting.until(lambda: refused(here, "unread"), "the connection to be cut")


def test_more_requests_than_can_be_answered_in_time_get_503(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, settings, Limits(requests=0.01, request_burst=2, answer_seconds=0.05)) as here:
        assert [get(here, "/healthz")[0] for _ in range(3)] == [200, 200, 503]


def test_what_uvicorn_says_of_each_request_is_said_once(here: Listening, caplog: pytest.LogCaptureFixture) -> None:
    with plain(here) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" * 5)
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert rest(client).count(b"HTTP/1.1 200 OK") == 6
    assert caplog.messages == ["Unsupported upgrade request."]


def test_texts_that_are_none_end_with_1007_and_one_line(
    engine: FakeEngine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(engine, settings) as here:
        for _ in range(5):
            with opened(here) as client:
                client.sendall(frame(TEXT, b"\xff\xfe"))
                assert close_frame(client) == (1007, "text that is not UTF-8")
        assert refused(here, "invalid_data") == 5
        said = [record for record in caplog.records if "1007" in record.getMessage()]
        assert len(said) == 1
    assert "invalid_data: 4 more left out" in caplog.text
    assert "Traceback" not in caplog.text


def test_text_that_is_none_together_with_a_close_ends_as_well(here: Listening) -> None:
    with opened(here) as client:
        client.sendall(frame(TEXT, b"\xff\xfe") + frame(CLOSE, b"\x03\xe8"))
        assert close_frame(client) == (1000, "")


def test_a_close_that_is_not_answered_ends_soon(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, settings, Limits(handshake_seconds=0.1)) as here, opened(here) as client:
        client.sendall(frame(TEXT, b'{"type":"bye"}'))
        client.settimeout(5)  # s; uvicorn's own patience is ten
        assert close_frame(client) == (1000, "goodbye")  # all of it read to the end, which nothing here asked for


def test_a_picture_that_cannot_be_compressed_ends_with_1011_and_tells_no_reason(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(pixels: object, layout: object) -> bytes:
        raise OSError("/secret/place")

    monkeypatch.setattr(compression, "compress", fail)
    with serving(engine, settings, Limits(handshake_seconds=0.1)) as here, opened(here) as client:
        client.sendall(frame(TEXT, b'{"type":"start","role":"viewer"}'))
        waiting.until(lambda: engine.watched[-1:] == [1], "the viewer to be in")
        engine.emit(0)
        assert close_frame(client) == (1011, "internal error")


def test_the_server_ends_in_time_whatever_its_peers_do(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "FAREWELL_SECONDS", 0.1)
    monkeypatch.setattr(run, "CLOSING_SECONDS", 0.1)
    limits = Limits(frames=FAST, frame_share=FAST, all_frames=FAST)
    with contextlib.ExitStack() as kept:
        with serving(engine, settings, limits) as here:
            silent, half, asked, started = (kept.enter_context(one(here)) for one in (plain, plain, upgrading, opened))
            half.sendall(b"GET / HTTP/1.1\r\n")
            started.sendall(frame(TEXT, b'{"type":"start","role":"viewer"}'))
            deaf, leaving = (kept.enter_context(opened(here)) for _ in range(2))
            flood(deaf, frame(PING, bytes(125)) * 500)
            flood(leaving, frame(PING, bytes(125)) * 500)
            leaving.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                leaving.send(frame(CLOSE, b"\x03\xe8"))
        assert not engine.running
        assert "timeout graceful shutdown exceeded" not in caplog.text
        for client in (silent, half, asked, started, deaf, leaving):
            client.settimeout(DEADLINE)
            rest(client)
