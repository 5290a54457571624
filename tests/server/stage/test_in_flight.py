"""Frames in flight: no more of them than the window holds."""

from hypothesis import given
from hypothesis import strategies as st

from clavilux.server.stage.in_flight import IN_FLIGHT, InFlight


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
