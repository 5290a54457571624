"""Protocol v1: its limits, its words, and every control message as a frozen dataclass.

Pure data. `clavilux.server.protocol.text` turns messages into JSON and back; the page for people is docs/protocol.md.
Times are whole microseconds of the server's clock ("server time") unless a line says otherwise.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from clavilux.runtime.frame import STAGES
from clavilux.runtime.sound.samples import MAX_CHANNELS, RATES

VERSION = 1
SUBPROTOCOL = "clavilux.v1"
WIRE_STAGES = (*STAGES, "compress")  # the order of stage times in every frame

MESSAGE_BYTES = 65_536  # of one text message, UTF-8
PACKET_BYTES = 262_144  # of one sound packet, header included
HARD_LIMIT_BYTES = 1_048_576  # of any message; beyond it the connection ends with TOO_LARGE
MARKER_CHARACTERS = 64
TOKEN_CHARACTERS = 1024
ERROR_CHARACTERS = 500
LOWEST_RATE, HIGHEST_RATE = RATES  # samples per second
MOST_CHANNELS = MAX_CHANNELS
HIGHEST_SEQUENCE = 2**32 - 1
HIGHEST_TIME = 2**63 - 1  # µs

ROLES = ("performer", "viewer")
SOUND_ENCODINGS = ("pcm16", "float32")
PICTURE_ENCODINGS = ("jpeg", "webp", "rgb")

NORMAL, POLICY, TOO_LARGE, ENGINE_FAILED, SHUTTING_DOWN, STAGE_FULL = 1000, 1008, 1009, 1011, 1012, 1013


@dataclass(frozen=True)
class SoundFormat:
    """How a performer's samples are laid out."""

    encoding: str = "float32"  # one of SOUND_ENCODINGS
    rate: int = 48_000  # samples per second
    channels: int = 1  # interleaved


@dataclass(frozen=True)
class PictureFormat:
    """How a viewer wants its pictures."""

    encoding: str = "jpeg"  # one of PICTURE_ENCODINGS
    quality: int = 85  # 1 to 100; rgb ignores it


@dataclass(frozen=True)
class Start:
    """Client: take a role. `sound` None is a performer that sends parameters only."""

    type: ClassVar[str] = "start"
    role: str = "viewer"
    sound: SoundFormat | None = None
    picture: PictureFormat = field(default_factory=PictureFormat)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ParameterValues:
    """Client: values to set. Server: all the values that hold now."""

    type: ClassVar[str] = "parameters"
    values: dict[str, Any]


@dataclass(frozen=True)
class Marker:
    """Client: tell me when all sound sent before this has shaped a frame."""

    type: ClassVar[str] = "marker"
    id: str


@dataclass(frozen=True)
class Acknowledge:
    """Client: this frame, and with it every older one, is done with."""

    type: ClassVar[str] = "acknowledge"
    sequence: int
    shown_at: int = 0  # server time, 0 for unknown


@dataclass(frozen=True)
class Ping:
    """Client: what time is it?"""

    type: ClassVar[str] = "ping"
    client_time: float = 0  # comes back as it is


@dataclass(frozen=True)
class Bye:
    """Either side: this connection ends now."""

    type: ClassVar[str] = "bye"
    reason: str = ""


@dataclass(frozen=True)
class Hello:
    """Server, first of all: what it is and what it takes."""

    type: ClassVar[str] = "hello"
    protocol: int
    server: str
    server_time: int
    bundle: str
    picture: dict[str, Any]
    sound: dict[str, Any] | None  # what it takes; None: the stage hears a sound card of its own
    limits: dict[str, Any]
    parameters: dict[str, Any]
    stages: tuple[str, ...]
    token_required: bool


@dataclass(frozen=True)
class Started:
    """Server: the role is yours."""

    type: ClassVar[str] = "started"
    role: str
    stage: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Status:
    """Server, twice a second: how the instrument is doing."""

    type: ClassVar[str] = "status"
    level: float  # dBFS
    heard: dict[str, Any] | None  # {"name", "similarity"}
    frame_rate: float  # frames per second
    viewers: int
    dropped_seconds: float  # sound lost since the start
    latency: dict[str, Any] | None  # {"p50", "p95"}, ms, heard to shown


@dataclass(frozen=True)
class MarkerReached:
    """Server: the sound before this marker has shaped the frame `sequence`, which has been sent."""

    type: ClassVar[str] = "marker"
    id: str
    sequence: int
    heard_until: int


@dataclass(frozen=True)
class ErrorEvent:
    """Server: something was wrong. The session lives on unless `fatal`."""

    type: ClassVar[str] = "error"
    code: str
    message: str
    fatal: bool = False


@dataclass(frozen=True)
class Pong:
    """Server: the answer to a ping."""

    type: ClassVar[str] = "pong"
    client_time: float
    server_time: int


ClientMessage = Start | ParameterValues | Marker | Acknowledge | Ping | Bye
ServerMessage = Hello | Started | ParameterValues | Status | MarkerReached | ErrorEvent | Pong | Bye
