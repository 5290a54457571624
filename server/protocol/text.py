"""Protocol v1, the text half: control messages to JSON and back.

Pure: no I/O, no clock. The messages are in `clavilux.server.protocol.messages`, the binary half in
`clavilux.server.protocol.binary`. Whatever comes in, nothing but ProtocolError is raised.
"""

import json
from collections.abc import Callable
from dataclasses import asdict

from clavilux.runtime.errors import ProtocolError
from clavilux.server.protocol.fields import Fields, brief, read_object
from clavilux.server.protocol.messages import (
    ERROR_CHARACTERS,
    HIGHEST_RATE,
    HIGHEST_SEQUENCE,
    HIGHEST_TIME,
    LOWEST_RATE,
    MARKER_CHARACTERS,
    MESSAGE_BYTES,
    MOST_CHANNELS,
    PICTURE_ENCODINGS,
    ROLES,
    SOUND_ENCODINGS,
    TOKEN_CHARACTERS,
    Acknowledge,
    Bye,
    ClientMessage,
    ErrorEvent,
    Hello,
    Marker,
    MarkerReached,
    ParameterValues,
    PictureFormat,
    Ping,
    Pong,
    ServerMessage,
    SoundFormat,
    Start,
    Started,
    Status,
)


def encode(message: ClientMessage | ServerMessage) -> str:
    """Return the message as one line of JSON, pure ASCII."""
    body = {"type": message.type, **asdict(message)}
    return json.dumps(body, separators=(",", ":"), allow_nan=False)


def parse_text(text: str) -> ClientMessage:
    """Read what a client sent.

    Raises ProtocolError: "too_large", "bad_message", "bad_sound" or "unknown_type".
    """
    if len(text) > MESSAGE_BYTES or len(text.encode("utf-8", "surrogatepass")) > MESSAGE_BYTES:
        raise ProtocolError("too_large", f"a text message of {len(text)} characters; at most {MESSAGE_BYTES} bytes go")
    fields = read_object(text)
    reader = _CLIENT.get(fields.place)
    if reader is None:
        raise ProtocolError("unknown_type", f"no message type {brief(fields.place)}; there are {', '.join(_CLIENT)}")
    return reader(fields)


def parse_event(text: str) -> ServerMessage | None:
    """Read what a server sent; None for a type this client does not know. Raises ProtocolError "bad_message"."""
    fields = read_object(text)
    reader = _SERVER.get(fields.place)
    return None if reader is None else reader(fields)


def error_event(error: ProtocolError, *, fatal: bool = False) -> ErrorEvent:
    """Return the event that reports `error`, its message cut to one line of ERROR_CHARACTERS."""
    return ErrorEvent(error.code, " ".join(str(error).split())[:ERROR_CHARACTERS], fatal)


def _start(fields: Fields) -> Start:
    picture, sound = fields.nested("picture"), fields.nested("sound")
    role = fields.choice("role", ROLES)
    if sound is not None and role == "viewer":
        raise ProtocolError("bad_message", "start.sound is set for a viewer; only a performer sends sound")
    return Start(
        role=role,
        sound=None if sound is None else _sound(sound),
        picture=PictureFormat() if picture is None else _picture(picture),
        token=fields.text("token", TOKEN_CHARACTERS, None),
    )


def _sound(fields: Fields) -> SoundFormat:
    try:
        return SoundFormat(
            fields.choice("encoding", SOUND_ENCODINGS),
            fields.integer("rate", LOWEST_RATE, HIGHEST_RATE),
            fields.integer("channels", 1, MOST_CHANNELS, 1),
        )
    except ProtocolError as error:
        raise ProtocolError("bad_sound", str(error)) from None


def _picture(fields: Fields) -> PictureFormat:
    default = PictureFormat()
    encoding = fields.choice("encoding", PICTURE_ENCODINGS, default.encoding)
    return PictureFormat(encoding, fields.integer("quality", 1, 100, default.quality))


def _acknowledge(fields: Fields) -> Acknowledge:
    shown_at = fields.integer("shown_at", 0, HIGHEST_TIME, 0)
    return Acknowledge(fields.integer("sequence", 0, HIGHEST_SEQUENCE), shown_at)


def _hello(fields: Fields) -> Hello:
    names = ("picture", "limits", "parameters")
    return Hello(
        protocol=fields.integer("protocol", 1, 1),
        server=fields.text("server", MESSAGE_BYTES),
        server_time=fields.integer("server_time", 0, HIGHEST_TIME),
        bundle=fields.text("bundle", MESSAGE_BYTES),
        stages=fields.strings("stages"),
        token_required=fields.flag("token_required"),
        sound=fields.mapping("sound") if fields.nested("sound") else None,
        **{name: fields.mapping(name) for name in names},
    )


def _status(fields: Fields) -> Status:
    return Status(
        level=fields.number("level"),
        heard=fields.mapping("heard") if fields.nested("heard") else None,
        frame_rate=fields.number("frame_rate"),
        viewers=fields.integer("viewers", 0, HIGHEST_SEQUENCE),
        dropped_seconds=fields.number("dropped_seconds"),
        latency=fields.mapping("latency") if fields.nested("latency") else None,
    )


def _reached(fields: Fields) -> MarkerReached:
    sequence = fields.integer("sequence", 0, HIGHEST_SEQUENCE)
    return MarkerReached(_marker(fields).id, sequence, fields.integer("heard_until", 0, HIGHEST_TIME))


def _marker(fields: Fields) -> Marker:
    return Marker(fields.text("id", MARKER_CHARACTERS))


def _started(fields: Fields) -> Started:
    stage = fields.text("stage", MESSAGE_BYTES)
    return Started(fields.choice("role", ROLES), stage, fields.mapping("parameters"))


def _error(fields: Fields) -> ErrorEvent:
    message = fields.text("message", MESSAGE_BYTES)
    return ErrorEvent(fields.text("code", MESSAGE_BYTES), message, fields.flag("fatal"))


_CLIENT: dict[str, Callable[[Fields], ClientMessage]] = {
    "start": _start,
    "parameters": lambda fields: ParameterValues(fields.mapping("values")),
    "marker": _marker,
    "acknowledge": _acknowledge,
    "ping": lambda fields: Ping(fields.number("client_time")),
    "bye": lambda fields: Bye(fields.text("reason", MESSAGE_BYTES, "")),
}
_SERVER: dict[str, Callable[[Fields], ServerMessage]] = {
    "hello": _hello,
    "started": _started,
    "parameters": lambda fields: ParameterValues(fields.mapping("values")),
    "status": _status,
    "marker": _reached,
    "error": _error,
    "pong": lambda fields: Pong(fields.number("client_time"), fields.integer("server_time", 0, HIGHEST_TIME)),
    "bye": lambda fields: Bye(fields.text("reason", MESSAGE_BYTES, "")),
}
