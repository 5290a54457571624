"""The Python client against a real server: watching, playing, losing the connection and finding it again."""

import asyncio
import itertools
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.asyncio.server import ServerConnection, serve
from websockets.protocol import State
from websockets.typing import Subprotocol

from clavilux.runtime.errors import ProtocolError, SoundError
from clavilux.runtime.pulse import Pulse
from clavilux.server.client import connect as client_connect
from clavilux.server.client import stage as client_stage
from clavilux.server.client.connect import MAX_WAIT, MIN_WAIT, backoff, connect
from clavilux.server.client.stage import Disconnected
from clavilux.server.protocol.binary import unpack_frame
from clavilux.server.protocol.messages import (
    Acknowledge,
    ErrorEvent,
    Hello,
    PictureFormat,
    Ping,
    Pong,
    SoundFormat,
    Start,
    Started,
    Status,
)
from clavilux.server.protocol.text import encode, parse_text
from clavilux.server.protocol.words import SUBPROTOCOL
from clavilux.server.settings import Right, Settings, Token
from clavilux.server.stage.tries import BURST
from tests.server.fakes import DEADLINE, FakeEngine, serving

pytestmark = pytest.mark.anyio

RAW = PictureFormat("rgb")
MONO = SoundFormat("float32", 16_000, 1)
HELLO = Hello(
    protocol=1,
    server="strange/1",
    server_time=5_000_000,
    bundle="b",
    picture={},
    sound={},
    limits={},
    parameters={},
    stages=("queue",),
    token_required=False,
)
Behaviour = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def strange_server(behave: Behaviour) -> AsyncIterator[str]:
    """A server that speaks the subprotocol as `behave` does; gives its address."""
    async with serve(behave, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"


async def begin(connection: ServerConnection, pings: int = 3) -> None:
    """Go through hello, start and the first pings, as a good server does."""
    await connection.send(encode(HELLO))
    await connection.recv()
    await connection.send(encode(Started("viewer", "main", {})))
    for _ in range(pings):
        ping = parse_text(str(await connection.recv()))
        assert isinstance(ping, Ping)
        await connection.send(encode(Pong(ping.client_time, 7_000_000)))


async def test_a_watcher_gets_frames_with_their_pixels(engine: FakeEngine, url: str) -> None:
    engine.emit(9, heard_until=99.5)
    async with connect(url, picture=RAW) as stage:
        frame = await anext(stage)
    assert frame.sequence == 9
    assert frame.heard_until == 99_500_000
    assert frame.stages["compress"] >= 0
    np.testing.assert_array_equal(frame.pixels, np.full((4, 6, 3), 9, np.uint8))


async def test_frames_are_acknowledged_as_they_are_taken(engine: FakeEngine, url: str) -> None:
    async with connect(url, picture=RAW) as stage:
        for sequence in range(20):
            engine.emit(sequence)
            assert (await anext(stage)).sequence == sequence
        assert stage.skipped == 0


async def test_a_viewer_that_reads_nothing_holds_up_nobody_and_finds_the_newest_frame(
    engine: FakeEngine, url: str
) -> None:
    async with (
        open_socket(url, subprotocols=[Subprotocol(SUBPROTOCOL)]) as slow,
        connect(url, picture=RAW) as fast,
    ):
        await slow.send(encode(Start("viewer", picture=RAW)))
        await slow.send(encode(Ping(1)))
        answers = [json.loads(await slow.recv())["type"] for _ in range(3)]
        assert answers == ["hello", "started", "pong"]
        for sequence in range(50):
            engine.emit(sequence)
            assert (await anext(fast)).sequence == sequence
        late = [unpack_frame(await slow.recv(decode=False)).sequence for _ in range(2)]
        await slow.send(encode(Acknowledge(late[-1])))
        assert unpack_frame(await slow.recv(decode=False)).sequence == 49


async def test_the_latency_is_measured_with_the_servers_clock(engine: FakeEngine, url: str) -> None:
    engine.emit(0, heard_until=99.75)
    async with connect(url) as stage:
        frame = await anext(stage)
        # The fake's clock stands still, so the estimate is as far off as the round trip was long.
        assert frame.latency == pytest.approx(0.25, abs=DEADLINE)


async def test_what_the_server_is_stands_in_hello(url: str) -> None:
    async with connect(url) as stage:
        assert stage.hello.picture["width"] == 6
        assert stage.parameters["glide"] == 0.35


async def test_sound_arrives_at_the_engine_unchanged(engine: FakeEngine, url: str) -> None:
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    engine.on_hear = lambda: loop.call_soon_threadsafe(heard.set) and None
    samples = np.linspace(-1, 1, 1600, dtype=np.float32)
    async with connect(url, role="performer", sound=MONO) as stage:
        await stage.send(samples)
        await heard.wait()
    np.testing.assert_array_equal(engine.heard[0][0][:, 0], samples)
    assert engine.heard[0][1] == 16_000


async def test_the_stage_hears_the_channels_in_use_alone(engine: FakeEngine, url: str) -> None:
    many = SoundFormat("float32", 16_000, 4, use=(3, 1))
    sent = np.arange(40, dtype=np.float32).reshape(10, 4) / 64
    engine.emit(0)
    async with connect(url, role="performer", sound=many, picture=RAW) as stage:
        await stage.send(sent)
        await stage.ping()
    np.testing.assert_array_equal(engine.heard[0][0], sent[:, [2, 0]])


async def test_a_long_sound_goes_in_several_packets(engine: FakeEngine, url: str) -> None:
    stereo = SoundFormat("pcm16", 48_000, 2)
    engine.emit(0)
    async with connect(url, role="performer", sound=stereo, picture=RAW) as stage:
        await stage.send(np.zeros((100_000, 2), np.float32))
        marker = await stage.mark("all")
        await anext(stage)
        await stage.ping()
        engine.emit(1, heard_until=1e6)
        await anext(stage)
        assert (await marker).sequence == 1
    assert sum(len(samples) for samples, _, _ in engine.heard) == 100_000
    assert len(engine.heard) == 2


@pytest.mark.parametrize("shape", [(10, 2), (2, 5, 1)])
async def test_samples_of_another_shape_are_refused(url: str, shape: tuple[int, ...]) -> None:
    async with connect(url, role="performer", sound=MONO) as stage:
        with pytest.raises(SoundError, match=r"expected \[n, 1\]"):
            await stage.send(np.zeros(shape, np.float32))


async def test_who_announced_no_sound_cannot_send_any(url: str) -> None:
    async with connect(url, role="performer") as stage:
        with pytest.raises(SoundError, match="announced no sound"):
            await stage.send(np.zeros(10, np.float32))


async def test_sound_captured_earlier_carries_its_time(engine: FakeEngine) -> None:
    packets: list[bytes] = []
    done = asyncio.Event()

    async def behave(connection: ServerConnection) -> None:
        await begin(connection)
        packets.append(bytes(await connection.recv(decode=False)))
        done.set()
        await connection.wait_closed()

    async with strange_server(behave) as url, connect(url, role="performer", sound=MONO) as stage:
        await stage.send(np.zeros(1, np.float32), captured_at=12.5)
        await done.wait()
        assert struct.unpack_from("<Q", packets[0], 8)[0] == stage.clock.server_time(12.5)


async def test_parameters_are_set_and_told(engine: FakeEngine, url: str) -> None:
    async with connect(url, role="performer", picture=RAW) as stage:
        await stage.set(glide=2.0, freeze=True)
        marker = await stage.mark("after")
        await stage.ping()
        engine.emit(0)
        await anext(stage)
        await marker
        assert stage.parameters["glide"] == 2.0
    assert engine.parameters.freeze is True


async def test_a_refused_parameter_is_raised_and_the_stage_goes_on(engine: FakeEngine, url: str) -> None:
    async with connect(url, role="performer") as stage:
        await stage.set(steps=99)
        with pytest.raises(ProtocolError, match="steps is 99") as caught:
            await anext(stage)
        assert caught.value.code == "bad_parameter"
        engine.emit(0)
        assert (await anext(stage)).sequence == 0


async def test_complaints_are_raised_before_the_next_frame(engine: FakeEngine, url: str) -> None:
    engine.emit(0)
    async with connect(url) as stage:
        marker = await stage.mark("no")
        await stage.ping()
        with pytest.raises(ProtocolError, match="a viewer only watches"):
            await anext(stage)
        assert not marker.done()
    assert marker.cancelled()


async def test_the_newest_status_is_kept(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, replace(settings, status_seconds=0.01)) as here:
        async with connect(f"ws://{here.host}:{here.port}/ws") as stage:
            while stage.status is None:
                await stage.ping()
            assert isinstance(stage.status, Status)


async def test_the_clock_is_learnt_anew_while_the_connection_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_stage, "PING_SECONDS", 0.01)
    done = asyncio.Event()

    async def behave(connection: ServerConnection) -> None:
        await begin(connection, pings=6)
        done.set()
        await connection.wait_closed()

    async with strange_server(behave) as url, connect(url):
        await done.wait()


async def test_a_ping_waits_for_its_own_answer(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_stage, "PING_SECONDS", 0.01)
    async with connect(url) as stage:
        for _ in range(3):
            assert 0 <= await stage.ping() < DEADLINE


async def test_a_connection_on_which_nothing_comes_any_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def behave(connection: ServerConnection) -> None:
        await begin(connection)
        await connection.wait_closed()

    monkeypatch.setattr(client_stage, "SILENT_SECONDS", 0.5)
    async with strange_server(behave) as url, connect(url) as stage:
        with pytest.raises(Disconnected, match=r"nothing has come for 0\.5 s") as caught:
            await anext(stage)
    assert (caught.value.code, caught.value.final) == (1006, False)


async def test_a_connection_that_ends_while_the_clock_is_learnt_is_an_error() -> None:
    async def behave(connection: ServerConnection) -> None:
        await begin(connection, pings=1)
        await connection.recv()
        await connection.close(1013, "stage full")

    async with strange_server(behave) as url:
        with pytest.raises(Disconnected, match="stage full"):
            await connect(url).__aenter__()


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> list[ClientConnection]:
    """All connections that the client has opened."""
    found: list[ClientConnection] = []

    async def remembered(*where: Any, **how: Any) -> ClientConnection:
        found.append(await open_socket(*where, **how))
        return found[-1]

    monkeypatch.setattr(client_connect, "open_socket", remembered)
    return found


@asynccontextmanager
async def deaf_server(begun: Behaviour) -> AsyncIterator[str]:
    """A server that reads nothing more once it has begun, and so answers no close."""
    over = asyncio.Event()

    async def behave(connection: ServerConnection) -> None:
        await begun(connection)
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    async with strange_server(behave) as url:
        try:
            yield url
        finally:
            over.set()


async def turned(condition: Callable[[], object]) -> None:
    """Let the loop turn until a condition holds."""
    async with asyncio.timeout(DEADLINE):
        for _ in itertools.repeat(None):
            if condition():
                return
            await asyncio.sleep(0)


async def cancelled(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_close_that_is_cancelled_leaves_nothing_open(sockets: list[ClientConnection]) -> None:
    async with deaf_server(begin) as url:
        stage = await connect(url).__aenter__()
        closing = asyncio.create_task(stage.close())
        await turned(lambda: sockets[0].state is not State.OPEN)
        await cancelled(closing)
        assert sockets[0].transport.is_closing()
        assert all(task.done() for task in stage._tasks)


async def test_a_start_that_is_cancelled_while_it_ends_leaves_nothing_open(sockets: list[ClientConnection]) -> None:
    async def silent(connection: ServerConnection) -> None:
        assert connection.subprotocol == SUBPROTOCOL  # no hello

    async with deaf_server(silent) as url:
        starting = asyncio.create_task(connect(url).__aenter__())
        await turned(lambda: sockets)
        starting.cancel()
        await turned(lambda: sockets[0].state is not State.OPEN)
        await cancelled(starting)
        assert sockets[0].transport.is_closing()


async def test_a_taken_stage_is_an_error_with_its_code(url: str) -> None:
    async with connect(url, role="performer", sound=MONO):
        with pytest.raises(ProtocolError, match="another performer sounds") as caught:
            await connect(url, role="performer", sound=MONO).__aenter__()
    assert caught.value.code == "stage_taken"


async def test_a_wrong_token_is_not_tried_again(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, replace(settings, token="secret")) as here:
        url = f"ws://{here.host}:{here.port}/ws"
        with pytest.raises(ProtocolError) as caught:
            await anext(aiter(connect(url, token="wrong")))
        assert caught.value.code == "unauthorized"
        async with connect(url, token="secret") as stage:
            assert stage.hello.token_required


@pytest.mark.parametrize("token", ["schlüssel", " spaced ", "plain"])
async def test_a_token_that_fits_no_header_opens_the_stage_all_the_same(
    engine: FakeEngine, settings: Settings, token: str
) -> None:
    with serving(engine, replace(settings, token=token)) as here:
        async with connect(f"ws://{here.host}:{here.port}/ws", token=token) as stage:
            assert stage.session


async def test_who_has_guessed_too_often_learns_when_to_try_again(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, replace(settings, token="secret")) as here:
        url = f"ws://{here.host}:{here.port}/ws"
        for _ in range(BURST):
            with pytest.raises(ProtocolError):
                await connect(url, token="wrong").__aenter__()
        for token, code in (("secret", 429), (" secret", 1013)):
            with pytest.raises(Disconnected, match="too many wrong tokens") as caught:
                await connect(url, token=token).__aenter__()
            assert (caught.value.code, caught.value.final, caught.value.retry_after) == (code, False, 10)


async def test_who_comes_back_shows_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str | None] = []

    async def behave(connection: ServerConnection) -> None:
        await connection.send(encode(HELLO))
        start = parse_text(str(await connection.recv()))
        assert isinstance(start, Start)
        shown.append(start.session)
        await connection.send(encode(Started("viewer", "main", {}, f"session {len(shown)}")))
        for _ in range(3):
            ping = parse_text(str(await connection.recv()))
            assert isinstance(ping, Ping)
            await connection.send(encode(Pong(ping.client_time, 7_000_000)))
        connection.transport.abort()

    async with strange_server(behave) as url:
        with pytest.raises(Disconnected):
            await anext(aiter(connect(url, delays=lambda: itertools.repeat(0.0, 2))))
    assert shown == [None, "session 1", "session 2"]


@pytest.mark.parametrize("started", [True, False])
async def test_the_time_that_a_server_names_is_waited(monkeypatch: pytest.MonkeyPatch, started: bool) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def slept(delay: float) -> None:
        waits.append(delay)
        await sleep(0)

    async def behave(connection: ServerConnection) -> None:
        if started:
            await begin(connection)
        else:
            await connection.send(encode(HELLO))
            await connection.recv()
        await connection.send(encode(ErrorEvent("try_again", "full", fatal=True, retry_after=30)))
        await connection.close(1013, "full")

    async with strange_server(behave) as url:
        monkeypatch.setattr(asyncio, "sleep", slept)
        with pytest.raises(Disconnected, match="full") as caught:
            await anext(aiter(connect(url, delays=lambda: iter([0.0, 45.0]))))
    assert [wait for wait in waits if wait in (0.0, 30.0, 45.0)] == [30.0, 45.0]  # the others keep the line alive
    assert (caught.value.code, caught.value.retry_after) == (1013, 30)


async def test_an_admin_sounds_in_the_place_of_another_who_does_not_take_it_back(
    engine: FakeEngine, settings: Settings
) -> None:
    tokens = (Token("player", Right.PLAY), Token("boss", Right.ADMIN))
    with serving(engine, replace(settings, tokens=tokens)) as here:
        url = f"ws://{here.host}:{here.port}/ws"
        async with (
            connect(url, role="performer", sound=MONO, token="player") as other,
            connect(url, role="performer", sound=MONO, token="boss", take_over=True) as stage,
        ):
            with pytest.raises(Disconnected, match="has taken this one's place") as caught:
                await anext(other)
            await stage.ping()
    assert (caught.value.code, caught.value.final) == (4001, True)


@pytest.mark.parametrize("code", [1008, 4001])
async def test_a_close_that_would_come_again_is_final(code: int) -> None:
    async def behave(connection: ServerConnection) -> None:
        await begin(connection)
        await connection.close(code, "no")

    async with strange_server(behave) as url:
        with pytest.raises(Disconnected, match=f"{code} no") as caught:
            await anext(aiter(connect(url)))
    assert caught.value.final


async def test_a_watcher_reconnects_when_the_server_comes_back(engine: FakeEngine, settings: Settings) -> None:
    engine.emit(1)
    with serving(engine, settings) as first:
        frames = aiter(connect(f"ws://{first.host}:{first.port}/ws", delays=lambda: itertools.repeat(0.0)))
        engine.emit(1)
        assert (await anext(frames)).sequence == 1
    with serving(engine, replace(settings, port=first.port)):
        waiting = asyncio.create_task(anext(frames))
        while not waiting.done():
            engine.emit(2)
            await asyncio.sleep(0)
        assert waiting.result().sequence == 2
        await frames.aclose()


async def test_a_server_that_stays_away_ends_the_attempts_when_the_delays_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}/ws"
        with pytest.raises(Disconnected, match="cannot reach") as caught:
            await anext(aiter(connect(url, delays=lambda: itertools.repeat(0.0, 2))))
    assert (caught.value.code, caught.value.final) == (0, False)


async def test_an_address_that_is_none_is_not_tried_again() -> None:
    with pytest.raises(Disconnected, match="no websocket address") as caught:
        await anext(aiter(connect("http://127.0.0.1/")))
    assert caught.value.final


async def test_a_refused_request_is_not_tried_again_and_tells_the_answer(url: str) -> None:
    with pytest.raises(Disconnected) as caught:
        await anext(aiter(connect(url.replace("/ws", "/nowhere"))))
    assert caught.value.final
    assert 400 <= caught.value.code < 500


async def test_a_dead_engine_is_worth_another_attempt(engine: FakeEngine, url: str) -> None:
    engine.failure = RuntimeError("broken")
    with pytest.raises(Disconnected, match="engine has failed") as caught:
        await connect(url).__aenter__()
    assert (caught.value.code, caught.value.final) == (1011, False)


async def test_an_engine_that_dies_later_ends_the_iteration(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, replace(settings, status_seconds=0.01)) as here:
        async with connect(f"ws://{here.host}:{here.port}/ws") as stage:
            engine.failure = RuntimeError("broken")
            with pytest.raises(Disconnected, match="engine has failed") as caught:
                await anext(stage)
    assert caught.value.code == 1011


async def test_a_full_stage_is_worth_another_attempt(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, replace(settings, max_viewers=1)) as here:
        url = f"ws://{here.host}:{here.port}/ws"
        async with connect(url):
            with pytest.raises(Disconnected, match="stage full") as caught:
                await connect(url).__aenter__()
    assert (caught.value.code, caught.value.final) == (1013, False)


async def test_a_server_that_closes_before_the_start_is_answered_is_an_error_with_its_code() -> None:
    async def behave(connection: ServerConnection) -> None:
        await connection.send(encode(HELLO))
        await connection.close(1012, "closing time")

    async with strange_server(behave) as url:
        with pytest.raises(Disconnected, match="closing time") as caught:
            await connect(url).__aenter__()
    assert (caught.value.code, caught.value.final) == (1012, False)


async def test_iterating_again_over_a_stage_that_was_left_ends() -> None:
    async def behave(connection: ServerConnection) -> None:
        await begin(connection)
        await connection.close()

    async with strange_server(behave) as url:
        assert [frame async for frame in connect(url)] == []


async def test_a_connection_that_breaks_is_an_error_with_its_code() -> None:
    async def behave(connection: ServerConnection) -> None:
        await begin(connection)
        connection.transport.abort()

    async with strange_server(behave) as url, connect(url) as stage:
        with pytest.raises(Disconnected, match="the connection ended") as caught:
            await anext(stage)
        assert caught.value.code == 1006
        with pytest.raises(Disconnected):
            await stage.set(glide=1.0)


@pytest.mark.parametrize("nonsense", [b"\x09", "not JSON"])
async def test_a_server_that_talks_nonsense_is_an_error(nonsense: str | bytes) -> None:
    async def behave(connection: ServerConnection) -> None:
        await begin(connection)
        await connection.send(nonsense)
        await connection.wait_closed()

    async with strange_server(behave) as url, connect(url) as stage:
        with pytest.raises(ProtocolError):
            await anext(stage)


@pytest.mark.parametrize("greeting", [b"\x02", encode(Started("viewer", "main", {}))])
async def test_a_server_that_does_not_say_hello_is_an_error(greeting: str | bytes) -> None:
    async def behave(connection: ServerConnection) -> None:
        await connection.send(greeting)
        await connection.wait_closed()

    async with strange_server(behave) as url:
        with pytest.raises(ProtocolError, match="expected"):
            await connect(url).__aenter__()


async def test_messages_of_types_to_come_are_ignored() -> None:
    async def behave(connection: ServerConnection) -> None:
        await connection.send(encode(HELLO))
        await connection.recv()
        await connection.send('{"type": "news"}')
        await connection.send(encode(Started("viewer", "main", {})))
        for _ in range(3):
            ping: Any = parse_text(str(await connection.recv()))
            await connection.send('{"type": "news"}')
            await connection.send('{"type": "marker", "id": "of another", "sequence": 1, "heard_until": 1}')
            await connection.send(encode(Pong(ping.client_time, 7_000_000)))
        await connection.wait_closed()

    async with strange_server(behave) as url, connect(url) as stage:
        assert stage.hello == HELLO


async def test_a_marker_that_nobody_waits_for_any_more_is_let_go(engine: FakeEngine, url: str) -> None:
    async with connect(url, role="performer", picture=RAW) as stage:
        (await stage.mark("a")).cancel()
        other = await stage.mark("b")
        await stage.ping()
        engine.emit(0)
        await anext(stage)
        assert (await other).sequence == 0


async def test_the_acknowledgement_carries_the_servers_time() -> None:
    told: list[Acknowledge] = []
    done = asyncio.Event()

    async def behave(connection: ServerConnection) -> None:
        await begin(connection)
        head = struct.pack("<BBHHHIIQQQI", 2, 3, 1, 1, 1, 4, 0, 0, 0, 0, 9)
        await connection.send(head + b"abc")
        message = parse_text(str(await connection.recv()))
        assert isinstance(message, Acknowledge)
        told.append(message)
        done.set()
        await connection.wait_closed()

    async with strange_server(behave) as url, connect(url) as stage:
        frame = await anext(stage)
        await done.wait()
        assert told[0].sequence == 4
        assert told[0].shown_at >= 7_000_000
        assert frame.latency is None


def test_waits_double_up_to_a_limit_with_chance_in_them() -> None:
    waits = list(itertools.islice(backoff(), 20))
    for attempt, wait in enumerate(waits):
        whole = min(MAX_WAIT, MIN_WAIT * 2**attempt)
        assert whole / 2 <= wait <= whole


async def test_leaving_what_was_never_entered_does_nothing() -> None:
    await connect("ws://127.0.0.1:1/ws").__aexit__(None, None, None)


async def test_who_asks_for_the_pulse_gets_readings_and_can_tap(url: str, engine: FakeEngine) -> None:
    async with connect(url, role="performer", pulse=True) as stage:
        engine.beat(Pulse(index=5, low=1.0), Pulse(index=6))
        while not (messages := stage.pulses()):
            await stage.ping()
        assert [(pulse.index, pulse.low) for pulse in messages[0].pulses] == [(5, 1.0), (6, 0.0)]
        assert stage.pulses() == []
        await stage.tap()
        await stage.ping()
        assert len(engine.taps) == 1


async def test_who_does_not_ask_gets_frames_alone(url: str, engine: FakeEngine) -> None:
    async with connect(url) as stage:
        assert engine.felt == 0
        engine.emit(1)
        assert (await anext(stage)).sequence == 1
        assert stage.pulses() == []
