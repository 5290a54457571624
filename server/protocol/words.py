"""Protocol v1, its words and numbers: roles, encodings, stage names, codes, limits. Each has its one owner here.

Pure data. docs/protocol.md says what they mean to a client. Times are whole microseconds of the server's clock.
"""

from enum import IntEnum, StrEnum

from websockets.frames import CloseCode

from clavilux.runtime.sound.samples import MAX_CHANNELS, RATES

__all__ = [
    "CLOSE_REPLACED",
    "ERROR_CHARACTERS",
    "HARD_LIMIT_BYTES",
    "MARKER_CHARACTERS",
    "MAX_CHANNELS",
    "MAX_RATE",
    "MAX_SEQUENCE",
    "MAX_TIME",
    "MESSAGE_BYTES",
    "MESSAGE_ID_CHARACTERS",
    "MICROSECONDS",
    "MIN_RATE",
    "PACKET_BYTES",
    "PICTURE_ENCODINGS",
    "SESSION_CHARACTERS",
    "SESSION_HEADER",
    "SOUND_ENCODINGS",
    "SUBPROTOCOL",
    "TOKEN_CHARACTERS",
    "VERSION",
    "WIRE_STAGES",
    "BinaryType",
    "CloseCode",
    "ErrorCode",
    "PictureEncoding",
    "Role",
    "SoundEncoding",
    "WireStage",
]

VERSION = 1
SUBPROTOCOL = "clavilux.v1"
SESSION_HEADER = "clavilux-session"  # of a request for the socket, by who comes back with a token in another header

MESSAGE_BYTES = 65_536  # of one text message, UTF-8
PACKET_BYTES = 262_144  # of one sound packet, header included
HARD_LIMIT_BYTES = 1_048_576  # of any message; beyond it the connection ends with MESSAGE_TOO_BIG
MARKER_CHARACTERS = 64
MESSAGE_ID_CHARACTERS = 64
SESSION_CHARACTERS = 64
TOKEN_CHARACTERS = 1024
ERROR_CHARACTERS = 500
MIN_RATE, MAX_RATE = RATES  # samples per second
MAX_SEQUENCE = 2**32 - 1
MAX_TIME = 2**63 - 1  # µs
MICROSECONDS = 1_000_000  # per second
CLOSE_REPLACED = 4001  # of a connection whose place another one has taken


class Role(StrEnum):
    """Roles of a connection: who plays, and who only watches."""

    PERFORMER = "performer"
    VIEWER = "viewer"


class SoundEncoding(StrEnum):
    """Encodings of a performer's samples."""

    PCM16 = "pcm16"
    FLOAT32 = "float32"


class PictureEncoding(StrEnum):
    """Encodings of a picture; a frame's header holds the place in this order, counted from 1."""

    JPEG = "jpeg"
    WEBP = "webp"
    RGB = "rgb"


class BinaryType(IntEnum):
    """First bytes of binary messages."""

    SOUND = 1
    FRAME = 2
    PULSE = 3


class WireStage(StrEnum):
    """Stages whose times a frame carries, in order: those of `clavilux.runtime.frame.STAGES`, then the server's."""

    QUEUE = "queue"
    FEATURES = "features"
    ENCODE = "encode"
    CONDITION = "condition"
    DENOISE = "denoise"
    DECODE = "decode"
    COMPRESS = "compress"


class ErrorCode(StrEnum):
    """Codes of error events; the last four end the connection."""

    UNKNOWN_TYPE = "unknown_type"
    BAD_MESSAGE = "bad_message"
    BAD_PARAMETER = "bad_parameter"
    BAD_SOUND = "bad_sound"
    NOT_STARTED = "not_started"
    NOT_PERFORMER = "not_performer"
    STAGE_TAKEN = "stage_taken"
    TOO_LARGE = "too_large"
    UNAUTHORIZED = "unauthorized"
    TRY_AGAIN = "try_again"
    REPLACED = "replaced"
    ENGINE_FAILED = "engine_failed"


SOUND_ENCODINGS = tuple(SoundEncoding)
PICTURE_ENCODINGS = tuple(PictureEncoding)
WIRE_STAGES = tuple(WireStage)
