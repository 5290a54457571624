"""One connection's life, without a socket: messages in, answers in the outbox."""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from clavilux import __version__
from clavilux.runtime.clock import ManualClock
from clavilux.runtime.control.parameters import RANGES, Parameters
from clavilux.server.protocol.binary import Sound, pack_sound
from clavilux.server.protocol.messages import (
    Acknowledge,
    Bye,
    ErrorEvent,
    Hello,
    Marker,
    ParameterValues,
    PictureFormat,
    Ping,
    Pong,
    SoundFormat,
    Start,
    Started,
    Tap,
)
from clavilux.server.protocol.text import encode
from clavilux.server.settings import Right, Settings, Token
from clavilux.server.stage import connection as connection_module
from clavilux.server.stage.admission import Admission
from clavilux.server.stage.allowance import BURST, Allowance
from clavilux.server.stage.connection import Connection
from clavilux.server.stage.outbox import Farewell
from clavilux.server.stage.stage import Stage
from clavilux.server.stage.visitor import Visitor
from tests.server.fakes import NOW, FakeEngine, make_frame

pytestmark = pytest.mark.anyio

MONO = SoundFormat("float32", 16_000, 1)
PLAYING = Start("performer", MONO)
WATCHING = Start("viewer")
PACKET = pack_sound(Sound(0, 0, np.zeros((160, 1), np.float32)), "float32")


@pytest.fixture
def stage(engine: FakeEngine, settings: Settings) -> Stage:
    return Stage(engine, settings)


async def started(stage: Stage, start: Start) -> Connection:
    """Return a connection that has started, its replies read."""
    connection = Connection(stage)
    await connection.take(encode(start))
    assert isinstance(await connection.outbox.next(), Started)
    return connection


async def answer(connection: Connection, message: Any) -> Any:
    """Send one message and return the first thing that comes back."""
    await connection.take(message if isinstance(message, (str, bytes)) else encode(message))
    return connection.outbox._take()


async def test_hello_says_what_is_taken_and_where_the_limits_are(stage: Stage) -> None:
    connection = Connection(stage)
    await connection.greet()
    hello = await connection.outbox.next()
    assert isinstance(hello, Hello)
    assert hello.protocol == 1
    assert hello.server_time == 100_000_000
    assert hello.picture == {"width": 6, "height": 4, "encodings": ("jpeg", "webp", "rgb")}
    assert hello.limits == {"in_flight": 2, "message_bytes": 65_536, "viewers": 64}
    assert hello.parameters["glide"]["default"] == 0.35
    assert hello.token_required is False


async def test_hello_shows_only_the_parameters_that_the_bundle_has(engine: FakeEngine, stage: Stage) -> None:
    connection = Connection(stage)
    await connection.greet()
    hello = await connection.outbox.next()
    assert isinstance(hello, Hello)
    assert set(hello.parameters) == set(engine.ranges)
    assert not {"guidance", "height", "width"} & set(hello.parameters)
    assert hello.parameters["steps"]["high"] == 4


async def test_hello_shows_what_the_bundle_begins_with(engine: FakeEngine, stage: Stage) -> None:
    engine.ranges, engine.defaults = RANGES, Parameters(steps=3, guidance=7.5, height=64, width=96)
    engine.parameters = engine.defaults.merge({"steps": 1})
    connection = Connection(stage)
    await connection.greet()
    hello = await connection.outbox.next()
    assert isinstance(hello, Hello)
    defaults = {name: hello.parameters[name]["default"] for name in ("steps", "guidance", "height", "width")}
    assert defaults == {"steps": 3, "guidance": 7.5, "height": 64, "width": 96}


async def test_start_tells_only_the_values_that_the_bundle_has(engine: FakeEngine, stage: Stage) -> None:
    reply = await answer(Connection(stage), WATCHING)
    assert isinstance(reply, Started)
    assert set(reply.parameters) == set(engine.ranges)


async def test_a_parameter_that_the_bundle_does_not_have_is_refused(stage: Stage) -> None:
    reply = await answer(await started(stage, PLAYING), ParameterValues({"guidance": 2.0}))
    assert (reply.code, reply.fatal) == ("bad_parameter", False)
    assert "no parameter 'guidance'; this bundle has none" in reply.message


async def test_hello_is_valid_json_with_the_documented_fields(stage: Stage) -> None:
    connection = Connection(stage)
    await connection.greet()
    message = await connection.outbox.next()
    assert isinstance(message, Hello)
    hello = json.loads(encode(message))
    assert set(hello) == {
        *("type", "protocol", "server", "server_time", "bundle", "picture", "sound", "limits"),
        *("parameters", "stages", "token_required"),
    }
    assert hello["sound"]["rate"] == [8000, 192_000]
    assert hello["server"] == f"clavilux/{__version__}"


async def test_start_gives_the_role_and_the_parameters(stage: Stage) -> None:
    connection = Connection(stage)
    reply = await answer(connection, Start("performer", MONO, PictureFormat("rgb")))
    assert isinstance(reply, Started)
    assert (reply.role, reply.stage, reply.parameters["steps"]) == ("performer", "main", 1)
    assert connection.sounding
    assert connection.picture == PictureFormat("rgb")


async def test_started_comes_before_the_last_frame(engine: FakeEngine, stage: Stage) -> None:
    stage._last = make_frame(7)
    connection = Connection(stage)
    await connection.take(encode(WATCHING))
    assert isinstance(await connection.outbox.next(), Started)
    assert await connection.outbox.next() is stage._last


async def test_starting_twice_is_refused(stage: Stage) -> None:
    connection = await started(stage, WATCHING)
    reply = await answer(connection, WATCHING)
    assert (reply.code, reply.fatal) == ("bad_message", False)


async def test_a_taken_stage_leaves_the_session_free_to_watch(stage: Stage) -> None:
    await started(stage, PLAYING)
    other = Connection(stage)
    assert (await answer(other, PLAYING)).code == "stage_taken"
    assert isinstance(await answer(other, WATCHING), Started)


async def test_the_next_performer_may_sound_once_the_first_has_left(stage: Stage) -> None:
    first = await started(stage, PLAYING)
    first.leave()
    assert (await started(stage, PLAYING)).sounding


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_a_wrong_token_ends_the_session(engine: FakeEngine, settings: Settings, token: str | None) -> None:
    connection = Connection(Stage(engine, replace(settings, token="secret")))
    farewell = await answer(connection, Start("viewer", token=token))
    assert isinstance(farewell, Farewell)
    assert farewell.code == 1008
    event = farewell.messages[0]
    assert isinstance(event, ErrorEvent)
    assert (event.code, event.fatal) == ("unauthorized", True)
    assert connection.role is None


async def test_the_right_token_starts(engine: FakeEngine, settings: Settings) -> None:
    await started(Stage(engine, replace(settings, token="secret")), Start("viewer", token="secret"))


async def test_a_token_in_the_header_opens_as_one_in_start(engine: FakeEngine, settings: Settings) -> None:
    stage = Stage(engine, replace(settings, token="secret"))
    shown = Connection(stage, Visitor("192.0.2.1", Token("secret")))
    assert isinstance(await answer(shown, WATCHING), Started)
    wrong = Connection(stage, Visitor("192.0.2.1", Token("secret")))
    assert (await answer(wrong, Start("viewer", token="wrong"))).code == 1008


async def test_who_has_no_right_to_play_may_still_watch(engine: FakeEngine, settings: Settings) -> None:
    connection = Connection(Stage(engine, replace(settings, tokens=(Token("door", Right.WATCH),))))
    reply = await answer(connection, Start("performer", token="door"))
    assert (reply.code, reply.fatal) == ("not_performer", False)
    assert isinstance(await answer(connection, Start("viewer", token="door")), Started)


async def test_wrong_tokens_stand_in_the_log_and_are_counted_without_them(
    engine: FakeEngine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(engine, replace(settings, token="secret"))
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            visitor = Visitor("192.0.2.1", peer="192.0.2.1:50112")
            await Connection(stage, visitor).take(encode(Start("viewer", token="a guess")))
    assert [record.getMessage() for record in caplog.records] == [
        "192.0.2.1:50112: this stage wants a token, and this is not it",
        "192.0.2.1:50112: too many wrong tokens from your address; try again in 10 s",
    ]
    assert b'clavilux_refused_total{reason="unauthorized"} 5.0' in stage.metrics.text()
    assert b'clavilux_refused_total{reason="try_again"} 95.0' in stage.metrics.text()


@pytest.mark.parametrize("message", [PACKET, encode(Ping(1)), encode(PLAYING)], ids=["sound", "ping", "start"])
async def test_a_token_that_expires_ends_the_connection_with_its_next_message(
    engine: FakeEngine, stage: Stage, message: Any
) -> None:
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    day = [noon - timedelta(seconds=1)]
    token = Token("secret", Right.PLAY, expires=noon)
    stage.admission = Admission(engine, replace(stage.settings, tokens=(token,)), stage.members, lambda: day[0])
    connection = await started(stage, Start("performer", MONO, token="secret"))
    await connection.take(PACKET)
    day[0] = noon
    farewell = await answer(connection, message)
    assert (farewell.code, farewell.messages[0].message) == (1008, "this token has expired")
    assert len(engine.heard) == 1


async def test_who_shows_a_token_that_has_expired_is_told_so_and_is_no_guesser(
    engine: FakeEngine, settings: Settings
) -> None:
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    tokens = (Token("secret", expires=noon), Token("other"))
    stage = Stage(engine, replace(settings, tokens=tokens))
    stage.admission = Admission(engine, stage.settings, stage.members, lambda: noon)
    for _ in range(10):
        farewell = await answer(Connection(stage), Start("viewer", token="secret"))
        assert (farewell.code, farewell.messages[0].message) == (1008, "this token has expired")
    assert isinstance(await answer(Connection(stage), Start("viewer", token="other")), Started)


@pytest.mark.parametrize("named", [True, False])
async def test_the_log_names_who_starts_by_the_name_of_the_token(
    engine: FakeEngine, settings: Settings, caplog: pytest.LogCaptureFixture, named: bool
) -> None:
    tokens = (Token("secret", Right.WATCH, "door"),) if named else ()
    stage = Stage(engine, replace(settings, tokens=tokens))
    with caplog.at_level(logging.INFO, "clavilux"):
        visitor = Visitor("192.0.2.1", peer="192.0.2.1:50112")
        await Connection(stage, visitor).take(encode(Start("viewer", token="secret")))
    assert caplog.messages == [f"192.0.2.1:50112 starts as viewer with {'door' if named else 'no token'}"]


async def test_who_comes_back_ends_the_former_connection_and_sounds_in_its_place(stage: Stage) -> None:
    former = Connection(stage)
    first = await answer(former, PLAYING)
    back = Connection(stage)
    again = await answer(back, Start("performer", MONO, session=first.session))
    assert isinstance(again, Started)
    assert again.session == first.session
    farewell = former.outbox.farewell
    assert farewell is not None
    assert (farewell.code, farewell.messages[0].code) == (4001, "replaced")
    assert stage.members == {back}
    former.leave()
    assert stage.members == {back}


async def test_who_was_replaced_is_heard_no_more(engine: FakeEngine, stage: Stage) -> None:
    former = Connection(stage)
    first = await answer(former, PLAYING)
    await started(stage, Start("performer", MONO, session=first.session))
    await former.take(PACKET)
    assert engine.heard == []


async def test_a_viewer_who_comes_back_to_a_full_stage_finds_its_place(engine: FakeEngine, settings: Settings) -> None:
    stage = Stage(engine, replace(settings, max_viewers=1))
    first = await answer(Connection(stage), WATCHING)
    assert isinstance(await answer(Connection(stage), Start("viewer", session=first.session)), Started)


async def test_each_session_is_another(stage: Stage) -> None:
    sessions = {(await answer(Connection(stage), WATCHING)).session for _ in range(3)}
    assert len(sessions) == 3


async def test_every_message_keeps_a_performer_from_giving_way(engine: FakeEngine, settings: Settings) -> None:
    clock = engine.clock
    assert isinstance(clock, ManualClock)
    stage = Stage(engine, replace(settings, token="secret"))
    playing = Start("performer", MONO, token="secret")
    former = await started(stage, playing)
    for when in (1.5, 3.0, 4.5):
        clock.set(NOW + when)
        await former.take(encode(Ping(1)))
        assert (await answer(Connection(stage), playing)).code == "stage_taken"
    clock.set(NOW + 7.0)
    assert isinstance(await answer(Connection(stage), playing), Started)


async def test_who_only_connects_is_dismissed_for_newcomers(engine: FakeEngine, settings: Settings) -> None:
    stage = Stage(engine, replace(settings, max_waiting=1))
    idle, late = Connection(stage), Connection(stage)
    for connection in (idle, late):
        await connection.greet()
    assert idle.outbox.farewell is not None
    assert idle.outbox.farewell.code == 1013
    assert late.outbox.farewell is None


@pytest.mark.parametrize("right", list(Right))
async def test_who_has_shown_a_token_is_dismissed_only_for_others_of_the_same_right(
    engine: FakeEngine, settings: Settings, right: Right
) -> None:
    stage = Stage(engine, replace(settings, max_waiting=1))
    first = Connection(stage, Visitor(token=Token("secret", right)))
    others = [Connection(stage, Visitor(token=Token("other", one))) for one in Right if one != right]
    for connection in (first, *others, Connection(stage), Connection(stage)):
        await connection.greet()
    assert first.outbox.farewell is None
    await Connection(stage, first.visitor).greet()
    assert first.outbox.farewell is not None


@pytest.mark.parametrize("how", ["start", "leave"])
async def test_who_has_started_or_left_waits_no_more(engine: FakeEngine, settings: Settings, how: str) -> None:
    stage = Stage(engine, replace(settings, max_waiting=1))
    first, second = Connection(stage), Connection(stage)
    await first.greet()
    await first.outbox.next()
    if how == "start":
        assert isinstance(await answer(first, WATCHING), Started)
    else:
        first.leave()
    await second.greet()
    assert first.outbox.farewell is None


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ('{"type": "dance", "id": "step 1"}', "step 1"),
        ('{"type": "parameters", "values": {"steps": 99}, "id": "turn"}', "turn"),
        ('{"type": "dance"}', None),
        (pack_sound(Sound(7, 1, np.zeros((160, 1), np.float32)), "float32"), 7),
        (b"\x07", None),
    ],
)
async def test_an_error_names_the_message_that_it_answers(stage: Stage, message: str | bytes, name: object) -> None:
    assert (await answer(await started(stage, PLAYING), message)).reply_to == name


async def test_the_last_error_names_the_start_that_it_answers(engine: FakeEngine, settings: Settings) -> None:
    connection = Connection(Stage(engine, replace(settings, token="secret")))
    farewell = await answer(connection, '{"type": "start", "role": "viewer", "id": "mine"}')
    assert farewell.messages[0].reply_to == "mine"


async def test_a_full_stage_ends_the_newcomer(engine: FakeEngine, settings: Settings) -> None:
    stage = Stage(engine, replace(settings, max_viewers=1))
    late = Connection(stage)
    await started(stage, WATCHING)
    assert (await answer(late, WATCHING)).code == 1013


async def test_who_connects_to_a_dead_engine_hears_of_it_after_hello(engine: FakeEngine, stage: Stage) -> None:
    engine.failure = RuntimeError("broken")
    connection = Connection(stage)
    await connection.greet()
    assert isinstance(await connection.outbox.next(), Hello)
    farewell = await connection.outbox.next()
    assert isinstance(farewell, Farewell)
    assert farewell.code == 1011


@pytest.mark.parametrize(
    "message", [Acknowledge(1), ParameterValues({}), Marker("a"), PACKET], ids=["ack", "parameters", "marker", "sound"]
)
async def test_before_start_nothing_is_taken(stage: Stage, message: Any) -> None:
    assert (await answer(Connection(stage), message)).code == "not_started"


@pytest.mark.parametrize("message", [ParameterValues({}), Marker("a"), PACKET], ids=["parameters", "marker", "sound"])
async def test_a_viewer_cannot_play(stage: Stage, message: Any) -> None:
    assert (await answer(await started(stage, WATCHING), message)).code == "not_performer"


async def test_a_performer_without_sound_sets_parameters_only(engine: FakeEngine, stage: Stage) -> None:
    connection = await started(stage, Start("performer"))
    assert (await answer(connection, PACKET)).code == "not_performer"
    assert isinstance(await answer(connection, ParameterValues({"glide": 1.0})), ParameterValues)
    assert engine.parameters.glide == 1.0


async def test_who_sends_too_much_is_read_no_further_until_it_is_paid_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(connection_module, "sleep", sleep)
    connection = await started(stage, PLAYING)
    for _ in range(BURST // 2):
        await connection.take(PACKET)
    assert not slept
    for _ in range(2 * BURST):
        await connection.take(PACKET)
    assert len(slept) > BURST
    assert all(seconds > 0 for seconds in slept)


async def test_who_sends_too_much_for_seconds_is_let_go(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await started(stage, PLAYING)
    monkeypatch.setattr(Allowance, "wait", lambda *_: 0.1)
    monkeypatch.setattr(Allowance, "is_used_up", lambda *_: True)
    await connection.take(PACKET)
    farewell = connection.outbox.farewell
    assert farewell is not None
    assert (farewell.code, farewell.reason) == (1008, connection_module.TOO_MANY)


async def test_what_waits_until_it_is_paid_for_is_not_taken_after_the_farewell(
    stage: Stage, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await started(stage, PLAYING)

    async def replaced(_seconds: float) -> None:
        connection.outbox.finish(Farewell(4001, "replaced"))

    monkeypatch.setattr(connection_module, "sleep", replaced)
    monkeypatch.setattr(Allowance, "wait", lambda *_: 0.1)
    await connection.take(PACKET)
    assert not engine.heard


async def test_ping_works_at_any_time_and_gives_the_time_back(stage: Stage) -> None:
    assert await answer(Connection(stage), Ping(1234.5)) == Pong(1234.5, 100_000_000)


async def test_bye_ends_the_session(stage: Stage) -> None:
    assert await answer(Connection(stage), Bye("tired")) == Farewell(1000, "goodbye", (Bye("goodbye"),))


async def test_nothing_is_taken_after_the_farewell(stage: Stage) -> None:
    connection = Connection(stage)
    await connection.take(encode(Bye()))
    await connection.take(encode(WATCHING))
    assert connection.role is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"type": "dance"}', "unknown_type"),
        ("{", "bad_message"),
        (b"\x07", "unknown_type"),
        (b"\x01", "bad_sound"),
        (ParameterValues({"colour": 1}), "bad_parameter"),
        (ParameterValues({"steps": 9}), "bad_parameter"),
    ],
)
async def test_what_is_wrong_comes_back_as_an_error_and_the_session_lives(
    engine: FakeEngine, stage: Stage, message: Any, code: str
) -> None:
    connection = await started(stage, PLAYING)
    reply = await answer(connection, message)
    assert isinstance(reply, ErrorEvent)
    assert (reply.code, reply.fatal) == (code, False)
    await connection.take(PACKET)
    assert len(engine.heard) == 1


async def test_sound_goes_straight_to_the_engine(engine: FakeEngine, stage: Stage) -> None:
    connection = await started(stage, PLAYING)
    assert await answer(connection, PACKET) is None
    samples, rate, _ = engine.heard[0]
    assert samples.shape == (160, 1)
    assert rate == 16_000


async def test_a_marker_waits_for_the_sound_before_it(stage: Stage) -> None:
    connection = await started(stage, PLAYING)
    await connection.take(PACKET)
    await connection.take(encode(Marker("a")))
    assert connection.outbox._markers[0].heard == pytest.approx(100.0 - 1 / 16_000)


async def test_an_acknowledgement_opens_the_window(stage: Stage) -> None:
    connection = await started(stage, WATCHING)
    connection.outbox.in_flight.add(1, None)
    connection.outbox.in_flight.add(2, None)
    await connection.take(encode(Acknowledge(2)))
    assert connection.outbox.in_flight.open


@pytest.mark.parametrize(("right", "believed"), [(Right.WATCH, 100.0), (Right.PLAY, 500.0), (Right.ADMIN, 500.0)])
async def test_who_only_watches_does_not_say_how_late_pictures_are_seen(
    engine: FakeEngine, settings: Settings, right: Right, believed: float
) -> None:
    stage = Stage(engine, replace(settings, tokens=(Token("secret"), Token("other", right))))
    stage.health.acknowledged(NOW - 0.1, round(NOW * 1e6))
    connection = Connection(stage, Visitor(token=Token("other", right)))
    await connection.take(encode(WATCHING))
    for sequence in range(3):
        connection.outbox.in_flight.add(sequence, NOW - 0.5)
        await connection.take(encode(Acknowledge(sequence, round(NOW * 1e6))))
    assert stage.health.status(None, 0).latency == {"p50": believed, "p95": 500.0 if believed > 100 else 100.0}


@pytest.mark.parametrize("wanted", [True, False])
async def test_readings_of_the_pulse_come_to_who_asked(engine: FakeEngine, stage: Stage, wanted: bool) -> None:
    connection = await started(stage, Start("viewer", pulse=wanted))
    assert connection.feeling is wanted
    await connection.take(encode(Bye()))
    connection.leave()


async def test_a_performer_taps_the_beat(engine: FakeEngine, stage: Stage) -> None:
    connection = await started(stage, PLAYING)
    assert await answer(connection, Tap(99_000_000)) is None
    assert engine.taps == [99.0]


async def test_a_viewer_does_not_tap(engine: FakeEngine, stage: Stage) -> None:
    connection = await started(stage, WATCHING)
    reply = await answer(connection, Tap())
    assert isinstance(reply, ErrorEvent)
    assert (reply.code, engine.taps) == ("not_performer", [])
