"""Queues between threads: each bounded, each true to its name."""

import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.queues import (
    ADJOINING,
    MAX_CHUNKS,
    PACE,
    QUEUE_SECONDS,
    Chunk,
    NewestSlot,
    OldestDroppedQueue,
    joined,
)
from tests.runtime.sound.sounds import cuts, noise

RATE = 8_000


def chunk(samples: int, at: float = 0.0, rate: int = RATE, channels: int = 1) -> Chunk:
    return Chunk(np.zeros((samples, channels), np.float32), rate, at)


def cut(sound: np.ndarray, places: list[int]) -> list[Chunk]:
    """Return sound in pieces that begin at 3 s."""
    edges = [0, *places, len(sound)]
    return [Chunk(sound[start:end], RATE, 3.0 + start / RATE) for start, end in pairwise(edges)]


def filled(*chunks: Chunk) -> OldestDroppedQueue:
    queue = OldestDroppedQueue()
    for each in chunks:
        queue.put(each)
    return queue


@given(places=cuts(RATE, most=40))
def test_however_sound_was_cut_it_comes_out_as_one(places: list[int]) -> None:
    sound = noise(RATE, channels=1)
    (found,) = filled(*cut(sound, places)).take(0.0)
    np.testing.assert_array_equal(found.sound, sound)
    assert (found.rate, found.captured_at) == (RATE, 3.0)


def test_single_samples_do_not_lie_about_one_by_one() -> None:
    queue = filled(*cut(noise(RATE, channels=1), list(range(1, RATE))))
    assert len(queue._chunks) <= 100


@pytest.mark.parametrize("at", [0.001 + 2 * ADJOINING, 0.001 - 2 * ADJOINING])
def test_what_begins_elsewhere_stays_apart(at: float) -> None:
    assert [found.captured_at for found in filled(chunk(8), chunk(8, at)).take(0.0)] == [0.0, at]


@pytest.mark.parametrize("layout", [(RATE + 1, 1), (RATE, 2)])
def test_what_has_another_rate_or_other_channels_stays_apart(layout: tuple[int, int]) -> None:
    found = filled(chunk(8), chunk(8, 0.001, *layout)).take(0.0)
    assert [each.layout for each in found] == [(RATE, 1), layout]


def test_capture_times_that_creep_do_not_add_up() -> None:
    creeping = [chunk(8, k * (0.001 + ADJOINING / 10)) for k in range(100)]
    runs = joined(creeping)
    assert 5 <= len(runs) <= 10
    for run in runs:
        newest = max(each.captured_at for each in creeping if each.captured_at < run.captured_at + run.seconds)
        assert abs(newest + 0.001 - (run.captured_at + run.seconds)) < 0.001 + ADJOINING


@given(seconds=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=8))
def test_two_seconds_wait_at_most_and_what_is_older_is_counted(seconds: list[float]) -> None:
    samples = [round(each * RATE) for each in seconds]
    queue = filled(*(chunk(count, 10.0 * k) for k, count in enumerate(samples)))
    kept = sum(len(each.sound) for each in queue.take(0.0))
    assert kept == min(sum(samples), QUEUE_SECONDS * RATE)
    assert queue.dropped == pytest.approx((sum(samples) - kept) / RATE)


def test_the_count_of_chunks_is_bounded_too() -> None:
    queue = filled(*(chunk(1, 10.0 * k) for k in range(MAX_CHUNKS + 5)))
    assert [len(queue._chunks), queue.dropped] == [MAX_CHUNKS, pytest.approx(5 / RATE)]


def test_sound_that_comes_faster_than_it_sounds_waits_for_its_time() -> None:
    sound = noise(4 * RATE, channels=1)
    queue = filled(Chunk(sound[: 2 * RATE], RATE, 0.0))
    taken = queue.take(0.0)
    queue.put(Chunk(sound[2 * RATE :], RATE, 2.0))
    taken += queue.take(0.0)
    assert sum(each.seconds for each in taken) == QUEUE_SECONDS
    taken += queue.take(1.0)
    assert sum(each.seconds for each in taken) == QUEUE_SECONDS + PACE
    taken += queue.take(10.0)
    (everything,) = joined(taken)
    np.testing.assert_array_equal(everything.sound, sound)
    assert queue.dropped == 0


def test_sound_in_its_own_time_is_taken_at_once() -> None:
    queue = OldestDroppedQueue()
    for k in range(1000):
        queue.put(chunk(RATE // 100, k / 100))
        assert [len(each.sound) for each in queue.take(k / 100)] == [RATE // 100]


def test_what_was_lost_before_the_queue_is_counted_too() -> None:
    queue = OldestDroppedQueue()
    queue.lose(0.5)
    assert (queue.dropped, queue.take(0.0)) == (0.5, [])


def test_an_empty_slot_gives_none() -> None:
    assert NewestSlot[int]().take() is None


def test_the_newest_item_replaces_the_one_before_and_is_counted() -> None:
    slot: NewestSlot[int] = NewestSlot()
    slot.put(1)
    slot.put(2)
    assert slot.take() == 2
    assert slot.replaced == 1


def test_taking_empties_the_slot() -> None:
    slot: NewestSlot[int] = NewestSlot()
    slot.put(1)
    slot.take()
    assert slot.take() is None


def test_only_the_first_put_into_an_empty_slot_asks_for_a_wake_up() -> None:
    slot: NewestSlot[int] = NewestSlot()
    assert slot.put(1)
    assert not slot.put(2)
    slot.take()
    assert slot.put(3)


def test_what_several_threads_put_is_either_taken_or_counted() -> None:
    slot: NewestSlot[int] = NewestSlot()
    threads = [threading.Thread(target=lambda: [slot.put(n) for n in range(1, 500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert slot.take() is not None
    assert slot.replaced == 4 * 499 - 1
