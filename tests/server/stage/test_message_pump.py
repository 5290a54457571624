"""A connection over a channel: who ends it, who waits for whom, and that no viewer can hold up another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from clavilux.runtime.frame import Frame
from clavilux.server.protocol.binary import PackedFrame, Sound, pack_sound, unpack_frame
from clavilux.server.protocol.messages import (
    Acknowledge,
    Bye,
    ErrorEvent,
    Hello,
    Marker,
    MarkerReached,
    ParameterValues,
    PictureFormat,
    Ping,
    Pong,
    ServerMessage,
    SoundFormat,
    Start,
    Started,
)
from clavilux.server.protocol.text import encode, parse_event
from clavilux.server.settings import Settings
from clavilux.server.stage import compression
from clavilux.server.stage.connection import Connection
from clavilux.server.stage.message_pump import run_connection
from clavilux.server.stage.outbox import REPLIES
from clavilux.server.stage.stage import Stage
from tests.server.fakes import NOW, FakeChannel, FakeEngine, make_frame

pytestmark = pytest.mark.anyio

TURNS = 50  # of the event loop, more than enough to read everything that is read at all
RAW = PictureFormat("rgb")
MONO = SoundFormat("float32", 48_000)


class Client(FakeChannel):
    """A fake channel with a connection running on it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.running = asyncio.create_task(run_connection(self, stage))

    async def hear(self) -> ServerMessage | PackedFrame | None:
        message = await self.said.get()
        return parse_event(message) if isinstance(message, str) else unpack_frame(message)

    async def start(self, start: Start) -> None:
        assert isinstance(await self.hear(), Hello)
        self.say(encode(start))
        assert isinstance(await self.hear(), Started)

    async def frame(self) -> PackedFrame:
        frame = await self.hear()
        assert isinstance(frame, PackedFrame)
        return frame

    async def leave(self) -> None:
        self.hang_up()
        await self.running


async def watching(stage: Stage, *, limits_flashes: bool = False) -> Client:
    """A viewer that has started, and takes pictures as they are."""
    client = Client(stage)
    await client.start(Start("viewer", picture=RAW, limits_flashes=limits_flashes))
    return client


@asynccontextmanager
async def playing(engine: FakeEngine, settings: Settings) -> AsyncIterator[Stage]:
    async with Stage(engine, settings) as stage:
        yield stage


async def test_a_connection_says_at_its_end_which_role_it_had(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        client, silent = Client(stage), Client(stage)
        await client.start(Start("viewer"))
        client.hang_up()
        silent.hang_up()
        assert (await client.running, await silent.running) == ("viewer", None)


async def test_a_client_that_hangs_up_leaves_the_stage(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        client = Client(stage)
        await client.start(Start("performer", MONO))
        assert len(stage.members) == 1
        await client.leave()
        assert stage.members == set()


async def test_bye_is_answered_and_the_connection_closed(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        client = Client(stage)
        assert isinstance(await client.hear(), Hello)
        client.say(encode(Bye()))
        assert await client.hear() == Bye("goodbye")
        assert await client.closed == (1000, "goodbye")
        await client.running


async def test_who_never_starts_is_sent_away(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, replace(settings, start_seconds=0.0)) as stage:
        client = Client(stage)
        assert await client.closed == (1008, "no start within 0 s")
        await client.running


async def test_who_has_started_may_stay_silent(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        client = Client(stage)
        await client.start(Start("viewer"))
        client.say(encode(Ping(1)))
        assert isinstance(await client.hear(), Pong)
        await client.leave()


async def test_a_frame_arrives_with_its_pixels(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        client = await watching(stage)
        engine.emit(9, heard_until=99.5)
        frame = await client.frame()
        assert (frame.sequence, frame.size, frame.heard_until) == (9, (6, 4), 99_500_000)
        assert frame.picture == bytes([9]) * (4 * 6 * 3)
        await client.leave()


async def test_a_viewer_that_never_acknowledges_holds_up_nobody_and_keeps_one_frame(
    engine: FakeEngine, settings: Settings
) -> None:
    async with playing(engine, settings) as stage:
        slow, fast = await watching(stage), await watching(stage)
        for sequence in range(50):
            engine.emit(sequence)
            assert (await fast.frame()).sequence == sequence
            fast.say(encode(Acknowledge(sequence)))
        got = [(await slow.frame()).sequence, (await slow.frame()).sequence]
        assert slow.said.empty()
        slow.say(encode(Acknowledge(got[1])))
        assert (await slow.frame()).sequence == 49
        await slow.leave()
        await fast.leave()


def strobe_frame(sequence: int, *, lit: bool, **values: bool) -> Frame:
    """A frame of a strobe of thirty pictures a second, 8 pixels wide, made with these parameters."""
    pixels = np.full((8, 8, 3), 255 if lit else 0, np.uint8)
    return replace(make_frame(sequence), pixels=pixels, time=NOW + sequence / 30, values=values)


async def shown(client: Client, frame: Frame) -> int:
    """Return the level that a client gets of a frame of one colour."""
    got = await client.frame()
    client.say(encode(Acknowledge(frame.sequence)))
    assert got.sequence == frame.sequence
    return got.picture[0]


async def test_flashes_are_limited_for_clients_that_do_not_do_it_themselves(
    engine: FakeEngine, settings: Settings
) -> None:
    async with playing(engine, settings) as stage:
        safe, able = await watching(stage), await watching(stage, limits_flashes=True)
        levels = []
        for k in range(90):
            frame = engine.give(strobe_frame(k, lit=k // 2 % 2 == 1))
            levels.append((await shown(safe, frame), await shown(able, frame)))
        ours, theirs = zip(*levels[45:], strict=True)
        assert (min(theirs), max(theirs)) == (0, 255)
        assert max(ours) - min(ours) < 40
        for k in range(90, 96):
            frame = engine.give(strobe_frame(k, lit=k // 2 % 2 == 1, flash_limit=False))
            assert await shown(safe, frame) == await shown(able, frame)
        await safe.leave()
        await able.leave()


async def test_a_blackout_is_black_at_once_though_a_bright_picture_was_in_the_making(
    engine: FakeEngine, settings: Settings
) -> None:
    async with playing(engine, settings) as stage:
        client = await watching(stage)
        for k in range(60):
            await shown(client, engine.give(strobe_frame(k, lit=k // 2 % 2 == 1)))
        stage.set({"blackout": True})
        assert isinstance(await client.hear(), ParameterValues)
        assert await shown(client, engine.give(strobe_frame(60, lit=True, blackout=False))) < 255
        assert await shown(client, engine.give(strobe_frame(61, lit=False, blackout=True))) == 0
        await client.leave()


async def test_a_viewer_whose_network_is_stuck_holds_up_nobody(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        stuck, fast = await watching(stage), await watching(stage)
        stuck.flowing.clear()
        for sequence in range(50):
            engine.emit(sequence)
            assert (await fast.frame()).sequence == sequence
            fast.say(encode(Acknowledge(sequence)))
        await stuck.leave()
        await fast.leave()


async def test_who_reads_nothing_for_too_long_is_gone(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, replace(settings, send_seconds=0.01)) as stage:
        client = Client(stage)
        client.flowing.clear()
        await client.running
        assert not client.closed.done()


async def test_who_asks_without_listening_is_read_no_further(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        client = Client(stage)
        await client.start(Start("performer"))
        client.flowing.clear()
        for number in range(10 * REPLIES):
            client.say(encode(Ping(number)))
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert client._incoming.qsize() > 8 * REPLIES
        client.flowing.set()
        assert await client.hear() == Pong(0, 100_000_000)
        await client.leave()


async def test_a_channel_that_breaks_ends_the_connection_quietly(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        client = Client(stage)
        await client.start(Start("viewer"))
        client.broken = True
        engine.emit(0)
        await client.running
        assert stage.members == set()


async def test_a_marker_comes_after_the_frame_that_shows_its_sound(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        client = Client(stage)
        await client.start(Start("performer", MONO, RAW))
        client.say(pack_sound(Sound(0, 99_000_000, np.zeros((4800, 1), np.float32)), "float32"))
        client.say(encode(Marker("here")))
        client.say(encode(Ping(1)))
        assert isinstance(await client.hear(), Pong)
        engine.emit(0, heard_until=99.05)
        assert (await client.frame()).sequence == 0
        engine.emit(1, heard_until=99.2)
        assert (await client.frame()).sequence == 1
        assert await client.hear() == MarkerReached("here", 1, 99_200_000)
        await client.leave()


async def test_what_was_sent_is_counted(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        client = await watching(stage)
        engine.emit(0)
        await client.frame()
        client.say(encode(Ping(1)))
        await client.hear()
        assert b"clavilux_frames_sent_total 1.0" in stage.metrics.text()
        await client.leave()


async def test_a_dead_engine_is_the_last_thing_a_client_hears(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, replace(settings, status_seconds=0.0)) as stage:
        client = Client(stage)
        await client.start(Start("viewer"))
        engine.failure = MemoryError("too big")
        while not isinstance(event := await client.hear(), ErrorEvent):
            continue
        assert (event.code, event.fatal) == ("engine_failed", True)
        assert await client.closed == (1011, "engine failed")
        await client.running


async def test_an_unforeseen_error_is_told_to_the_log_with_its_traceback_and_not_to_the_peer(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with playing(engine, settings) as stage:
        client = Client(stage)
        await client.start(Start("performer"))
        monkeypatch.setattr(stage, "set", lambda values: 1 / 0)
        client.say('{"type": "parameters", "values": {}}')
        assert await client.closed == (1011, "internal error")
        await client.running
        assert stage.members == set()
        assert "ZeroDivisionError" in caplog.text
        assert b'clavilux_refused_total{reason="internal_error"} 1.0' in stage.metrics.text()


async def test_an_error_before_hello_ends_the_connection_as_well(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with playing(engine, settings) as stage:
        monkeypatch.setattr(Connection, "greet", lambda connection: 1 / 0)
        client = Client(stage)
        assert await client.closed == (1011, "internal error")
        await client.running


async def test_who_is_gone_when_the_server_errs_is_let_go(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with playing(engine, replace(settings, send_seconds=0.01)) as stage:
        client = Client(stage)
        await client.start(Start("performer"))
        client.flowing.clear()
        monkeypatch.setattr(stage, "set", lambda values: 1 / 0)
        client.say('{"type": "parameters", "values": {}}')
        await client.running
        assert not client.closed.done()


async def test_a_picture_that_fails_to_compress_ends_who_wants_it_and_nobody_else(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with playing(engine, settings) as stage:
        unlucky, lucky = Client(stage), await watching(stage)
        await unlucky.start(Start("viewer", picture=PictureFormat("webp")))
        monkeypatch.setattr(compression, "compress", failing_for("webp"))
        engine.emit(1)
        assert await unlucky.closed == (1011, "internal error")
        await unlucky.running
        assert (await lucky.frame()).sequence == 1
        await lucky.leave()


def failing_for(encoding: str) -> Callable[[np.ndarray, PictureFormat], bytes]:
    """A compressor that cannot do one encoding."""

    def compress(pixels: np.ndarray, layout: PictureFormat) -> bytes:
        if layout.encoding == encoding:
            raise OSError("cannot write this")
        return pixels.tobytes()

    return compress


async def test_a_cancelled_connection_leaves_the_stage(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        client = Client(stage)
        await client.start(Start("viewer"))
        client.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client.running
        assert stage.members == set()


async def test_the_servers_farewell_reaches_everyone(engine: FakeEngine, settings: Settings) -> None:
    async with playing(engine, settings) as stage:
        clients = [Client(stage) for _ in range(3)]
        for client in clients:
            await client.start(Start("viewer"))
        await stage.farewell("closing time")
        for client in clients:
            assert await client.hear() == Bye("closing time")
            assert await client.closed == (1012, "closing time")
