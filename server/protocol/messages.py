"""Protocol v1: every control message as a frozen msgspec Struct, its bounds on its fields.

Pure data. `clavilux.server.protocol.text` turns messages into JSON and back; the page for people is docs/protocol.md.
A field with a default may be left out on the wire. Times are whole microseconds of the server's clock ("server time")
unless a line says otherwise.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

from clavilux.runtime.pulse import SILENCE_DB
from clavilux.runtime.sound.samples import MAX_CHANNELS
from clavilux.server.protocol.words import (
    MARKER_CHARACTERS,
    MAX_RATE,
    MAX_SEQUENCE,
    MAX_TIME,
    MESSAGE_BYTES,
    MIN_RATE,
    SESSION_CHARACTERS,
    TOKEN_CHARACTERS,
    VERSION,
    PictureEncoding,
    Role,
    SoundEncoding,
)

MAX_NUMBER = 1e300  # a bound that arithmetic with such a number cannot overflow
INT64 = 2**63
MAX_VALUES = 256  # parameters in one message; there are fewer

Rate = Annotated[int, Meta(ge=MIN_RATE, le=MAX_RATE)]  # samples per second
Channels = Annotated[int, Meta(ge=1, le=MAX_CHANNELS)]
Use = Annotated[
    tuple[Channels, ...],
    Meta(min_length=1, max_length=MAX_CHANNELS, description="a list of channel numbers, which count from 1"),
]
Quality = Annotated[int, Meta(ge=1, le=100)]
Count = Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)]
Time = Annotated[int, Meta(ge=0, le=MAX_TIME)]  # µs
Number = Annotated[  # not float alone: a client's whole number comes back as a whole number
    Annotated[int, Meta(ge=-INT64, le=INT64 - 1)] | Annotated[float, Meta(gt=-MAX_NUMBER, lt=MAX_NUMBER)],
    Meta(description=f"a number within ±{MAX_NUMBER:g}, of 64 signed bits if it is whole"),
]
Text = Annotated[str, Meta(max_length=MESSAGE_BYTES)]
Values = Annotated[dict[str, Any], Meta(max_length=MAX_VALUES, description=f"an object of at most {MAX_VALUES} values")]
MarkerId = Annotated[str, Meta(max_length=MARKER_CHARACTERS)]
Token = Annotated[str, Meta(max_length=TOKEN_CHARACTERS)]
Session = Annotated[str, Meta(max_length=SESSION_CHARACTERS)]


class SoundFormat(Struct, frozen=True):
    """Layout of a performer's samples, as it travels."""

    encoding: SoundEncoding
    rate: Rate
    channels: Channels = 1  # interleaved
    use: Use | None = None  # which of them are heard, each once; None: all


class PictureFormat(Struct, frozen=True):
    """Layout of a viewer's pictures."""

    encoding: PictureEncoding = PictureEncoding.JPEG
    quality: Quality = 85  # rgb ignores it


class Start(Struct, frozen=True, tag="start"):
    """Client: take a role. `sound` None is a performer that sends parameters only, `picture` None a PictureFormat()."""

    role: Role
    sound: SoundFormat | None = None
    picture: PictureFormat | None = PictureFormat()
    token: Token | None = None
    pulse: bool = False  # whether readings of the pulse are wanted
    limits_flashes: bool = False  # whether the client limits flashes itself, as the page does; else the server does
    session: Session | None = None  # the one that it had, if it comes back
    take_over: bool = False  # whether who sounds shall give way; only a token of the right "admin" may wish that

    def __repr__(self) -> str:
        """Show everything but the token and the session, which no log may hold."""
        shown = {"role": self.role, "sound": self.sound, "picture": self.picture, "pulse": self.pulse}
        shown |= {"limits_flashes": self.limits_flashes, "take_over": self.take_over}
        return f"Start({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class ParameterValues(Struct, frozen=True, tag="parameters"):
    """Client: values to set. Server: all the values that hold now."""

    values: Values  # clavilux.runtime.control.parameters checks them


class Marker(Struct, frozen=True, tag="marker"):
    """Client: tell me when all sound sent before this has shaped a frame."""

    id: MarkerId


class Acknowledge(Struct, frozen=True, tag="acknowledge"):
    """Client: this frame, and with it every older one, is done with."""

    sequence: Count
    shown_at: Time = 0  # 0 for unknown


class Tap(Struct, frozen=True, tag="tap"):
    """Client: here is a beat."""

    at: Time = 0  # when it was tapped; 0 for now


class Ping(Struct, frozen=True, tag="ping"):
    """Client: what time is it?"""

    client_time: Number  # comes back as it is


class Bye(Struct, frozen=True, tag="bye"):
    """Either side: this connection ends now."""

    reason: Text = ""


class Hello(Struct, frozen=True, kw_only=True, tag="hello"):
    """Server, first of all: what it is and what it takes."""

    protocol: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    server: Text
    server_time: Time
    bundle: Text
    picture: dict[str, Any]
    sound: dict[str, Any] | None = None  # what it takes; None: the stage hears a sound card of its own
    limits: dict[str, Any]
    parameters: dict[str, Any]
    stages: tuple[str, ...]
    token_required: bool


class Started(Struct, frozen=True, tag="started"):
    """Server: the role is yours."""

    role: Role
    stage: Text
    parameters: dict[str, Any]
    session: Session = ""  # to be shown in `start` by who comes back

    def __repr__(self) -> str:
        """Show everything but the session, which no log may hold."""
        return f"Started(role={self.role!r}, stage={self.stage!r}, parameters={self.parameters!r})"


class Status(Struct, frozen=True, kw_only=True, tag="status"):
    """Server, twice a second: how the instrument is doing."""

    level: Number  # dBFS
    heard: dict[str, Any] | None = None  # {"name", "similarity"}
    frame_rate: Number  # frames per second
    viewers: Count
    dropped_seconds: Number  # sound lost since the start
    latency: dict[str, Any] | None = None  # {"p50", "p95"}, ms, heard to shown
    known: Number = 0.0  # how sure it is that what sounds is `heard`, 0 to 1
    sounding: bool = False  # whether somebody's sound, or a sound card's, is what the stage hears
    source: Text = "none"  # how that is: a clavilux.runtime.frame.SourceState, or one of a version to come
    gate: Number = SILENCE_DB  # dBFS from which it is taken for sound
    gain: Number = 0.0  # dB, the performer's and the automatic one
    warnings: tuple[Text, ...] = ()  # clavilux.runtime.frame.WARNINGS that hold
    channels: tuple[dict[str, Any], ...] = ()  # meters of its channels: {"level", "peak", "clipped"}, dBFS
    taken: Count | None = None  # channel that is heard alone, counted from 1; None: the mean of them
    engine: Text = "playing"  # a clavilux.runtime.playing.engine_state.EngineState, or one of a version to come


class MarkerReached(Struct, frozen=True, tag="marker"):
    """Server: the sound before this marker has shaped the frame `sequence`, which has been sent."""

    id: MarkerId
    sequence: Count
    heard_until: Time


class ErrorEvent(Struct, frozen=True, tag="error"):
    """Server: something was wrong. The session lives on unless `fatal`."""

    code: Text  # an ErrorCode, or one of a version to come
    message: Text
    fatal: bool
    reply_to: Text | Count | None = None  # the message that it answers: its `id`, or the `sequence` of a sound packet
    retry_after: Number | None = None  # s, before which another attempt would end the same


class Pong(Struct, frozen=True, tag="pong"):
    """Server: the answer to a ping."""

    client_time: Number
    server_time: Time


ClientMessage = Start | ParameterValues | Marker | Acknowledge | Tap | Ping | Bye
ServerMessage = Hello | Started | ParameterValues | Status | MarkerReached | ErrorEvent | Pong | Bye
