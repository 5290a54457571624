"""Protocol v1, the binary half: sound packets up, frames and pulses down, little-endian, one type byte first.

Pure: no I/O. Layouts stand in docs/protocol.md. Whatever comes in, nothing but ProtocolError is raised.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.errors import ProtocolError
from clavilux.runtime.pulse import Pulse
from clavilux.runtime.sound.samples import MAX_AMPLITUDE
from clavilux.server.protocol.messages import SoundFormat
from clavilux.server.protocol.words import (
    MAX_SEQUENCE,
    PACKET_BYTES,
    PICTURE_ENCODINGS,
    BinaryType,
    ErrorCode,
    PictureEncoding,
    SoundEncoding,
)

SOUND_HEADER = struct.Struct("<BBHIQ")  # type, reserved, reserved, sequence, capture time
FRAME_HEADER = struct.Struct("<BBHHHIIQQQ")  # type, encoding, width, height, S, sequence, reserved, three times
PULSE_HEADER = struct.Struct("<BBHIQ")  # type, count, tempo, index, capture time
READING = struct.Struct("<16BH")  # see READING_FIELDS, then the next beat
READING_FIELDS = (
    "level", "low", "mid", "high", "brightness", "noisiness", "harmonicity", "pitch_class", "pitch_height",
    "pitch_confidence", "onset", "density", "beat_phase", "beat_confidence",
)  # fmt: skip
"""Values of a reading that travel as bytes, 255 for 1; after them come the loudness in half dB and what is known."""

MAX_READINGS = 255  # in one message
TEMPO_STEPS = 100  # per beat a minute
MAX_UINT16 = 2**16 - 1
MILLISECONDS = 1000  # per second
PCM16_FULL_SCALE = 32_768.0
MAX_STAGE_TIME = 2**32 - 1  # µs
SAMPLE_TYPES: dict[SoundEncoding, np.dtype[Any]] = {
    SoundEncoding.PCM16: np.dtype("<i2"),
    SoundEncoding.FLOAT32: np.dtype("<f4"),
}


@dataclass(frozen=True)
class Sound:
    """One packet of sound."""

    sequence: int  # the client's own count
    captured_at: int  # server time of the first sample, µs; 0 = stamp it on arrival
    samples: NDArray[np.float32]  # [n, channels], full scale -1 to 1, n >= 1; parsed: the channels in use


@dataclass(frozen=True)
class PackedFrame:
    """One frame as it travels. Times are server time, µs."""

    sequence: int  # the engine's count modulo 2**32
    encoding: PictureEncoding
    size: tuple[int, int]  # width, height, pixels
    heard_until: int  # 0 = nothing heard
    made_at: int
    sent_at: int
    stages: tuple[int, ...]  # µs, in the order of hello's "stages"
    picture: bytes


@dataclass(frozen=True)
class PulseMessage:
    """Readings of the pulse as they travel, one after the other."""

    pulses: tuple[Pulse, ...]  # 1 to MAX_READINGS, a hundred a second
    captured_at: int  # server time, µs: capture time of the end of the first one
    known: float = 0.0  # how sure the instrument is of what it hears, 0 to 1


def pack_pulses(message: PulseMessage) -> bytes:
    """Return readings as one binary message; each value in steps of 1/255, the tempo and the next beat of the last."""
    first, last = message.pulses[0], message.pulses[-1]
    tempo = min(MAX_UINT16, round(last.tempo * TEMPO_STEPS))
    head = PULSE_HEADER.pack(
        BinaryType.PULSE, len(message.pulses), tempo, first.index % (MAX_SEQUENCE + 1), message.captured_at
    )
    known = _byte(message.known)
    readings = [
        READING.pack(
            *(_byte(getattr(pulse, name)) for name in READING_FIELDS),
            min(255, max(0, round(-2 * pulse.level_db))),
            known,
            min(MAX_UINT16, round(pulse.next_beat * MILLISECONDS)),
        )
        for pulse in message.pulses
    ]
    return b"".join((head, *readings))


def unpack_pulses(message: bytes) -> PulseMessage:
    """Read a message of pulses. Raises ProtocolError "unknown_type" or "bad_message"."""
    if message[:1] != bytes([BinaryType.PULSE]):
        raise ProtocolError(
            ErrorCode.UNKNOWN_TYPE,
            f"a binary message opens with {_opening(message)}; a pulse opens with {BinaryType.PULSE:d}",
        )
    count = message[1] if len(message) > 1 else 0
    if not count or len(message) < PULSE_HEADER.size + count * READING.size:
        raise ProtocolError(ErrorCode.BAD_MESSAGE, f"a pulse of {len(message)} bytes; expected {count} readings")
    _, _, tempo, index, captured_at = PULSE_HEADER.unpack_from(message)
    rows = [READING.unpack_from(message, PULSE_HEADER.size + k * READING.size) for k in range(count)]
    pulses = tuple(
        Pulse(
            index=index + k,
            **{name: value / 255 for name, value in zip(READING_FIELDS, row, strict=False)},
            level_db=-row[-3] / 2,
            tempo=tempo / TEMPO_STEPS,
            next_beat=row[-1] / MILLISECONDS,
        )
        for k, row in enumerate(rows)
    )
    return PulseMessage(pulses, captured_at, rows[-1][-2] / 255)


def _byte(value: float) -> int:
    """Return a value of 0 to 1 in steps of 1/255."""
    return min(255, max(0, round(255 * value)))


def pack_sound(sound: Sound, encoding: SoundEncoding) -> bytes:
    """Return the packet for `sound`; pcm16 rounds and clips to full scale."""
    samples: NDArray[Any] = sound.samples
    if encoding == SoundEncoding.PCM16:
        samples = np.clip(np.rint(samples * PCM16_FULL_SCALE), -PCM16_FULL_SCALE, PCM16_FULL_SCALE - 1)
    body = samples.astype(SAMPLE_TYPES[encoding]).tobytes()
    return SOUND_HEADER.pack(BinaryType.SOUND, 0, 0, sound.sequence, sound.captured_at) + body


def packet_sequence(packet: bytes) -> int | None:
    """Return the sequence of a sound packet that may be wrong in all else, None for what is none."""
    if packet[:1] != bytes([BinaryType.SOUND]) or len(packet) < SOUND_HEADER.size:
        return None
    return int(SOUND_HEADER.unpack_from(packet)[3])


def parse_sound(packet: bytes, layout: SoundFormat) -> Sound:
    """Read one sound packet; of its channels those that `layout.use` chooses, in its order.

    Raises ProtocolError: "too_large", "unknown_type" (another type byte) or "bad_sound".
    """
    if len(packet) > PACKET_BYTES:
        raise ProtocolError(ErrorCode.TOO_LARGE, f"a sound packet of {len(packet)} bytes; at most {PACKET_BYTES} go")
    if packet[:1] != bytes([BinaryType.SOUND]):
        raise ProtocolError(
            ErrorCode.UNKNOWN_TYPE,
            f"a binary message opens with {_opening(packet)}; sound opens with {BinaryType.SOUND:d}",
        )
    if len(packet) <= SOUND_HEADER.size:
        raise ProtocolError(
            ErrorCode.BAD_SOUND,
            f"a sound packet of {len(packet)} bytes; expected a header of {SOUND_HEADER.size}, then samples",
        )
    _, first, second, sequence, captured_at = SOUND_HEADER.unpack_from(packet)
    if first or second:
        raise ProtocolError(ErrorCode.BAD_SOUND, f"reserved bytes are {packet[1:4].hex(' ')}; expected zeros")
    return Sound(sequence, captured_at, _samples(packet[SOUND_HEADER.size :], layout))


def _opening(message: bytes) -> str:
    return f"the byte {message[0]}" if message else "nothing"


def _samples(body: bytes, layout: SoundFormat) -> NDArray[np.float32]:
    dtype = SAMPLE_TYPES[layout.encoding]
    step = dtype.itemsize * layout.channels
    if len(body) % step:
        raise ProtocolError(
            ErrorCode.BAD_SOUND,
            f"{len(body)} bytes of samples; expected a multiple of {step} ({layout.encoding}, all channels)",
        )
    every = np.frombuffer(body, dtype).reshape(-1, layout.channels)
    used = every if layout.use is None else every[:, [number - 1 for number in layout.use]]
    samples: NDArray[np.float32] = used.astype(np.float32)
    if layout.encoding == SoundEncoding.PCM16:
        return samples / np.float32(PCM16_FULL_SCALE)
    # Written so that NaN fails it too.
    if not np.abs(samples).max() <= MAX_AMPLITUDE:
        raise ProtocolError(ErrorCode.BAD_SOUND, f"a sample of {np.abs(samples).max():g}; expected -1 to 1, finite")
    return samples


def pack_frame(frame: PackedFrame) -> bytes:
    """Return the frame as one binary message; stage times stop at 2**32 - 1 µs."""
    width, height = frame.size
    head = FRAME_HEADER.pack(
        BinaryType.FRAME,
        PICTURE_ENCODINGS.index(frame.encoding) + 1,
        width,
        height,
        len(frame.stages),
        frame.sequence,
        0,
        frame.heard_until,
        frame.made_at,
        frame.sent_at,
    )
    stages = [min(max(stage, 0), MAX_STAGE_TIME) for stage in frame.stages]
    return b"".join((head, struct.pack(f"<{len(stages)}I", *stages), frame.picture))


def unpack_frame(message: bytes) -> PackedFrame:
    """Read one frame. Raises ProtocolError "unknown_type" or "bad_message"."""
    if message[:1] != bytes([BinaryType.FRAME]):
        raise ProtocolError(
            ErrorCode.UNKNOWN_TYPE,
            f"a binary message opens with {_opening(message)}; a frame opens with {BinaryType.FRAME:d}",
        )
    if len(message) < FRAME_HEADER.size:
        raise ProtocolError(
            ErrorCode.BAD_MESSAGE, f"a frame of {len(message)} bytes; expected {FRAME_HEADER.size} or more"
        )
    _, encoding, width, height, count, sequence, _, *times = FRAME_HEADER.unpack_from(message)
    start = FRAME_HEADER.size + 4 * count
    if not 1 <= encoding <= len(PICTURE_ENCODINGS) or len(message) <= start:
        raise ProtocolError(
            ErrorCode.BAD_MESSAGE, f"a frame of {len(message)} bytes, encoding {encoding}, {count} stage times"
        )
    stages = struct.unpack_from(f"<{count}I", message, FRAME_HEADER.size)
    name = PICTURE_ENCODINGS[encoding - 1]
    return PackedFrame(sequence, name, (width, height), times[0], times[1], times[2], stages, message[start:])
