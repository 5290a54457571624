"""The stage: one who sounds, many who watch, times that must make sense."""

import asyncio
import threading
from dataclasses import replace

import numpy as np
import pytest

from clavilux.runtime.clock import ManualClock
from clavilux.runtime.errors import ParameterError, ProtocolError
from clavilux.runtime.frame import Frame, Heard
from clavilux.server.protocol.binary import Sound
from clavilux.server.protocol.messages import (
    WIRE_STAGES,
    Acknowledge,
    Bye,
    ParameterValues,
    PictureFormat,
    SoundFormat,
    Start,
    Status,
)
from clavilux.server.settings import Settings
from clavilux.server.stage.compression import Picture
from clavilux.server.stage.outbox import Farewell, Outbox
from clavilux.server.stage.stage import STALE, Stage
from tests.server.fakes import NOW, FakeEngine, make_frame

pytestmark = pytest.mark.anyio

PLAYING = Start("performer", SoundFormat())
US = 1_000_000


class Guest:
    """A member that does nothing."""

    def __init__(self, role: str = "viewer", *, sounding: bool = False) -> None:
        self.role = role
        self.sounding = sounding
        self.outbox = Outbox()


@pytest.fixture
def stage(engine: FakeEngine, settings: Settings) -> Stage:
    return Stage(engine, settings)


def sound(captured_at: int = 0, samples: int = 480) -> Sound:
    return Sound(0, captured_at, np.zeros((samples, 1), np.float32))


async def test_the_engine_runs_as_long_as_the_stage(engine: FakeEngine, stage: Stage) -> None:
    async with stage:
        assert engine.running
        assert engine.listened_to
    assert not engine.running
    assert not engine.listened_to


async def test_the_engine_knows_how_many_watch_from_the_start(engine: FakeEngine, stage: Stage) -> None:
    one, other, told = Guest(), Guest("performer"), []
    async with stage:
        told.append(engine.audience)
        for change, guest in ((stage.join, one), (stage.join, other), (stage.leave, one), (stage.leave, other)):
            change(guest)
            told.append(engine.audience)
    assert told == [0, 1, 2, 1, 0]


async def test_a_frame_from_the_engines_thread_reaches_every_member(engine: FakeEngine, stage: Stage) -> None:
    one, other = Guest(), Guest("performer")
    async with stage:
        stage.join(one)
        stage.join(other)
        threading.Thread(target=engine.emit, args=(3,)).start()
        for guest in (one, other):
            frame = await guest.outbox.next()
            assert isinstance(frame, Frame)
            assert frame.sequence == 3


async def test_frames_that_outrun_the_event_loop_are_replaced_by_newer_ones(engine: FakeEngine, stage: Stage) -> None:
    guest = Guest()
    async with stage:
        stage.join(guest)
        for sequence in range(100):
            engine.emit(sequence)
        frame = await guest.outbox.next()
        assert isinstance(frame, Frame)
        assert frame.sequence == 99
        assert guest.outbox.skipped == 0


async def test_a_wake_up_without_a_frame_does_nothing(engine: FakeEngine, stage: Stage) -> None:
    async with stage:
        stage._spread()
        guest = Guest()
        stage.show_last(guest)
        assert guest.outbox._take() is None


async def test_a_newcomer_is_shown_the_last_frame(engine: FakeEngine, stage: Stage) -> None:
    async with stage:
        watcher, newcomer = Guest(), Guest()
        stage.join(watcher)
        engine.emit(5)
        await watcher.outbox.next()
        stage.show_last(newcomer)
        frame = await newcomer.outbox.next()
        assert isinstance(frame, Frame)
        assert frame.sequence == 5


def test_only_one_may_sound(stage: Stage) -> None:
    stage.join(Guest("performer", sounding=True))
    with pytest.raises(ProtocolError, match="another performer sounds") as caught:
        stage.admit(PLAYING)
    assert caught.value.code == "stage_taken"


def test_performers_without_sound_and_viewers_are_always_admitted(stage: Stage) -> None:
    stage.join(Guest("performer", sounding=True))
    stage.admit(Start("performer"))
    stage.admit(Start("viewer"))


def test_leaving_frees_the_role(stage: Stage) -> None:
    performer = Guest("performer", sounding=True)
    stage.join(performer)
    stage.leave(performer)
    stage.leave(performer)
    stage.admit(PLAYING)


def test_a_sound_card_of_the_servers_own_takes_the_stage(engine: FakeEngine, settings: Settings) -> None:
    with pytest.raises(ProtocolError, match="own sound card"):
        Stage(engine, replace(settings, own_sound=True)).admit(PLAYING)


def test_a_full_stage_says_so(engine: FakeEngine, settings: Settings) -> None:
    stage = Stage(engine, replace(settings, most_viewers=1))
    stage.join(Guest("performer"))
    assert stage.refusal("viewer") is None
    stage.join(Guest())
    full = stage.refusal("viewer")
    assert full is not None
    assert full.code == 1013


def test_a_full_stage_still_lets_a_performer_in(engine: FakeEngine, settings: Settings) -> None:
    stage = Stage(engine, replace(settings, most_viewers=0))
    assert stage.refusal("performer") is None


@pytest.mark.parametrize(
    ("expected", "shown", "opens"),
    [
        (None, None, True),
        (None, "anything", True),
        ("secret", "secret", True),
        ("secret", "Secret", False),
        ("secret", None, False),
        ("schlüssel", "schlüssel", True),
        ("secret", "\ud800", False),
    ],
)
def test_a_token_opens_the_stage_only_if_it_is_the_right_one(
    engine: FakeEngine, settings: Settings, expected: str | None, shown: str | None, opens: bool
) -> None:
    assert Stage(engine, replace(settings, token=expected)).authorize(shown) is opens


def test_sound_without_a_capture_time_ends_now(engine: FakeEngine, stage: Stage) -> None:
    last = stage.hear(sound(), 48_000)
    assert engine.heard[0][1:] == (48_000, pytest.approx(NOW - 0.01))
    assert last == pytest.approx(NOW - 1 / 48_000)


def test_sound_keeps_the_capture_time_it_came_with(engine: FakeEngine, stage: Stage) -> None:
    stage.hear(sound(captured_at=99 * US), 48_000)
    assert engine.heard[0][2] == pytest.approx(99.0)


def test_sound_cannot_be_captured_later_than_it_arrived(engine: FakeEngine, stage: Stage) -> None:
    stage.hear(sound(captured_at=round(100.5 * US)), 48_000)
    assert engine.heard[0][2] == pytest.approx(NOW - 0.01)


@pytest.mark.parametrize("captured_at", [1, 80 * US, 102 * US, 2**64 - 1])
def test_a_capture_time_that_cannot_be_true_is_refused(engine: FakeEngine, stage: Stage, captured_at: int) -> None:
    with pytest.raises(ProtocolError, match="learn the clock with ping, or send 0"):
        stage.hear(sound(captured_at), 48_000)
    assert engine.heard == []


def test_what_the_engine_will_not_hear_is_bad_sound(stage: Stage) -> None:
    with pytest.raises(ProtocolError, match="too loud for the fake") as caught:
        stage.hear(Sound(0, 0, np.full((4, 1), 60, np.float32)), 48_000)
    assert caught.value.code == "bad_sound"


async def test_new_parameters_are_told_to_everyone(stage: Stage) -> None:
    guests = [Guest(), Guest("performer")]
    for guest in guests:
        stage.join(guest)
    stage.set({"glide": 2.0})
    for guest in guests:
        told = await guest.outbox.next()
        assert isinstance(told, ParameterValues)
        assert told.values["glide"] == 2.0


def test_parameters_that_stay_the_same_are_not_told(stage: Stage) -> None:
    guest = Guest()
    stage.join(guest)
    stage.set({"glide": 0.35})
    assert guest.outbox._take() is None


def test_a_wrong_value_changes_nothing(engine: FakeEngine, stage: Stage) -> None:
    with pytest.raises(ParameterError):
        stage.set({"glide": 1.0, "steps": 99})
    assert engine.parameters.glide == 0.35


def acknowledged(stage: Stage, heard_until: float | None, shown_at: float) -> dict[str, float] | None:
    outbox = Outbox()
    outbox.in_flight.add(1, heard_until)
    stage.acknowledge(outbox, Acknowledge(1, round(shown_at * US)))
    return stage._status().latency


def test_an_acknowledgement_gives_the_time_from_heard_to_shown(stage: Stage) -> None:
    assert acknowledged(stage, 99.0, 99.25) == {"p50": 250.0, "p95": 250.0}


@pytest.mark.parametrize(
    ("heard_until", "shown_at"), [(None, 99.0), (99.0, 0), (99.0, 98.0), (99.0, 103.0), (20.0, 99.0)]
)
def test_an_acknowledgement_that_cannot_be_true_gives_none(
    stage: Stage, heard_until: float | None, shown_at: float
) -> None:
    assert acknowledged(stage, heard_until, shown_at) is None


def test_a_packed_frame_carries_its_times_and_stages(stage: Stage) -> None:
    frame = make_frame(2**32 + 5, heard_until=99.5)
    packed = stage.pack(frame, Picture(b"body", 0.004), PictureFormat("webp"))
    assert packed.sequence == 5
    assert packed.size == (6, 4)
    assert (packed.heard_until, packed.made_at, packed.sent_at) == (99_500_000, 100 * US, 100 * US)
    assert dict(zip(WIRE_STAGES, packed.stages, strict=True)) == dict.fromkeys(WIRE_STAGES, 1000) | {"compress": 4000}


def test_a_frame_that_heard_nothing_says_zero(stage: Stage) -> None:
    assert stage.pack(make_frame(), Picture(b"body", 0.0), PictureFormat()).heard_until == 0


def test_server_time_is_never_zero(stage: Stage) -> None:
    assert stage.server_time(0.0) == 1
    assert stage.server_time() == 100 * US


async def test_everyone_gets_a_status_with_what_is_heard(engine: FakeEngine, settings: Settings) -> None:
    async with Stage(engine, replace(settings, status_seconds=0.0)) as stage:
        guest = Guest()
        engine.emit(0, heard_until=99.0, heard=Heard("dog", 0.81234))
        engine.counted.dropped_seconds = 0.25
        stage.join(guest)
        items = [await guest.outbox.next() for _ in range(2)]
        status = next(item for item in items if isinstance(item, Status))
        assert status.viewers == 1
        assert status.dropped_seconds == 0.25


def test_a_status_tells_level_concept_and_rate(engine: FakeEngine, stage: Stage) -> None:
    assert stage._status() == Status(-120.0, None, 0.0, 0, 0.0, None)
    stage._arrived.put(make_frame(0, 99.0, Heard("dog", 0.81234)))
    stage._spread()
    engine.counted.frames = 15
    clock = engine.clock
    assert isinstance(clock, ManualClock)
    clock.set(NOW + 0.5)
    assert stage._status() == Status(-20.0, {"name": "dog", "similarity": 0.812}, 30.0, 0, 0.0, None)


def test_a_status_never_holds_what_json_cannot_say(stage: Stage) -> None:
    stage._last = replace(make_frame(0, 99.0, Heard("dog", float("nan"))), level=float("-inf"))
    status = stage._status()
    assert (status.level, status.heard) == (-120.0, None)


async def test_parameters_changed_behind_the_stages_back_are_told_with_the_next_status(
    engine: FakeEngine, settings: Settings
) -> None:
    async with Stage(engine, replace(settings, status_seconds=0.0)) as stage:
        guest = Guest()
        stage.join(guest)
        engine.set({"freeze": True})
        while not isinstance(told := await guest.outbox.next(), ParameterValues):
            continue
        assert told.values["freeze"] is True


async def test_a_dead_engine_is_told_and_ends_every_connection(engine: FakeEngine, settings: Settings) -> None:
    async with Stage(engine, replace(settings, status_seconds=0.0)) as stage:
        guest = Guest()
        stage.join(guest)
        engine.ready.set()
        assert stage.ready
        engine.failure = RuntimeError("no memory\nleft")
        assert not stage.ready
        while not isinstance(farewell := await guest.outbox.next(), Farewell):
            continue
        assert farewell.code == 1011
        event = farewell.messages[0]
        assert "RuntimeError: no memory left" in str(event)


async def test_the_farewell_waits_until_everyone_is_gone(stage: Stage) -> None:
    guest = Guest()
    stage.join(guest)
    leaving = asyncio.create_task(stage.farewell())
    farewell = await guest.outbox.next()
    assert isinstance(farewell, Farewell)
    assert farewell.code == 1012
    assert farewell.messages == (Bye("the server is shutting down"),)
    assert not leaving.done()
    stage.leave(guest)
    await leaving


async def test_the_farewell_to_nobody_is_short(stage: Stage) -> None:
    await stage.farewell()


def test_a_frame_is_timed_while_its_sound_is_new(engine: FakeEngine, stage: Stage) -> None:
    stage._arrived.put(engine.emit(1, heard_until=99.0))
    stage._spread()
    frame = make_frame(2, 99.0)
    assert stage.timed(frame) == 99.0
    assert stage.timed(replace(frame, time=frame.time + STALE)) is None


def test_newer_sound_makes_frames_count_again(engine: FakeEngine, stage: Stage) -> None:
    for sequence, heard_until in ((1, 99.0), (2, 99.5)):
        stage._arrived.put(replace(engine.emit(sequence, heard_until=heard_until), time=NOW + sequence))
        stage._spread()
    assert stage.timed(replace(make_frame(3, 99.5), time=NOW + 2.5)) == 99.5
