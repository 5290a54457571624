"""Connections over TLS: bounded, and ended in time, as those without."""

import gc
import http.client
import logging
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from clavilux.server.settings import Settings
from clavilux.server.web.limits import Limits
from clavilux.server.web.run import Listening
from clavilux.server.web.transports import READ_BYTES, UNREAD_BYTES
from clavilux.server.web.websocket_protocol import GuardedWebSocket
from tests import waiting
from tests.server.fakes import DEADLINE, FakeEngine, serving
from tests.server.web.raw_client import CLOSE, HANDSHAKE, PING, frame, rest

TLS = Path(__file__).parent / "tls"
TRUSTING = ssl._create_unverified_context()
HASTY = Limits(handshake_seconds=0.1, closing_seconds=0.2)


@pytest.fixture
def secure(settings: Settings) -> Settings:
    return replace(settings, certificate=TLS / "certificate.pem", key=TLS / "key.pem")


def opened(here: Listening) -> ssl.SSLSocket:
    """A websocket over TLS on which hello has begun to come."""
    client = TRUSTING.wrap_socket(socket.create_connection((here.host, here.port), timeout=DEADLINE))
    client.sendall(HANDSHAKE.format(host=here.host, port=here.port, more="").encode())
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 101")
    return client


@contextmanager
def leaving(here: Listening) -> Iterator[socket.socket]:
    """A connection whose websocket has ended, and who answers no end of TLS."""
    client = opened(here)
    client.sendall(frame(CLOSE, b"\x03\xe8"))
    with socket.socket(fileno=client.detach()) as bare:
        bare.settimeout(5)  # s; asyncio's own patience is thirty
        yield bare


def get(here: Listening) -> int:
    connection = http.client.HTTPSConnection(here.host, here.port, context=TRUSTING, timeout=DEADLINE)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    finally:
        connection.close()


def test_who_does_not_answer_the_end_is_cut_once(
    engine: FakeEngine, secure: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(engine, secure, HASTY) as here, leaving(here) as bare:
        rest(bare)
    assert caplog.text.count("a websocket was closing for too long") == 1
    assert "more left out" not in caplog.text


@pytest.mark.parametrize(("proxies", "idle"), [((), 1), (("127.0.0.1",), 3)])  # half of all for one address, or all
def test_newcomers_find_room_while_one_does_not_answer_the_end(
    engine: FakeEngine, secure: Settings, caplog: pytest.LogCaptureFixture, proxies: tuple[str, ...], idle: int
) -> None:
    limits = replace(HASTY, connections=4, closing_seconds=DEADLINE)
    with caplog.at_level(logging.INFO), ExitStack() as kept:
        here = kept.enter_context(serving(engine, replace(secure, proxies=proxies), limits))
        kept.enter_context(leaving(here))
        waiting.until(lambda: "left after" in caplog.text, "the websocket to have ended")
        for _ in range(idle):
            kept.enter_context(socket.create_connection((here.host, here.port)))
        assert get(here) == 200
    assert "Traceback" not in caplog.text


def test_as_little_waits_for_who_reads_nothing_as_without_tls(
    engine: FakeEngine, secure: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    pause = GuardedWebSocket.pause_writing

    def paused(self: GuardedWebSocket) -> None:
        waits.append(self.transport.get_write_buffer_size())
        pause(self)

    monkeypatch.setattr(GuardedWebSocket, "pause_writing", paused)
    limits = Limits(frames=1e9, frame_share=1e9, all_frames=1e9)
    with serving(engine, replace(secure, send_seconds=0.2), limits) as here, opened(here) as client, suppress(OSError):
        while True:  # until it is cut
            client.sendall(frame(PING, bytes(125)) * 50)
    assert UNREAD_BYTES <= waits[0] < 2 * UNREAD_BYTES


def test_who_begins_no_handshake_is_cut_in_the_time_for_a_request(
    engine: FakeEngine, secure: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(engine, secure, Limits(head_seconds=0.2)) as here:
        silent = [socket.create_connection((here.host, here.port), timeout=5) for _ in range(2)]
        with silent[0], silent[1]:
            silent[1].sendall(b"\x16\x03\x01")  # the beginning of one
            assert [one.recv(1) for one in silent] == [b"", b""]
        assert get(here) == 200
    assert "127.0.0.1: TLS has not begun, or has not ended, within 0.2 s" in caplog.text


def test_a_connection_over_tls_has_a_small_buffer_to_read_into(engine: FakeEngine, secure: Settings) -> None:
    def buffers() -> list[int]:
        return [len(one._ssl_buffer) for one in gc.get_objects() if type(one) is SSLProtocol]  # type: ignore[attr-defined]

    with serving(engine, secure) as here, socket.create_connection((here.host, here.port)):
        waiting.until(lambda: bool(buffers()), "the connection to be accepted")
        assert max(buffers()) == READ_BYTES
