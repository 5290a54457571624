"""docs/protocol.md tells the truth: its example plays, its names and numbers are those of the code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clavilux.runtime.control.parameters import describe
from clavilux.server.client.connect import MAX_WAIT, MIN_WAIT
from clavilux.server.protocol import messages, words
from clavilux.server.protocol import text as protocol
from clavilux.server.protocol.binary import FRAME_HEADER, SOUND_HEADER
from clavilux.server.protocol.words import CloseCode, ErrorCode
from clavilux.server.settings import Settings
from clavilux.server.stage import admission, outbox, tries
from clavilux.server.stage.connection import hello
from clavilux.server.stage.health import REMEMBERED
from clavilux.server.stage.in_flight import IN_FLIGHT
from clavilux.server.stage.visitor import HOUSE_BITS
from clavilux.server.stage.wire_time import MAX_CAPTURE_AGE, MAX_CAPTURE_LEAD
from clavilux.server.web import app
from clavilux.server.web.limits import Limits
from tests.paths import ROOT
from tests.server.fakes import DEADLINE, FakeEngine, serving

PAGE = (ROOT / "docs" / "protocol.md").read_text()


def block(language: str, number: int = 0) -> str:
    """Return the nth fenced block in `language`."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[number]


def test_the_python_example_plays_and_keeps_a_picture(engine: FakeEngine, settings: Settings, tmp_path: Path) -> None:
    engine.emit(0)
    with serving(engine, settings) as here:
        # A frame given out before anyone has joined is the first thing that a newcomer sees.
        engine.emit(0)
        done = subprocess.run(
            [sys.executable, "-c", block("python"), f"ws://{here.host}:{here.port}/ws", "1"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
    assert done.returncode == 0, done.stderr
    assert "clavilux/" in done.stdout
    assert (tmp_path / "picture.jpg").read_bytes().startswith(b"\xff\xd8")


def test_the_hello_in_the_page_has_the_fields_that_a_server_sends() -> None:
    shown = json.loads(block("json", 0))
    sent = json.loads(protocol.encode(hello(FakeEngine(), Settings(), 1)))
    assert set(shown) == set(sent)
    for part in ("sound", "limits", "stages"):
        assert shown[part] == sent[part]
    for name, about in shown["parameters"].items():
        assert {**about, "about": ""} == {**describe()[name], "about": ""}


def test_the_status_in_the_page_reads_as_one() -> None:
    assert isinstance(protocol.parse_event(block("json", 1)), messages.Status)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_error_code_is_explained(code: str) -> None:
    assert f"| `{code}` |" in PAGE


@pytest.mark.parametrize("kind", [*protocol.CLIENT.types, *protocol.SERVER.types])
def test_every_message_type_is_in_a_table(kind: str) -> None:
    assert f"| `{kind}` |" in PAGE


@pytest.mark.parametrize(
    "code",
    [
        CloseCode.NORMAL_CLOSURE,
        CloseCode.GOING_AWAY,
        CloseCode.PROTOCOL_ERROR,
        CloseCode.INVALID_DATA,
        CloseCode.POLICY_VIOLATION,
        CloseCode.MESSAGE_TOO_BIG,
        CloseCode.INTERNAL_ERROR,
        CloseCode.SERVICE_RESTART,
        CloseCode.TRY_AGAIN_LATER,
        words.CLOSE_REPLACED,
    ],
)
def test_every_close_code_is_explained(code: int) -> None:
    assert re.search(rf"^\| .*\b{code:d}\b", PAGE, re.MULTILINE)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics"])
def test_every_route_is_listed(path: str) -> None:
    assert f"| `{path}` |" in PAGE
    assert path in {getattr(route, "path", None) for route in app.create_app(FakeEngine(), Settings()).routes}


def test_the_numbers_in_the_page_are_those_of_the_code() -> None:
    said = PAGE.replace(" 536", "_536").replace(" 144", "_144")
    assert f"{words.MESSAGE_BYTES:_} bytes" in said
    assert f"{words.PACKET_BYTES:_} bytes" in said
    assert words.HARD_LIMIT_BYTES == 2**20
    assert f"| {outbox.REPLIES} |" in PAGE
    assert f"| {outbox.MARKERS} |" in PAGE
    assert f"| {IN_FLIGHT} unacknowledged |" in PAGE
    assert f"last\n{REMEMBERED} acknowledgements" in PAGE
    assert f"{MAX_CAPTURE_AGE:g} s behind or {MAX_CAPTURE_LEAD:g} s ahead" in PAGE
    assert f"within {Settings().start_seconds:g} s of hello" in PAGE
    assert (MIN_WAIT, MAX_WAIT) == (0.5, 15.0)


def test_who_is_let_in_and_who_gives_way_stands_in_the_page_as_in_the_code() -> None:
    settings = Settings()
    assert f"in the lobby: {settings.max_waiting} in all, {settings.max_waiting_per_address} of an address" in PAGE
    assert f"| {settings.max_waiting}; {settings.max_waiting_per_address} of an address |" in PAGE
    share = settings.max_performers // admission.SHARE_OF_A_HOUSE
    assert f"| {settings.max_performers}, the last for one who sounds; on a server without tokens {share} of an" in PAGE
    assert f"{settings.max_performers}, of whom {settings.max_performers - 1} without sound" in PAGE
    assert f"| time to start | {settings.start_seconds:g} s |" in PAGE
    assert f"| {tries.BURST}, then one in {tries.SECONDS_PER_TRY:g} s |" in PAGE
    assert f"nothing at all for {admission.SILENCE:g} s" in PAGE
    assert f"to anyone after {admission.STRANGERS_SILENCE:g} s" in PAGE
    assert f"IPv6 by its /{HOUSE_BITS}" in PAGE
    assert (words.MESSAGE_ID_CHARACTERS, words.MARKER_CHARACTERS) == (64, 64)


@pytest.mark.parametrize("status", [400, 401, 403, 429])
def test_every_refusal_of_a_request_is_explained(status: int) -> None:
    assert f"| {status} |" in PAGE


@pytest.mark.parametrize("kind", [messages.Start, messages.Started, messages.ErrorEvent])
def test_every_field_of_a_session_is_in_the_page(kind: type) -> None:
    assert [name for name in kind.__struct_fields__ if f"`{name}" not in PAGE] == []


def test_the_limits_in_the_page_are_those_of_the_server() -> None:
    limits = Limits()
    for line in (
        f"| 1 MiB, and {limits.fragments} fragments |",
        f"| {limits.frames:g} a second and as many at once; {limits.frame_share:g} where all",
        f"where all clients together are over {limits.all_frames:g} |",
        f"does not read | {limits.pongs} |",
        f"for {limits.unread_seconds:g} s | the connection ends |",
        f"| {limits.handshake_seconds:g} s, then {limits.closing_seconds:g} s to read the rest |",
        f"| {limits.head_bytes // 1024} KiB, 8 KiB a line on `/ws`, {limits.headers} headers; ",
        f"headers; {limits.head_seconds:g} s to be complete, and {limits.idle_seconds} s of rest",
        f"| {limits.answers}, and {limits.requests:g} a second after {limits.request_burst} |",
        f"waits, {limits.answer_seconds:g} s at most, then 503",
        f"| {limits.connections}, fewer where",
        f"| {limits.arrival_burst} at once, {limits.arrivals:g} a second, and half of all",
    ):
        assert line in PAGE
    assert limits.unread_seconds == Settings().send_seconds


def test_the_headers_are_as_long_as_the_tables_say() -> None:
    assert f"| {SOUND_HEADER.size} | | samples" in PAGE
    assert f"| {FRAME_HEADER.size} | S \u00d7 u32 |" in PAGE
