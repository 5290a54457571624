"""The pulse feed: readings at once for whoever listens, the same as those of the whole sound."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from clavilux.runtime.clock import ManualClock
from clavilux.runtime.hearing.pulse.tracker import PulseTracker
from clavilux.runtime.playing.pulse_feed import PulseFeed
from clavilux.runtime.pulse import PULSE_STEP, Pulse
from clavilux.runtime.queues import Chunk
from clavilux.runtime.sound.format import SAMPLE_RATE
from tests.runtime.sound.sounds import noise

DEADLINE = 30.0  # s


class Listener:
    """Keeps what a feed tells, and can wait for so much of it."""

    def __init__(self) -> None:
        self.pulses: list[Pulse] = []
        self.times: list[float] = []
        self._came = threading.Condition()

    def __call__(self, pulses: Sequence[Pulse], captured_at: float) -> None:
        with self._came:
            self.pulses += pulses
            self.times.append(captured_at)
            self._came.notify_all()

    def wait_for(self, count: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: len(self.pulses) >= count, DEADLINE)


def chunks(sound: np.ndarray, size: int) -> list[Chunk]:
    """Return the sound in pieces that begin at 5 s."""
    starts = range(0, len(sound), size)
    return [Chunk(sound[start : start + size], SAMPLE_RATE, 5.0 + start / SAMPLE_RATE) for start in starts]


def test_readings_are_those_of_the_whole_sound_with_their_times() -> None:
    feed, listener = PulseFeed(), Listener()
    feed.subscribe(listener)
    sound = noise(SAMPLE_RATE, channels=1)
    for chunk in chunks(sound, 400):
        feed.put(chunk)
    listener.wait_for(100)
    feed.stop()
    assert listener.pulses == PulseTracker().push(sound[:, 0])
    assert listener.times[0] == pytest.approx(5.0 + PULSE_STEP / SAMPLE_RATE)


def test_of_a_chunk_longer_than_the_queue_the_end_is_read() -> None:
    feed, listener = PulseFeed(), Listener()
    feed.subscribe(listener)
    feed.put(Chunk(noise(5 * SAMPLE_RATE, channels=1), SAMPLE_RATE, 0.0))
    listener.wait_for(200)
    feed.stop()
    assert [pulse.index for pulse in listener.pulses] == list(range(200))
    assert listener.times[0] == pytest.approx(3.0 + PULSE_STEP / SAMPLE_RATE)


def test_a_few_samples_wake_nobody() -> None:
    feed = PulseFeed()
    feed.subscribe(Listener())
    feed.stop()  # so that nobody else clears what wakes it
    feed._wake.clear()
    for chunk in chunks(noise(SAMPLE_RATE // 400, channels=1), 1)[:-1]:
        feed.put(chunk)
    assert not feed._wake.is_set()
    feed.put(Chunk(noise(1, channels=1), SAMPLE_RATE, 5.0))
    assert feed._wake.is_set()


def test_where_nobody_listens_nothing_is_kept() -> None:
    feed = PulseFeed()
    feed.put(Chunk(noise(SAMPLE_RATE, channels=1), SAMPLE_RATE, 0.0))
    listener = Listener()
    leave = feed.subscribe(listener)
    feed.put(Chunk(noise(SAMPLE_RATE // 10, channels=1), SAMPLE_RATE, 9.0))
    listener.wait_for(10)
    leave()
    feed.put(Chunk(noise(SAMPLE_RATE, channels=1), SAMPLE_RATE, 10.0))
    feed.stop()
    assert len(listener.pulses) == 10


def test_a_tap_reaches_the_tracker_at_its_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    tapped: list[int] = []
    monkeypatch.setattr(PulseTracker, "tap", lambda _tracker, index: tapped.append(index))
    feed, listener = PulseFeed(), Listener()
    feed.subscribe(listener)
    feed.tap(5.25)
    for chunk in chunks(noise(SAMPLE_RATE // 2, channels=1), 1600):
        feed.put(chunk)
    listener.wait_for(50)
    feed.stop()
    assert tapped == [24]


def test_taps_from_before_the_sound_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    tapped: list[int] = []
    monkeypatch.setattr(PulseTracker, "tap", lambda _tracker, index: tapped.append(index))
    feed, listener = PulseFeed(), Listener()
    feed.subscribe(listener)
    for at in (-60.0, -0.5, 5.25):
        feed.tap(at)
    for chunk in chunks(noise(SAMPLE_RATE // 2, channels=1), 1600):
        feed.put(chunk)
    listener.wait_for(50)
    feed.stop()
    assert tapped == [24]


def test_a_feed_that_nobody_asked_ends_without_a_thread() -> None:
    before = threading.active_count()
    PulseFeed().stop()
    assert threading.active_count() == before


def test_a_gap_is_silence_after_which_nothing_is_known_of_the_beat() -> None:
    clock, listener = ManualClock(), Listener()
    feed = PulseFeed(clock)
    feed.subscribe(listener)
    beat = np.zeros((10 * SAMPLE_RATE, 1), np.float32)
    beat[:: SAMPLE_RATE // 2] = 0.9
    beat[1 :: SAMPLE_RATE // 2] = -0.9
    for chunk in chunks(beat, SAMPLE_RATE):
        clock.set(chunk.captured_at)
        feed.put(chunk)
        listener.wait_for(round((chunk.captured_at - 4.0) * 100) - 1)
    assert listener.pulses[-1].beat_confidence > 0.3
    before = len(listener.pulses)
    feed.put(Chunk(np.full((SAMPLE_RATE // 10, 1), 1e-3, np.float32), SAMPLE_RATE, 3600.0))
    listener.wait_for(before + 9)
    feed.stop()
    assert len(listener.pulses) - before <= 11
    assert listener.pulses[before].tempo == 0
    assert listener.times[-1] == pytest.approx(3600.0, abs=0.011)


def test_a_listener_that_fails_is_told_of_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    feed, listener = PulseFeed(), Listener()

    def failing(pulses: Sequence[Pulse], _captured_at: float) -> None:
        raise ValueError(f"{len(pulses)} readings")

    feed.subscribe(failing)
    feed.subscribe(listener)
    for chunk in chunks(noise(SAMPLE_RATE, channels=1), 1600):
        feed.put(chunk)
    listener.wait_for(100)
    feed.stop()
    assert [record.message for record in caplog.records] == ["a listener of the pulse failed, and is not called again"]
