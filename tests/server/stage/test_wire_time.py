"""Times on the wire: whole microseconds, and capture times that must make sense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.errors import ProtocolError
from clavilux.server.stage.wire_time import MAX_CAPTURE_AGE, captured, server_time

NOW = 100.0  # s
US = 1_000_000


def test_server_time_is_in_microseconds() -> None:
    assert server_time(NOW) == 100 * US


def test_server_time_is_never_zero() -> None:
    assert server_time(0.0) == 1


def test_sound_without_a_capture_time_ends_now() -> None:
    assert captured(0, 0.01, NOW) == pytest.approx(NOW - 0.01)


def test_sound_keeps_the_capture_time_it_came_with() -> None:
    assert captured(99 * US, 0.01, NOW) == pytest.approx(99.0)


def test_sound_cannot_be_captured_later_than_it_arrived() -> None:
    assert captured(round(100.5 * US), 0.01, NOW) == pytest.approx(NOW - 0.01)


@pytest.mark.parametrize("captured_at", [1, 80 * US, 102 * US, 2**64 - 1])
def test_a_capture_time_that_cannot_be_true_is_refused(captured_at: int) -> None:
    with pytest.raises(ProtocolError, match="learn the clock with ping, or send 0") as caught:
        captured(captured_at, 0.01, NOW)
    assert caught.value.code == "bad_sound"


@given(st.integers(0, 2**64 - 1) | st.integers(85 * US, 105 * US), st.floats(0, 2))
def test_a_capture_time_that_is_taken_lies_shortly_before_the_arrival(captured_at: int, duration: float) -> None:
    try:
        first = captured(captured_at, duration, NOW)
    except ProtocolError:
        return
    assert NOW - duration - MAX_CAPTURE_AGE <= first + 1e-9
    assert first <= NOW - duration
