"""Sound cards: an input is opened with the channels that are heard, and a pulled cable is noticed and mended."""

import logging
import threading
from dataclasses import replace

import numpy as np
import pytest

from clavilux.runtime.clock import ManualClock
from clavilux.runtime.errors import DeviceError, SoundError
from clavilux.runtime.hearing.listener import STALLED
from clavilux.runtime.sound import sound_card as soundcard
from clavilux.runtime.sound.inputs import Input
from clavilux.runtime.sound.sound_card import Hear, SoundCard
from tests.waiting import until

DEADLINE = 10.0  # s
PATIENCE = soundcard.LOOPBACK_SECONDS  # as it is, before tests make it short
NOW = 50.0  # s
TICK = 0.1  # s
MICROPHONE = Input("Built-in Microphone", channels=1, rate=44_100, is_default=True, api="Core Audio")
INTERFACE = Input("Scarlett 18i20 USB", channels=18, rate=48_000, is_default=False, api="Core Audio")
WEBCAM = Input("A Webcam", channels=1, rate=16_000, is_default=False, api="Core Audio")
SPEAKERS = Input("Speakers", channels=2, rate=48_000, is_default=False, api="WASAPI", is_loopback=True)


class FakeStream:
    def __init__(self) -> None:
        self.closed = False
        self.overflows = 0
        self.active = True

    def close(self) -> None:
        self.closed = True


class FakeBackend:
    """A sound library whose cables the test pulls."""

    def __init__(self, *inputs: Input) -> None:
        self.plugged = list(inputs)
        self.streams: list[FakeStream] = []
        self.opened = threading.Semaphore(0)
        self.searched = threading.Semaphore(0)
        self.last: tuple[Input, int, Hear] | None = None

    def inputs(self) -> list[Input]:
        self.searched.release()
        return list(self.plugged)

    def open(self, source: Input, channels: int, hear: Hear) -> FakeStream:
        self.last = source, channels, hear
        self.streams.append(FakeStream())
        self.opened.release()
        return self.streams[-1]


def unplug(backend: FakeBackend, *left: Input) -> int:
    """Let `left` be what is plugged in; return how often an input was opened, once what was under way is done."""
    backend.plugged = list(left)
    while backend.searched.acquire(blocking=False):
        pass
    assert backend.searched.acquire(timeout=10)
    while backend.opened.acquire(blocking=False):
        pass
    return len(backend.streams)


class TickingClock(ManualClock):
    """A clock that goes on by a tenth of a second each time that someone looks at it."""

    def now(self) -> float:
        now = super().now()
        self.set(now + TICK)
        return now


class Ear:
    """Takes sound, and says when there was some."""

    def __init__(self) -> None:
        self.taken: list[tuple[np.ndarray, int, float]] = []
        self.heard = threading.Event()

    def __call__(self, block: np.ndarray, rate: int, captured_at: float) -> None:
        self.taken.append((block, rate, captured_at))
        self.heard.set()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the watcher's patience short; what it does stays the same."""
    monkeypatch.setattr(soundcard, "SILENT_SECONDS", 0.05)
    monkeypatch.setattr(soundcard, "START_SECONDS", 0.05)
    monkeypatch.setattr(soundcard, "LOOPBACK_SECONDS", 0.05)
    monkeypatch.setattr(soundcard, "RETRY_SECONDS", (0.01,))


def card_of(backend: FakeBackend, wanted: str, ear: Ear | None = None) -> SoundCard:
    return SoundCard(backend, wanted, ear or Ear(), ManualClock(NOW))


def test_starting_opens_the_input_and_says_which() -> None:
    backend = FakeBackend(MICROPHONE, INTERFACE)
    card = card_of(backend, "usb")
    assert card.start().source.words == "Core Audio/Scarlett 18i20 USB"
    card.stop()
    assert backend.streams[-1].closed


def test_starting_without_the_input_is_an_error() -> None:
    card = card_of(FakeBackend(MICROPHONE), "usb")
    with pytest.raises(DeviceError, match="no input is called 'usb'"):
        card.start()
    card.stop()


@pytest.mark.parametrize(
    ("wanted", "opened", "columns"), [("usb", 18, range(18)), ("usb:3", 3, [2]), ("1:4+1", 4, [3, 0])]
)
def test_the_channels_that_are_asked_for_reach_the_listener(wanted: str, opened: int, columns: list[int]) -> None:
    ear, backend = Ear(), FakeBackend(MICROPHONE, INTERFACE)
    card = card_of(backend, wanted, ear)
    card.start()
    assert backend.last is not None
    assert backend.last[1] == opened
    block = np.arange(960 * opened, dtype=np.float32).reshape(960, opened)
    backend.last[2](block, 48_000, 1.5)
    card.stop()
    ((found, rate, when),) = ear.taken
    np.testing.assert_array_equal(found, block[:, list(columns)])
    assert (rate, when) == (48_000, 1.5)


def test_a_silent_stream_is_closed_and_opened_again() -> None:
    backend = FakeBackend(MICROPHONE, INTERFACE)
    card = card_of(backend, "1")
    card.start()
    assert backend.opened.acquire(timeout=10)
    assert backend.opened.acquire(timeout=10)
    card.stop()
    assert backend.streams[0].closed
    assert card.losses >= 1


def test_a_pulled_cable_is_waited_for() -> None:
    backend = FakeBackend(INTERFACE)
    card = card_of(backend, "usb")
    card.start()
    assert backend.opened.acquire(timeout=10)
    count = unplug(backend)
    assert all(backend.searched.acquire(timeout=10) for _ in range(5))
    assert len(backend.streams) == count
    backend.plugged.append(INTERFACE)
    assert backend.opened.acquire(timeout=10)
    card.stop()


def test_an_input_that_has_not_sounded_yet_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundcard, "START_SECONDS", 60.0)
    card = card_of(FakeBackend(INTERFACE), "usb")
    card.start()
    assert not card.is_lost
    card.stop()


def test_an_input_that_is_back_is_lost_until_it_sounds(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeBackend(INTERFACE)
    card = card_of(backend, "usb")
    card.start()
    unplug(backend)
    assert card.is_lost
    monkeypatch.setattr(soundcard, "SILENT_SECONDS", 60.0)  # nothing more is lost from here on
    monkeypatch.setattr(soundcard, "START_SECONDS", 60.0)
    backend.plugged.append(INTERFACE)
    assert backend.opened.acquire(timeout=10)
    assert card.is_lost
    assert backend.last is not None
    until(lambda: card._stream is not None, "the input")
    assert card.is_lost
    backend.last[2](np.zeros((960, 18), np.float32), 48_000, NOW)
    assert not card.is_lost
    card.stop()


def test_another_input_at_the_old_index_is_not_taken_for_the_lost_one() -> None:
    backend = FakeBackend(MICROPHONE, INTERFACE)
    card = card_of(backend, "1:3")
    assert card.start().source.words == "Core Audio/Scarlett 18i20 USB"
    assert backend.opened.acquire(timeout=10)
    count = unplug(backend, MICROPHONE, WEBCAM)
    assert all(backend.searched.acquire(timeout=10) for _ in range(8))
    assert len(backend.streams) == count
    backend.plugged = [WEBCAM, replace(INTERFACE, device=7), MICROPHONE]
    assert backend.opened.acquire(timeout=10)
    card.stop()
    assert backend.last is not None
    assert (backend.last[0].words, backend.last[0].device, backend.last[1]) == ("Core Audio/Scarlett 18i20 USB", 7, 3)


def test_an_input_that_comes_back_with_fewer_channels_is_not_opened() -> None:
    backend = FakeBackend(INTERFACE)
    card = card_of(backend, "usb:3")
    card.start()
    assert backend.opened.acquire(timeout=10)
    count = unplug(backend, replace(INTERFACE, channels=2))
    assert all(backend.searched.acquire(timeout=10) for _ in range(8))
    assert len(backend.streams) == count
    card.stop()


def test_a_quiet_loopback_gives_as_much_silence_as_passes_from_its_opening() -> None:
    ear, backend = Ear(), FakeBackend(SPEAKERS)
    card = SoundCard(backend, "speakers", ear, TickingClock(NOW))
    card.start()
    until(lambda: len(ear.taken) >= 3, "silence")
    card.stop()
    for place, (block, rate, when) in enumerate(ear.taken):
        assert (block.shape, rate) == ((4800, 2), 48_000)
        assert not block.any()
        assert when == pytest.approx(NOW + place * TICK)
    assert (card.losses, len(backend.streams)) == (0, 1)


def test_the_silence_of_a_loopback_begins_where_its_sound_ended() -> None:
    ear, backend, clock = Ear(), FakeBackend(SPEAKERS), ManualClock(NOW)
    card = SoundCard(backend, "speakers", ear, clock)
    card.start()
    assert backend.last is not None
    backend.last[2](np.ones((960, 2), np.float32), 48_000, NOW + 1)
    clock.set(NOW + 1.25)
    until(lambda: len(ear.taken) == 2, "silence")
    card.stop()
    block, _rate, when = ear.taken[1]
    assert (len(block), when) == (11_040, pytest.approx(NOW + 1.02))


def test_a_machine_that_slept_does_not_hear_its_whole_sleep() -> None:
    ear, backend, clock = Ear(), FakeBackend(SPEAKERS), ManualClock(NOW)
    card = SoundCard(backend, "speakers", ear, clock)
    card.start()
    clock.set(NOW + 10_000)
    assert ear.heard.wait(DEADLINE)
    card.stop()
    block, _rate, when = ear.taken[0]
    assert (len(block), when) == (48_000, NOW + 9_999)


def test_a_quiet_loopback_speaks_before_the_listener_takes_it_for_stalled() -> None:
    assert PATIENCE + 2 * soundcard.BLOCK_SECONDS < STALLED / 2  # twice, for a machine that is busy


def test_a_loopback_that_its_library_has_closed_is_lost() -> None:
    backend = FakeBackend(SPEAKERS)
    card = card_of(backend, "speakers")
    card.start()
    assert backend.opened.acquire(timeout=10)
    backend.streams[0].active = False
    assert backend.opened.acquire(timeout=10)
    card.stop()
    assert card.losses >= 1


def test_blocks_that_are_no_sound_are_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_block: np.ndarray, _rate: int, _captured_at: float) -> None:
        raise SoundError("the sound holds values that are not finite; expected -1 to 1")

    backend = FakeBackend(INTERFACE)
    card = SoundCard(backend, "usb", refuse, ManualClock(NOW))
    card.start()
    assert backend.last is not None
    for _ in range(3):
        backend.last[2](np.full((960, 18), np.nan, np.float32), 48_000, 1.5)
    card.stop()
    assert card.refused == 3
    told = [record.getMessage() for record in caplog.records if "not finite" in record.getMessage()]
    assert told == ["input Core Audio/Scarlett 18i20 USB: the sound holds values that are not finite; expected -1 to 1"]


def test_sound_that_the_library_lost_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    backend = FakeBackend(SPEAKERS)
    ear = Ear()
    card = SoundCard(backend, "speakers", ear, TickingClock(NOW))
    with caplog.at_level(logging.WARNING):
        card.start()
        backend.streams[0].overflows = 3
        assert card.overflows == 3
        for _ in range(3):
            ear.heard.clear()
            assert ear.heard.wait(10)
        card.stop()
    assert card.overflows == 3
    assert [record.getMessage() for record in caplog.records] == [
        "input WASAPI/Speakers: sound was lost, for this machine is too busy to take it all"
    ]


def test_overflows_can_be_counted_while_their_stream_is_closed() -> None:
    """Let somebody look at the count in the middle of it."""
    backend = FakeBackend(INTERFACE)
    card = card_of(backend, "usb")
    card.start()
    stream, counted = backend.streams[0], threading.Event()
    stream.overflows = 3

    def close() -> None:
        assert card.overflows == 3
        stream.overflows = 4  # as it counts to the end
        assert card.overflows == 4
        counted.set()

    stream.close = close  # type: ignore[method-assign]
    assert counted.wait(DEADLINE)
    card.stop()
    assert card.overflows == 4


def test_a_stream_that_goes_away_between_two_looks_is_no_error() -> None:
    class Fleeting(SoundCard):
        """A card whose stream is there at the first look alone."""

        looks = 0

        def __getattribute__(self, name: str) -> object:
            if name == "_stream":
                Fleeting.looks += 1
                return FakeStream() if Fleeting.looks == 1 else None
            return super().__getattribute__(name)

    assert Fleeting(FakeBackend(INTERFACE), "usb", Ear(), ManualClock(NOW)).overflows == 0
    assert Fleeting.looks == 1


def test_stopping_ends_the_search_for_a_lost_input() -> None:
    backend = FakeBackend(INTERFACE)
    card = card_of(backend, "usb")
    card.start()
    backend.plugged.clear()
    until(lambda: card.losses, "the loss")
    card.stop()
    assert not card._watcher.is_alive()
    assert all(stream.closed for stream in backend.streams)
