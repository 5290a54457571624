"""The stage: one who sounds, many who watch, and one engine for all of them."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from clavilux.runtime.errors import ParameterError, ProtocolError
from clavilux.runtime.frame import Frame, Heard, Listening, SourceState
from clavilux.runtime.pulse import Pulse
from clavilux.server.protocol.binary import Sound
from clavilux.server.protocol.messages import Bye, ErrorEvent, ParameterValues, SoundFormat, Start, Status
from clavilux.server.settings import Settings, Token
from clavilux.server.stage.admission import Admission
from clavilux.server.stage.outbox import Farewell, Outbox, Readings
from clavilux.server.stage.stage import TELLINGS, Stage
from clavilux.server.stage.visitor import Visitor
from tests.server.fakes import NOW, FakeEngine, Guest, make_frame

pytestmark = pytest.mark.anyio

PLAYING = Start("performer", SoundFormat("float32", 48_000))


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
    one, other = Guest(), Guest("performer")
    async with stage:
        for change, guest in ((stage.join, one), (stage.join, other), (stage.leave, one), (stage.leave, other)):
            change(guest)
    assert engine.watched == [0, 1, 2, 1, 0]


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


def test_leaving_frees_the_role(stage: Stage) -> None:
    performer = Guest("performer", sounding=True)
    stage.join(performer)
    stage.leave(performer)
    stage.leave(performer)
    assert stage.admission.admit(PLAYING, Visitor(), None, NOW) == []


def test_sound_without_a_capture_time_ends_now(engine: FakeEngine, stage: Stage) -> None:
    last = stage.hear(sound(), 48_000)
    assert engine.heard[0][1:] == (48_000, pytest.approx(NOW - 0.01))
    assert last == pytest.approx(NOW - 1 / 48_000)


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


async def test_parameters_that_change_all_the_time_are_told_now_and_then_and_the_last_ones_with_the_next_status(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    last = asyncio.Event()

    def note(_: Outbox, values: Mapping[str, Any]) -> None:
        told.append(values["glide"])
        if len(told) > TELLINGS:
            last.set()

    monkeypatch.setattr(Outbox, "parameters", note)
    async with Stage(engine, replace(settings, status_seconds=0.0)) as stage:
        stage.join(Guest())
        for k in range(10 * TELLINGS):
            stage.set({"glide": k / 100})
        assert told == [k / 100 for k in range(TELLINGS)]
        await last.wait()
        assert told[TELLINGS:] == [(10 * TELLINGS - 1) / 100]


def test_what_changes_nothing_uses_nothing_up(stage: Stage) -> None:
    guest = Guest()
    stage.join(guest)
    for _ in range(2 * TELLINGS):
        stage.set({"glide": 0.35})
    stage.set({"glide": 2.0})
    assert isinstance(guest.outbox._take(), ParameterValues)


def test_a_wrong_value_changes_nothing(engine: FakeEngine, stage: Stage) -> None:
    with pytest.raises(ParameterError):
        stage.set({"glide": 1.0, "steps": 99})
    assert engine.parameters.glide == 0.35


async def test_everyone_gets_a_status_with_what_is_heard(engine: FakeEngine, settings: Settings) -> None:
    engine.counted.dropped_seconds = 0.25
    async with Stage(engine, replace(settings, status_seconds=0.0)) as stage:
        guests = [Guest(), Guest("performer")]
        for guest in guests:
            stage.join(guest)
        engine.emit(0, heard_until=99.0, heard=Heard("dog", 0.81234))
        for guest in guests:
            while not (isinstance(status := await guest.outbox.next(), Status) and status.heard):
                continue
            assert status.heard == {"name": "dog", "similarity": 0.812}
            assert (status.viewers, status.dropped_seconds) == (1, 0.25)


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
        assert isinstance(event, ErrorEvent)
        assert event.message == "the engine has failed; the server's log says why"  # nothing of the error


async def test_an_engine_that_begins_again_is_told_and_nobody_is_sent_away(
    engine: FakeEngine, settings: Settings
) -> None:
    engine.ready.set()
    async with Stage(engine, replace(settings, status_seconds=0.0)) as stage:
        guest = Guest()
        stage.join(guest)
        told = []
        for restarting in (False, True, False):
            engine.restarting = restarting
            await guest.outbox.next()  # the one that may have waited
            status = await guest.outbox.next()
            assert isinstance(status, Status)
            told.append(status.engine)
    assert told == ["playing", "restarting", "playing"]


async def test_who_says_nothing_is_sent_away_when_its_token_expires(engine: FakeEngine, settings: Settings) -> None:
    end = datetime(9000, 1, 1, tzinfo=UTC)
    now = [end - timedelta(seconds=1)]
    lasting, expiring = Token("one" * 6), Token("two" * 6, expires=end)
    stage = Stage(engine, replace(settings, tokens=(lasting, expiring), status_seconds=0.0))
    stage.admission = Admission(engine, stage.settings, stage.members, lambda: now[0])
    async with stage:
        guests = Guest(), Guest()
        for guest, token in zip(guests, (lasting, expiring), strict=True):
            guest.token = token
            stage.join(guest)
        for guest in guests:
            assert isinstance(await guest.outbox.next(), Status)
        now[0] = end
        while not isinstance(farewell := await guests[1].outbox.next(), Farewell):
            continue
        assert (farewell.code, farewell.reason) == (1008, "unauthorized")
        assert guests[0].outbox.farewell is None


async def test_an_engine_that_does_not_end_keeps_nobody_waiting(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hanging = threading.Event()
    monkeypatch.setattr(engine, "stop", hanging.wait)
    monkeypatch.setattr("clavilux.server.stage.stage.STOP_SECONDS", 0.01)
    async with Stage(engine, settings):
        pass
    hanging.set()
    assert "does not end within 0.01 s; it is left alone" in caplog.text


async def test_the_event_loops_lag_is_measured(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clavilux.server.stage.stage.LAG_SECONDS", 0.001)
    measured = asyncio.Event()
    async with Stage(engine, settings) as stage:
        monkeypatch.setattr(stage.metrics.loop_lag, "observe", lambda lag: measured.set() if lag >= 0 else None)
        await measured.wait()


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


async def test_readings_reach_those_who_want_them_together_and_in_order(engine: FakeEngine, stage: Stage) -> None:
    wanting, other = Guest(feeling=True), Guest()
    async with stage:
        stage.join(wanting)
        stage.join(other)
        for first in (Pulse(index=0), Pulse(index=1)):
            threading.Thread(target=engine.beat, args=(first,)).start()
        item = await wanting.outbox.next()
        assert isinstance(item, Readings)
        assert sorted(pulse.index for pulse in item.pulses) == [0, 1]
        assert item.captured_at == NOW
        engine.emit(9)
        assert isinstance(await other.outbox.next(), Frame)


async def test_the_pulse_is_taken_only_while_somebody_wants_it(engine: FakeEngine, stage: Stage) -> None:
    one, other = Guest(feeling=True), Guest(feeling=True)
    felt = []
    async with stage:
        for change, guest in ((stage.join, Guest()), (stage.join, one), (stage.join, other), (stage.leave, one)):
            change(guest)
            felt.append(engine.felt)
        stage.leave(other)
        felt.append(engine.felt)
        stage.join(one)
    assert felt == [0, 1, 1, 1, 0]
    assert engine.felt == 0


@pytest.mark.parametrize(
    ("at", "taken"), [(0, NOW), (99_500_000, 99.5), (94_000_000, NOW), (101_000_000, NOW), (2**63 - 1, NOW)]
)
async def test_a_tap_is_taken_when_it_was_or_now(engine: FakeEngine, stage: Stage, at: int, taken: float) -> None:
    stage.tap(at)
    assert engine.taps == [taken]


async def test_the_engine_learns_how_far_to_look_ahead(engine: FakeEngine, settings: Settings) -> None:
    stage = Stage(engine, replace(settings, status_seconds=0.01))
    guest = Guest()
    async with stage:
        stage.join(guest)
        engine.emit(1, heard_until=NOW - 0.1)  # its sound is 0.1 s old when it is begun
        assert isinstance(await guest.outbox.next(), Frame | Status)
        stage.health.acknowledged(NOW - 0.1, round((NOW + 0.15) * 1e6))  # and is seen a quarter of a second later
        for _ in range(2):  # the one that was being made, and the next
            await guest.outbox.next()
    assert engine.ahead == pytest.approx(0.15)


@dataclass
class Card:
    """A sound card that is there, or not."""

    is_lost: bool


@pytest.mark.parametrize(
    ("sounding", "card", "told"),
    [
        (False, None, SourceState.NONE),
        (True, None, SourceState.QUIET),
        (False, Card(is_lost=False), SourceState.QUIET),
        (False, Card(is_lost=True), SourceState.LOST),
    ],
)
async def test_the_status_says_what_the_source_does(
    engine: FakeEngine, settings: Settings, sounding: bool, card: Card | None, told: SourceState
) -> None:
    guest = Guest(sounding=sounding)
    stage = Stage(engine, replace(settings, status_seconds=0.01, own_sound=card is not None), card)
    async with stage:
        stage.join(guest)
        if sounding:
            stage.hear(sound(), 48_000)
        engine.give(replace(make_frame(), listening=Listening(SourceState.QUIET)))
        while not isinstance(status := await guest.outbox.next(), Status) or status.source == SourceState.NONE != told:
            pass
    assert status.source == told


async def test_a_performer_whose_sound_has_not_come_yet_is_not_told_as_stalled(
    engine: FakeEngine, settings: Settings
) -> None:
    guest = Guest(sounding=True)
    stage = Stage(engine, replace(settings, status_seconds=0.01))
    told: list[tuple[str, bool]] = []

    async def look() -> None:
        engine.give(replace(make_frame(), listening=Listening(SourceState.STALLED)))
        for _ in range(5):
            if isinstance(message := await guest.outbox.next(), Status):
                told.append((message.source, message.sounding))

    async with stage:
        stage.join(guest)
        await look()
        assert set(told) == {("none", True)}
        stage.hear(sound(), 48_000)
        await look()
    assert told[-1] == ("stalled", True)


async def test_the_status_says_whether_anybody_sounds(engine: FakeEngine, settings: Settings) -> None:
    for member, own, sounding in ((Guest(), False, False), (Guest(sounding=True), False, True), (Guest(), True, True)):
        stage = Stage(engine, replace(settings, status_seconds=0.01, own_sound=own))
        async with stage:
            stage.join(member)
            status = await member.outbox.next()
        assert isinstance(status, Status)
        assert status.sounding is sounding
