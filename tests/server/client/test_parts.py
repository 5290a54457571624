"""The client's pure parts: the clock it learns, the frame it hands over."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.errors import ProtocolError
from clavilux.server.client.clock import ClockOffset
from clavilux.server.client.frame import ReceivedFrame
from clavilux.server.protocol.binary import PackedFrame
from clavilux.server.protocol.messages import PictureFormat
from clavilux.server.stage.compression import compress

PIXELS = np.full((4, 6, 3), 120, np.uint8)
seconds = st.floats(0, 10, allow_nan=False)


def received(encoding: str, picture: bytes, *, heard_until: int = 0) -> ReceivedFrame:
    return ReceivedFrame(PackedFrame(3, encoding, (6, 4), heard_until, 1, 2, (1000, 2000), picture), 900, ("a", "b"))


@given(st.lists(st.tuples(seconds, seconds), min_size=1), st.integers(-(10**12), 10**12))
def test_the_offset_is_never_wrong_by_more_than_half_the_quickest_round_trip(
    trips: list[tuple[float, float]], offset: int
) -> None:
    clock = ClockOffset(0, 0.0)
    for there, back in trips:
        clock.take(100.0, round((100.0 + there) * 1e6) + offset, 100.0 + there + back)
    quickest = min((100.0 + there + back) - 100.0 for there, back in trips)
    assert abs(clock.offset - offset) <= quickest / 2 * 1e6 + 2


def test_before_any_answer_hello_gives_a_first_guess() -> None:
    assert ClockOffset(5_000_000, 2.0).server_time(3.0) == 6_000_000


def test_a_slower_answer_changes_nothing() -> None:
    clock = ClockOffset(0, 0.0)
    clock.take(1.0, 5_000_000, 1.1)
    learnt = clock.offset
    clock.take(2.0, 99_000_000, 2.5)
    assert clock.offset == learnt


def test_server_time_is_never_zero() -> None:
    assert ClockOffset(0, 100.0).server_time(1.0) == 1


@pytest.mark.parametrize("encoding", ["rgb", "jpeg", "webp"])
def test_every_encoding_is_decoded(encoding: str) -> None:
    pixels = received(encoding, compress(PIXELS, PictureFormat(encoding))).pixels
    assert pixels.shape == (4, 6, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels.astype(int), PIXELS, atol=4)


def test_a_grey_picture_becomes_rgb() -> None:
    grey = struct.pack("<2s", b"P5") + b" 6 4 255 " + bytes([120]) * 24
    np.testing.assert_array_equal(received("jpeg", grey).pixels, PIXELS)


@pytest.mark.parametrize(("encoding", "picture"), [("jpeg", b"nonsense"), ("rgb", b"too short")])
def test_a_picture_that_is_none_is_refused(encoding: str, picture: bytes) -> None:
    with pytest.raises(ProtocolError, match="frame 3 is no"):
        _ = received(encoding, picture).pixels


def test_stage_times_have_names_and_seconds() -> None:
    assert received("rgb", b"x").stages == {"a": 0.001, "b": 0.002}


def test_the_latency_is_from_heard_to_arrived() -> None:
    assert received("rgb", b"x", heard_until=400).latency == pytest.approx(0.0005)
    assert received("rgb", b"x").latency is None
