"""Binary messages: exact layouts, round trips, and nothing but ProtocolError for any bytes."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clavilux.runtime.errors import ProtocolError
from clavilux.runtime.pulse import Pulse
from clavilux.server.protocol.binary import (
    READING_FIELDS,
    PackedFrame,
    PulseMessage,
    Sound,
    pack_frame,
    pack_pulses,
    pack_sound,
    packet_sequence,
    parse_sound,
    unpack_frame,
    unpack_pulses,
)
from clavilux.server.protocol.messages import SoundFormat
from clavilux.server.protocol.words import PACKET_BYTES, PICTURE_ENCODINGS

MONO = SoundFormat("float32", 48_000, 1)
STEREO16 = SoundFormat("pcm16", 48_000, 2)
U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
blocks = st.tuples(st.integers(1, 30), st.integers(1, 4)).flatmap(
    lambda shape: arrays.arrays(np.float32, shape, elements=st.floats(-1, 1, width=32))
)
frames = st.builds(
    PackedFrame,
    sequence=U32,
    encoding=st.sampled_from(PICTURE_ENCODINGS),
    size=st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)),
    heard_until=U64,
    made_at=U64,
    sent_at=U64,
    stages=st.lists(U32, max_size=8).map(tuple),
    picture=st.binary(min_size=1),
)


SHARE = st.floats(0, 1)
readings = st.builds(
    Pulse,
    **dict.fromkeys(READING_FIELDS, SHARE),
    level_db=st.floats(-120, 0),
    tempo=st.floats(0, 300),
    next_beat=st.floats(0, 3),
)
pulse_messages = st.builds(
    PulseMessage, st.lists(readings, min_size=1, max_size=9).map(tuple), captured_at=U64, known=SHARE
)


@given(pulse_messages)
def test_readings_come_through_within_half_a_step(message: PulseMessage) -> None:
    back = unpack_pulses(pack_pulses(message))
    assert back.captured_at == message.captured_at
    assert back.known == pytest.approx(message.known, abs=0.5 / 255 + 1e-9)
    assert [pulse.index for pulse in back.pulses] == [message.pulses[0].index + k for k in range(len(back.pulses))]
    assert back.pulses[-1].tempo == pytest.approx(message.pulses[-1].tempo, abs=0.0051)
    for theirs, ours in zip(back.pulses, message.pulses, strict=True):
        for name in READING_FIELDS:
            assert getattr(theirs, name) == pytest.approx(getattr(ours, name), abs=0.5 / 255 + 1e-9)
        assert theirs.level_db == pytest.approx(ours.level_db, abs=0.26)
        assert theirs.next_beat == pytest.approx(ours.next_beat, abs=0.00051)


def test_a_reading_has_the_layout_of_the_page() -> None:
    pulse = Pulse(index=7, level=1.0, high=0.2, onset=0.4, level_db=-60.0, tempo=120.0, beat_phase=0.6, next_beat=0.2)
    message = pack_pulses(PulseMessage((pulse,), captured_at=5, known=0.8))
    assert message == (
        struct.pack("<BBHIQ", 3, 1, 12_000, 7, 5)
        + bytes([255, 0, 0, 51, 0, 0, 0, 0, 0, 0, 102, 0, 153, 0, 120, 204])
        + struct.pack("<H", 200)
    )


def test_fifty_messages_of_two_readings_stay_under_3_kilobytes_a_second() -> None:
    framing = 2  # bytes of a websocket's header
    assert 50 * (len(pack_pulses(PulseMessage((Pulse(), Pulse()), 0))) + framing) <= 3000


@given(st.binary())
def test_any_bytes_are_a_pulse_or_a_protocol_error(message: bytes) -> None:
    for candidate in (message, b"\x03" + message, b"\x03\x01" + bytes(14) + message):
        try:
            assert unpack_pulses(candidate).pulses
        except ProtocolError:
            continue


@given(blocks, U32, U64)
def test_float32_sound_comes_through_unchanged(samples: np.ndarray, sequence: int, captured_at: int) -> None:
    layout = SoundFormat("float32", 48_000, samples.shape[1])
    sound = parse_sound(pack_sound(Sound(sequence, captured_at, samples), "float32"), layout)
    assert (sound.sequence, sound.captured_at) == (sequence, captured_at)
    np.testing.assert_array_equal(sound.samples, samples)


@given(blocks)
def test_pcm16_sound_comes_through_within_one_step(samples: np.ndarray) -> None:
    layout = SoundFormat("pcm16", 48_000, samples.shape[1])
    sound = parse_sound(pack_sound(Sound(0, 0, samples), "pcm16"), layout)
    assert sound.samples.dtype == np.float32
    np.testing.assert_allclose(sound.samples, samples, atol=1 / 32_768)


@given(frames)
def test_a_frame_comes_through_unchanged(frame: PackedFrame) -> None:
    assert unpack_frame(pack_frame(frame)) == frame


@given(st.binary(), st.sampled_from([MONO, STEREO16]))
def test_any_bytes_are_sound_or_a_protocol_error(packet: bytes, layout: SoundFormat) -> None:
    for candidate in (packet, b"\x01\x00\x00\x00" + packet, b"\x01\x00\x00\x00" + bytes(12) + packet):
        try:
            samples = parse_sound(candidate, layout).samples
        except ProtocolError:
            continue
        assert np.isfinite(samples).all()


@given(st.binary())
def test_any_bytes_are_a_frame_or_a_protocol_error(message: bytes) -> None:
    for candidate in (message, b"\x02\x01" + message):
        try:
            unpack_frame(candidate)
        except ProtocolError:
            continue


@given(frames.map(pack_frame) | pulse_messages.map(pack_pulses), st.integers(0, 200), st.binary(max_size=8))
def test_a_message_with_foreign_bytes_is_read_or_refused_with_a_protocol_error(
    message: bytes, place: int, piece: bytes
) -> None:
    for spoilt in (message[:place] + piece, message[:place] + piece + message[place + len(piece) :]):
        for unpack in (unpack_frame, unpack_pulses):
            try:
                unpack(spoilt)
            except ProtocolError:
                continue


def test_the_sound_header_is_sixteen_bytes_as_documented() -> None:
    packet = pack_sound(Sound(7, 9, np.array([[0.5]], np.float32)), "float32")
    assert packet == struct.pack("<BBHIQf", 1, 0, 0, 7, 9, 0.5)


def test_the_frame_header_is_forty_bytes_as_documented() -> None:
    frame = PackedFrame(5, "webp", (6, 4), 10, 20, 30, (1, 2), b"picture")
    expected = struct.pack("<BBHHHIIQQQII", 2, 2, 6, 4, 2, 5, 0, 10, 20, 30, 1, 2) + b"picture"
    assert pack_frame(frame) == expected
    assert len(expected) == 40 + 2 * 4 + 7


def test_full_scale_and_beyond_is_clipped_in_pcm16() -> None:
    packet = pack_sound(Sound(0, 0, np.array([[2.0], [-2.0]], np.float32)), "pcm16")
    assert packet[16:] == struct.pack("<hh", 32_767, -32_768)


def test_a_stage_time_too_long_for_its_field_stops_at_the_largest() -> None:
    frame = PackedFrame(0, "rgb", (1, 1), 0, 0, 0, (2**40, -3), b"abc")
    assert unpack_frame(pack_frame(frame)).stages == (2**32 - 1, 0)


@pytest.mark.parametrize(
    ("packet", "code", "line"),
    [
        (bytes(PACKET_BYTES + 1), "too_large", "262145 bytes; at most 262144"),
        (b"", "unknown_type", "opens with nothing; sound opens with 1"),
        (b"\x09" + bytes(20), "unknown_type", "opens with the byte 9; sound opens with 1"),
        (b"\x01" + bytes(15), "bad_sound", "16 bytes; expected a header of 16, then samples"),
        (b"\x01\x01" + bytes(18), "bad_sound", "expected zeros"),
        (b"\x01\x00\x01" + bytes(17), "bad_sound", "expected zeros"),
        (b"\x01" + bytes(15) + bytes(5), "bad_sound", "5 bytes of samples; expected a multiple of 4"),
        (b"\x01" + bytes(15) + struct.pack("<f", float("nan")), "bad_sound", "a sample of nan"),
        (b"\x01" + bytes(15) + struct.pack("<f", float("-inf")), "bad_sound", "a sample of inf"),
        (b"\x01" + bytes(15) + struct.pack("<f", 32_767.0), "bad_sound", "a sample of 32767; expected -1 to 1"),
    ],
)
def test_a_broken_sound_packet_is_refused_with_its_reason(packet: bytes, code: str, line: str) -> None:
    with pytest.raises(ProtocolError, match=line) as caught:
        parse_sound(packet, MONO)
    assert caught.value.code == code


def test_a_packet_that_is_refused_still_has_its_sequence() -> None:
    packet = struct.pack("<BBHIQ", 1, 1, 0, 4_000_000_000, 0)
    assert packet_sequence(packet) == 4_000_000_000
    assert packet_sequence(packet[:-1]) is packet_sequence(b"\x02" + packet) is packet_sequence(b"") is None


@pytest.mark.parametrize("encoding", ["pcm16", "float32"])
@pytest.mark.parametrize("use", [(3,), (1, 2), (18, 1)])
def test_channels_that_are_not_in_use_stay_outside(encoding: str, use: tuple[int, ...]) -> None:
    samples = np.random.default_rng(0).integers(-9, 9, (50, 18)).astype(np.float32) / 16
    packet = pack_sound(Sound(0, 0, samples), encoding)
    found = parse_sound(packet, SoundFormat(encoding, 48_000, 18, use)).samples
    np.testing.assert_array_equal(found, samples[:, [number - 1 for number in use]])


def test_samples_must_fill_all_channels() -> None:
    with pytest.raises(ProtocolError, match=r"6 bytes of samples; expected a multiple of 4 \(pcm16, all channels\)"):
        parse_sound(b"\x01" + bytes(15) + bytes(6), STEREO16)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", "unknown_type"),
        (b"\x01" + bytes(60), "unknown_type"),
        (b"\x02" + bytes(30), "bad_message"),
        (b"\x02\x04" + bytes(60), "bad_message"),
        (b"\x02\x00" + bytes(60), "bad_message"),
        (struct.pack("<BBHHHIIQQQ", 2, 1, 1, 1, 9, 0, 0, 0, 0, 0) + bytes(36), "bad_message"),
    ],
)
def test_a_broken_frame_is_refused(message: bytes, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        unpack_frame(message)
    assert caught.value.code == code
