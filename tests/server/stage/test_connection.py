"""One connection's life, without a socket: messages in, answers in the outbox."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clavilux import __version__
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
from clavilux.server.settings import Settings
from clavilux.server.stage import connection as connection_module
from clavilux.server.stage.allowance import BURST
from clavilux.server.stage.connection import Connection
from clavilux.server.stage.outbox import Farewell
from clavilux.server.stage.stage import Stage
from tests.server.fakes import FakeEngine, make_frame

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
