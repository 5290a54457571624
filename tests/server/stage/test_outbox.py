"""The outbox of a connection: each part bounded, each with its policy."""

import asyncio

import pytest
from msgspec.structs import replace

from clavilux.runtime.errors import ProtocolError
from clavilux.runtime.frame import Frame
from clavilux.runtime.pulse import Pulse
from clavilux.server.protocol.binary import PackedFrame
from clavilux.server.protocol.messages import Bye, ParameterValues, Pong, Status
from clavilux.server.stage.outbox import MARKERS, READINGS, REPLIES, Farewell, Outbox, PendingMarker, Readings
from tests.server.fakes import make_frame

pytestmark = pytest.mark.anyio

QUIET = Status(level=-120.0, frame_rate=0.0, viewers=0, dropped_seconds=0.0)


def packed(frame: Frame) -> PackedFrame:
    return PackedFrame(frame.sequence, "rgb", (6, 4), 77, 0, 0, (), b"x")


async def test_replies_go_before_everything_else_and_in_order() -> None:
    outbox = Outbox()
    outbox.frame(make_frame())
    outbox.status(QUIET)
    outbox.parameters({"glide": 1.0})
    await outbox.reply(Bye("a"))
    await outbox.reply(Bye("b"))
    items = [await outbox.next() for _ in range(5)]
    assert items[:4] == [Bye("a"), Bye("b"), ParameterValues({"glide": 1.0}), QUIET]
    assert isinstance(items[4], Frame)


async def test_of_parameters_statuses_and_frames_only_the_newest_waits() -> None:
    outbox = Outbox()
    for number in range(5):
        outbox.parameters({"glide": number})
        outbox.frame(make_frame(number))
        outbox.status(replace(QUIET, level=-float(number)))
    first, second, third = [await outbox.next() for _ in range(3)]
    assert first == ParameterValues({"glide": 4})
    assert isinstance(second, Status)
    assert second.level == -4.0
    assert isinstance(third, Frame)
    assert third.sequence == 4
    assert outbox.skipped == 4


async def test_a_full_queue_of_replies_makes_the_asker_wait_until_one_is_sent() -> None:
    outbox = Outbox()
    for number in range(REPLIES):
        await outbox.reply(Pong(number, 1))
    asker = asyncio.create_task(outbox.reply(Pong(99, 1)))
    await asyncio.sleep(0)
    assert not asker.done()
    await outbox.next()
    await asker


async def test_a_farewell_releases_whoever_waits_to_reply() -> None:
    outbox = Outbox()
    for number in range(REPLIES):
        await outbox.reply(Pong(number, 1))
    asker = asyncio.create_task(outbox.reply(Pong(99, 1)))
    await asyncio.sleep(0)
    outbox.finish(Farewell(1000, "over"))
    await asker


async def test_a_frame_waits_while_two_are_in_flight() -> None:
    outbox = Outbox()
    outbox.in_flight.add(1, None)
    outbox.in_flight.add(2, 5.0)
    outbox.frame(make_frame(3))
    getter = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    assert not getter.done()
    assert outbox.acknowledge(2) == 5.0
    frame = await getter
    assert isinstance(frame, Frame)
    assert frame.sequence == 3


async def test_a_farewell_comes_after_the_replies_and_instead_of_frames() -> None:
    outbox = Outbox()
    await outbox.reply(Bye("a"))
    outbox.frame(make_frame())
    outbox.finish(Farewell(1000, "over"))
    assert await outbox.next() == Bye("a")
    assert await outbox.next() == Farewell(1000, "over")


async def test_only_the_first_farewell_counts() -> None:
    outbox = Outbox()
    outbox.finish(Farewell(1011, "engine failed"))
    outbox.finish(Farewell(1012, "shutting down"))
    assert await outbox.next() == Farewell(1011, "engine failed")


def test_a_marker_is_reached_by_the_first_frame_that_heard_everything_before_it() -> None:
    outbox = Outbox()
    outbox.marker(PendingMarker("a", 5.0))
    outbox.marker(PendingMarker("b", 6.0))
    for frame in (make_frame(1), make_frame(2, heard_until=4.9)):
        assert outbox.sent(frame, packed(frame)) == []
    frame = make_frame(3, heard_until=5.0)
    reached = outbox.sent(frame, packed(frame))
    assert [(marker.id, marker.sequence, marker.heard_until) for marker in reached] == [("a", 3, 77)]


def test_a_marker_without_sound_before_it_is_reached_at_once() -> None:
    outbox = Outbox()
    outbox.marker(PendingMarker("a", None))
    assert [marker.id for marker in outbox.sent(make_frame(), packed(make_frame()))] == ["a"]


def test_more_markers_than_fit_are_refused() -> None:
    outbox = Outbox()
    for number in range(MARKERS):
        outbox.marker(PendingMarker(str(number), 5.0))
    with pytest.raises(ProtocolError, match="64 markers wait already"):
        outbox.marker(PendingMarker("one more", 5.0))


async def test_readings_wait_together_and_the_oldest_go() -> None:
    outbox = Outbox()
    for index in range(READINGS + 5):
        outbox.pulses([(Pulse(index=index), index / 100)])
    item = await outbox.next()
    assert isinstance(item, Readings)
    assert [pulse.index for pulse in item.pulses] == list(range(5, READINGS + 5))
    assert item.captured_at == 0.05
    outbox.frame(make_frame(3))
    outbox.pulses([(Pulse(index=99), 0.99)])
    assert isinstance(await outbox.next(), Readings)  # before the frame, which is larger
