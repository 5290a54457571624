"""The newest wins in a slot; no more than the window's frames are in flight."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from clavilux.server.stage.in_flight import IN_FLIGHT, InFlight, NewestSlot


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


def test_the_window_is_open_for_two_frames() -> None:
    window = InFlight()
    for sequence in range(IN_FLIGHT):
        assert window.open
        window.add(sequence, None)
    assert not window.open


def test_an_acknowledgement_opens_the_window_and_tells_what_was_heard() -> None:
    window = InFlight()
    window.add(1, 5.0)
    window.add(2, 6.0)
    assert window.acknowledge(1) == 5.0
    assert window.open
    assert window.acknowledge(2) == 6.0


def test_an_acknowledgement_releases_older_frames_too() -> None:
    window = InFlight()
    window.add(1, 5.0)
    window.add(2, 6.0)
    assert window.acknowledge(2) == 6.0
    assert window.acknowledge(1) is None


def test_an_invented_acknowledgement_releases_nothing() -> None:
    window = InFlight(1)
    window.add(1, 5.0)
    assert window.acknowledge(99) is None
    assert not window.open


@given(st.lists(st.integers(-1, 20)))
def test_any_order_of_sending_and_acknowledging_does_as_a_plain_list_would(events: list[int]) -> None:
    window: InFlight = InFlight()
    flying: list[int] = []
    for number, event in enumerate(events):
        if event < 0 and window.open:
            window.add(number, float(number))
            flying.append(number)
        elif event in flying:
            assert window.acknowledge(event) == float(event)
            flying = flying[flying.index(event) + 1 :]
        assert window.open == (len(flying) < IN_FLIGHT)
