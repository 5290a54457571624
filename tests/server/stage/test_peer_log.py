"""Things that peers cause are counted in full and said now and then."""

import logging

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from clavilux.server.stage.peer_log import MAX_CHARACTERS, MAX_KINDS, PERIOD, LibraryLines, PeerLog, peer_name


class Peers(PeerLog):
    """A log of peers on a clock that a test turns."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.now = 0.0
        super().__init__(Counter("refused", "Refused", ["reason"], registry=self.registry), lambda: self.now)


@pytest.fixture
def peers() -> Peers:
    return Peers()


def test_of_each_kind_one_line_is_said_and_all_are_counted(peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(781):
        peers.refused("text", f"peer {number} sent no text")
        peers.refused("head", f"peer {number} sent a long head")
    assert caplog.messages == ["peer 0 sent no text", "peer 0 sent a long head"]
    assert b'refused_total{reason="text"} 781.0' in generate_latest(peers.registry)


def test_what_was_left_out_is_told_with_the_next_line(peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        peers.refused("text", "first")
    peers.now = PERIOD
    peers.refused("text", "second")
    assert caplog.messages == ["first", "text: 2 more left out", "second"]


def test_what_was_left_out_is_told_in_time_though_nothing_comes_any_more(
    peers: Peers, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        peers.refused("text", "first")
    peers.tell()
    assert caplog.messages == ["first"]
    peers.now = PERIOD
    peers.tell()
    peers.tell()
    assert caplog.messages == ["first", "text: 2 more left out"]


def test_at_the_end_all_is_told_at_once(peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        peers.refused("text", "first")
    peers.tell(last=True)
    assert caplog.messages == ["first", "text: 2 more left out"]


def test_a_failure_comes_with_its_traceback_and_is_counted(peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise OSError("cannot write this")
    except OSError as error:
        peers.failed("internal_error", "it failed", error)
        peers.failed("internal_error", "it failed", error)
    assert caplog.text.count("OSError: cannot write this") == 1
    assert b'refused_total{reason="internal_error"} 2.0' in generate_latest(peers.registry)


def test_a_line_says_in_facts_what_it_says_in_words(peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    peers.refused("text", "no text")
    assert vars(caplog.records[0])["facts"] == {"event": "refused", "reason": "text"}


def test_what_a_peer_wrote_stays_in_its_line(peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    peers.refused("name", "asked for \x1b[2J\nERROR: all is lost" + MAX_CHARACTERS * "x")
    (line,) = caplog.messages
    assert line.startswith(r"asked for \x1b[2J\nERROR")
    assert len(line) == MAX_CHARACTERS


def test_kinds_beyond_all_number_are_one_kind(peers: Peers) -> None:
    said = [peers.admits(f"kind {number}") for number in range(2 * MAX_KINDS)]
    assert said.count(True) == MAX_KINDS + 1


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_a_librarys_lines_are_let_through_at_the_same_rate(
    peers: Peers, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    library, lines = logging.getLogger("tests.library"), LibraryLines(peers)
    library.addFilter(lines)
    try:
        for number in range(20):
            library.log(level, "it failed:\n%d", number)
        library.log(level, "another failed")
    finally:
        library.removeFilter(lines)
    assert caplog.messages == ["it failed:\n0", "another failed"]


def test_what_a_library_says_without_warning_is_not_counted(peers: Peers) -> None:
    record = logging.makeLogRecord({"name": "library", "levelno": logging.INFO, "msg": "all is well"})
    assert [LibraryLines(peers).filter(record) for _ in range(3)] == [True] * 3


def test_a_peer_without_an_address_has_a_name() -> None:
    assert (peer_name(("192.0.2.7", 50112)), peer_name(None)) == ("192.0.2.7:50112", "a peer")
    assert peer_name(("192.0.2.7", 0)) == "192.0.2.7"
