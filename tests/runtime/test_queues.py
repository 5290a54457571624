"""Queues between threads: each bounded, each true to its name."""

import threading

from clavilux.runtime.queues import NewestSlot


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
