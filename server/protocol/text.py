"""Protocol v1, the text half: control messages to JSON and back.

Pure: no I/O, no clock. The messages are in `clavilux.server.protocol.messages`, the binary half in
`clavilux.server.protocol.binary`. Whatever comes in, nothing but ProtocolError is raised.
"""

import json
from typing import Annotated

import msgspec

from clavilux.runtime.errors import ProtocolError
from clavilux.runtime.refused_json import shortened
from clavilux.server.protocol.decoding import MessageDecoder
from clavilux.server.protocol.messages import ClientMessage, ErrorEvent, ServerMessage, SoundFormat, Start
from clavilux.server.protocol.words import ERROR_CHARACTERS, MESSAGE_BYTES, MESSAGE_ID_CHARACTERS, ErrorCode, Role

CLIENT: MessageDecoder[ClientMessage] = MessageDecoder(ClientMessage)
SERVER: MessageDecoder[ServerMessage] = MessageDecoder(ServerMessage)


class _Named(msgspec.Struct):
    """Any message, of which nothing matters but its name."""

    id: Annotated[str, msgspec.Meta(max_length=MESSAGE_ID_CHARACTERS)] | None = None


_NAMED = msgspec.json.Decoder(_Named)


def encode(message: ClientMessage | ServerMessage) -> str:
    """Return the message as one line of JSON, pure ASCII. Raises ValueError for a number that is not finite."""
    # json writes what msgspec has laid out: msgspec itself would say null for NaN, and fail for a lone surrogate,
    # which the name of a file may hold.
    return json.dumps(msgspec.to_builtins(message), separators=(",", ":"), allow_nan=False)


def parse_text(text: str) -> ClientMessage:
    """Read what a client sent.

    Raises ProtocolError: "too_large", "bad_message", "bad_sound" or "unknown_type".
    """
    if len(text) > MESSAGE_BYTES or len(text.encode("utf-8", "surrogatepass")) > MESSAGE_BYTES:
        line = f"a text message of {len(text)} characters; at most {MESSAGE_BYTES} bytes go"
        raise ProtocolError(ErrorCode.TOO_LARGE, line)
    message = CLIENT.decode(text)
    if isinstance(message, Start) and message.sound is not None and message.role == Role.VIEWER:
        line = "start.sound is set for a viewer; only a performer sends sound"
        raise ProtocolError(ErrorCode.BAD_MESSAGE, line)
    if isinstance(message, Start) and message.sound is not None:
        _check_use(message.sound)
    return message


def _check_use(sound: SoundFormat) -> None:
    """Raise ProtocolError "bad_sound" for a channel that is chosen twice, or that the sound has not."""
    use = list(sound.use or ())
    if len(set(use)) < len(use):
        raise ProtocolError(ErrorCode.BAD_SOUND, f"start.sound.use is {use}; expected each channel once")
    if max(use, default=1) > sound.channels:
        line = f"start.sound.use has channel {max(use)}; the sound has {sound.channels}, counted from 1"
        raise ProtocolError(ErrorCode.BAD_SOUND, line)


def parse_event(text: str) -> ServerMessage | None:
    """Read what a server sent; None for a type this client does not know. Raises ProtocolError "bad_message"."""
    try:
        return SERVER.decode(text)
    except ProtocolError as error:
        if error.code == ErrorCode.UNKNOWN_TYPE:
            return None
        raise


def message_id(text: str) -> str | None:
    """Return the `id` of a message that may be wrong in all else, None if it has none that an error could answer."""
    if len(text) > MESSAGE_BYTES:
        return None
    try:
        return _NAMED.decode(text).id
    except (ValueError, RecursionError):  # of what is no JSON, or nests deeper than msgspec reads
        return None


def error_event(error: ProtocolError, *, fatal: bool = False, reply_to: str | int | None = None) -> ErrorEvent:
    """Return the event that reports `error`, its message cut to one line of ERROR_CHARACTERS."""
    return ErrorEvent(error.code, shortened(" ".join(str(error).split()), ERROR_CHARACTERS), fatal, reply_to)
