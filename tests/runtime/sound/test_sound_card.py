"""Sound cards: inputs are found by name or index, and a pulled cable is noticed and mended."""

import threading

import numpy as np
import pytest

from clavilux.runtime.errors import DeviceError
from clavilux.runtime.sound import sound_card as soundcard
from clavilux.runtime.sound.sound_card import Hear, Input, SoundCard, find_input

MICROPHONE = Input(index=0, name="Built-in Microphone", channels=1, rate=44_100, is_default=True)
INTERFACE = Input(index=3, name="Scarlett 2i2 USB", channels=2, rate=48_000, is_default=False)
SPARE = Input(index=4, name="Scarlett 2i2 USB (copy)", channels=2, rate=48_000, is_default=False)


class FakeStream:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class FakeBackend:
    """A sound library whose cables the test pulls."""

    def __init__(self, *inputs: Input) -> None:
        self.plugged = list(inputs)
        self.streams: list[FakeStream] = []
        self.opened = threading.Semaphore(0)
        self.searched = threading.Event()
        self.hear: Hear | None = None

    def inputs(self) -> list[Input]:
        self.searched.set()
        return list(self.plugged)

    def open(self, source: Input, hear: Hear) -> FakeStream:
        self.hear = hear
        self.streams.append(FakeStream())
        self.opened.release()
        return self.streams[-1]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the watcher's patience short; what it does stays the same."""
    monkeypatch.setattr(soundcard, "SILENT_SECONDS", 0.05)
    monkeypatch.setattr(soundcard, "RETRY_SECONDS", (0.01,))


def silence(_block: np.ndarray, _rate: int, _captured_at: float) -> None:
    """Take sound and do nothing with it."""


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("0", MICROPHONE), ("3", INTERFACE), ("built-in", MICROPHONE), ("SCARLETT 2i2 usb", INTERFACE), ("copy", SPARE)],
)
def test_an_input_is_found_by_index_or_name(wanted: str, found: Input) -> None:
    assert find_input([MICROPHONE, INTERFACE, SPARE], wanted) == found


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ("theremin", "no input match 'theremin'; expected one of: 0 Built-in Microphone; 3 Scarlett"),
        ("7", "no input match '7'"),
        ("scarlett", "2 inputs match 'scarlett'"),
    ],
)
def test_an_input_that_is_not_there_or_not_clear_is_named_with_those_that_are(wanted: str, complaint: str) -> None:
    with pytest.raises(DeviceError, match=complaint):
        find_input([MICROPHONE, INTERFACE, SPARE], wanted)


def test_a_machine_without_inputs_says_so() -> None:
    with pytest.raises(DeviceError, match="expected one of: none"):
        find_input([], "0")


def test_starting_opens_the_input_and_says_which() -> None:
    backend = FakeBackend(MICROPHONE, INTERFACE)
    card = SoundCard(backend, "usb", silence)
    assert card.start() == INTERFACE
    card.stop()
    assert backend.streams[-1].closed


def test_starting_without_the_input_is_an_error() -> None:
    card = SoundCard(FakeBackend(MICROPHONE), "usb", silence)
    with pytest.raises(DeviceError, match="no input match 'usb'"):
        card.start()
    card.stop()


def test_blocks_reach_the_listener_with_rate_and_time() -> None:
    taken: list[tuple[int, int, float]] = []
    backend = FakeBackend(INTERFACE)
    card = SoundCard(backend, "3", lambda block, rate, when: taken.append((len(block), rate, when)))
    card.start()
    assert backend.hear is not None
    backend.hear(np.zeros((960, 2), np.float32), 48_000, 1.5)
    card.stop()
    assert taken == [(960, 48_000, 1.5)]


def test_a_silent_stream_is_closed_and_opened_again() -> None:
    backend = FakeBackend(INTERFACE)
    card = SoundCard(backend, "3", silence)
    card.start()
    assert backend.opened.acquire(timeout=10)
    assert backend.opened.acquire(timeout=10)
    card.stop()
    assert backend.streams[0].closed
    assert card.losses >= 1


def test_a_pulled_cable_is_waited_for() -> None:
    backend = FakeBackend(INTERFACE)
    card = SoundCard(backend, "usb", silence)
    card.start()
    assert backend.opened.acquire(timeout=10)
    backend.plugged.clear()
    backend.searched.clear()
    assert backend.searched.wait(10)
    assert not backend.opened.acquire(blocking=False)
    backend.plugged.append(INTERFACE)
    assert backend.opened.acquire(timeout=10)
    card.stop()


def test_stopping_ends_the_search_for_a_lost_input() -> None:
    backend = FakeBackend(INTERFACE)
    card = SoundCard(backend, "usb", silence)
    card.start()
    backend.plugged.clear()
    while not card.losses:
        threading.Event().wait(0.001)
    card.stop()
    assert not card._watcher.is_alive()
    assert all(stream.closed for stream in backend.streams)
