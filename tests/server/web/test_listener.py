"""A listener accepts what fits, lets idle connections make room, and closes who cannot be served."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry, Counter

from clavilux.runtime.errors import DeviceError
from clavilux.server.stage.peer_log import PeerLog
from clavilux.server.web.arrivals import Arrivals
from clavilux.server.web.listener import SLACK, Listener
from clavilux.server.web.run import bind
from tests.server.fakes import DEADLINE

LIMIT = 3


@pytest.fixture
def kept() -> Iterator[ExitStack]:
    """Whatever a test opens, closed at its end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def listener(kept: ExitStack) -> Listener:
    """A listener to which everyone comes through a proxy, so that no address has a share."""
    return listening(kept, Arrivals(0, 0.0, ["127.0.0.1"]))


def listening(kept: ExitStack, arrivals: Arrivals, host: str = "127.0.0.1") -> Listener:
    counter = Counter("refused", "Refused", ["reason"], registry=CollectorRegistry())
    made = kept.enter_context(Listener(bind(host, 0), LIMIT, PeerLog(counter), arrivals))
    made.settimeout(DEADLINE)
    return made


def visit(listener: Listener, kept: ExitStack) -> socket.socket:
    """Come from outside; the listener has not noticed yet."""
    return kept.enter_context(socket.create_connection(listener.getsockname()[:2], timeout=DEADLINE))


def let_in(listener: Listener, kept: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Come and be accepted; return both ends."""
    outside = visit(listener, kept)
    inside, address = listener.accept()
    assert address == outside.getsockname()
    return outside, kept.enter_context(inside)


def test_what_is_said_on_an_accepted_connection_arrives(listener: Listener, kept: ExitStack) -> None:
    outside, inside = let_in(listener, kept)
    outside.sendall(b"hello")
    assert inside.recv(5) == b"hello"


def test_the_oldest_that_is_not_in_use_makes_room(listener: Listener, kept: ExitStack) -> None:
    ends = [let_in(listener, kept) for _ in range(LIMIT)]
    used = {ends[0][1].fileno()}
    listener.in_use = lambda: used
    let_in(listener, kept)
    assert ends[1][0].recv(1) == b""
    for outside, inside in (ends[0], ends[2]):
        inside.sendall(b"stays")
        assert outside.recv(5) == b"stays"


def test_where_all_are_in_use_a_few_more_come_in_and_then_nobody(listener: Listener, kept: ExitStack) -> None:
    ends = [let_in(listener, kept) for _ in range(LIMIT)]
    listener.in_use = lambda: range(10_000)
    for _ in range(SLACK):
        let_in(listener, kept)
    outside = visit(listener, kept)
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert outside.recv(1) == b""
    ends[0][1].close()
    let_in(listener, kept)


def test_a_connection_that_is_closed_twice_takes_no_others_place(listener: Listener, kept: ExitStack) -> None:
    _, first = let_in(listener, kept)
    first.close()
    _, second = let_in(listener, kept)  # with the same descriptor
    first.close()
    assert list(listener._open) == [second.fileno()]


def test_without_a_descriptor_the_newcomer_is_closed_and_the_next_one_comes_in(
    listener: Listener, kept: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = socket.socket.accept

    def out_of_descriptors(itself: socket.socket) -> None:
        monkeypatch.setattr(socket.socket, "accept", real)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", out_of_descriptors)
    outside = visit(listener, kept)
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert outside.recv(1) == b""
    assert caplog.messages == ["0 connections are open; a newcomer was closed at once"]
    let_in(listener, kept)


def test_other_errors_are_the_event_loops_own(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(itself: socket.socket) -> None:
        raise OSError(errno.EINVAL, "not listening")

    monkeypatch.setattr(socket.socket, "accept", fail)
    with pytest.raises(OSError, match="not listening"):
        listener.accept()


def test_at_the_end_all_see_it(listener: Listener, kept: ExitStack) -> None:
    ends = [let_in(listener, kept) for _ in range(2)]
    listener.end_all()
    assert [outside.recv(1) for outside, _ in ends] == [b"", b""]


def test_who_comes_too_often_is_closed_at_once(kept: ExitStack, caplog: pytest.LogCaptureFixture) -> None:
    listener = listening(kept, Arrivals(2, 0.0))
    for _ in range(2):
        _, inside = let_in(listener, kept)
        inside.close()
    outside = visit(listener, kept)
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert outside.recv(1) == b""
    assert "127.0.0.1 opens connections too often; one was closed at once" in caplog.messages


def test_an_address_that_holds_half_of_all_makes_room_for_its_own_whatever_they_do(
    kept: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    listener = listening(kept, Arrivals(100, 0.0))
    listener.in_use = lambda: range(10_000)
    first, _ = let_in(listener, kept)
    second, inside = let_in(listener, kept)
    assert first.recv(1) == b""
    listener.lasting = lambda: {inside.fileno()}  # a websocket is not ended for a newcomer
    third = visit(listener, kept)
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert third.recv(1) == b""
    assert "127.0.0.1 holds half of all connections; one more was closed" in caplog.messages
    inside.sendall(b"stays")
    assert second.recv(5) == b"stays"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_proxy_may_hold_them_all(kept: ExitStack, caplog: pytest.LogCaptureFixture, host: str) -> None:
    try:
        listener = listening(kept, Arrivals(0, 0.0, [host]), host)
    except DeviceError:
        pytest.skip(f"{host} is none of this machine's addresses")
    ends = [let_in(listener, kept) for _ in range(LIMIT)]
    for outside, inside in ends:
        inside.sendall(b"hello")
        assert outside.recv(5) == b"hello"
    assert not caplog.messages
