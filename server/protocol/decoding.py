"""JSON that came over the wire to messages; whatever is wrong becomes one ProtocolError of one line.

Pure: no I/O. msgspec reads and checks. What it refuses is read again, for the protocol allows a little more: a whole
number may be written 3.0, JSON having only one kind, and text may hold lone surrogates, which JavaScript writes and
names of files have. Of a key that comes twice the last value counts.
"""

import json
from typing import Any, Generic, TypeVar, get_args

import msgspec

from clavilux.runtime.errors import ProtocolError
from clavilux.runtime.refused_json import MISSING, Part, constant, integer, shown
from clavilux.server.protocol.words import ErrorCode

MAX_BRACKETS = 300  # no message needs more, and deeper nesting than the interpreter bears must not get in

SECRETS = ("token", "session")  # fields whose values no error repeats

M = TypeVar("M")


def brief(value: object) -> str:
    """Return `value` as messages show it, cut to SHOWN_CHARACTERS."""
    return shown(value)


class MessageDecoder(Generic[M]):
    """Decoder for one direction: JSON text to a member of a union of tagged Structs.

    Fields nobody knows are ignored, so that the protocol can grow.
    """

    def __init__(self, union: Any) -> None:
        self.types: dict[str, type[M]] = {kind.__struct_config__.tag: kind for kind in get_args(union)}
        self._decoder: msgspec.json.Decoder[M] = msgspec.json.Decoder(union)

    def decode(self, text: str) -> M:
        """Return the message in `text`. Raises ProtocolError "bad_message", "bad_sound" or "unknown_type"."""
        if text.count("[") + text.count("{") > MAX_BRACKETS:
            raise _bad(f"more than {MAX_BRACKETS} brackets in one message; expected a flat object")
        try:
            return self._decoder.decode(text)
        except ValueError:
            return self._look_again(_object(text))

    def _look_again(self, body: dict[str, Any]) -> M:
        kind = self.types.get(body["type"])
        if kind is None:
            line = f"no message type {brief(body['type'])}; there are {', '.join(self.types)}"
            raise ProtocolError(ErrorCode.UNKNOWN_TYPE, line)
        for part in list(Part(body, kind).pointed()):
            _make_whole(body, part)
        if misfit := Part(body, kind).misfit():
            raise _refusal(body["type"], misfit)
        return msgspec.convert(body, kind)


def _object(text: str) -> dict[str, Any]:
    """Read the text of a message that msgspec refused."""
    try:
        body = json.loads(text, parse_constant=constant, parse_int=integer)
    except ValueError as error:
        raise _bad(f"text {brief(text)} cannot be read as JSON ({error}); expected one object") from None
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise _bad(f'found {brief(body)}; expected an object with a string "type"')
    return body


def _make_whole(body: dict[str, Any], part: Part) -> None:
    """Write a number without its point."""
    *way, name = part.path
    holder: Any = body
    for step in way:
        holder = holder[step]
    holder[name] = int(part.found)  # type: ignore[call-overload]


def _refusal(root: str, misfit: Part) -> ProtocolError:
    *way, name = root, *map(str, misfit.path)
    code = ErrorCode.BAD_SOUND if way[:2] == ["start", "sound"] else ErrorCode.BAD_MESSAGE
    if misfit.found is MISSING:
        return ProtocolError(code, f'{".".join(way)} has no "{name}"; it is required')
    return ProtocolError(code, misfit.line(root, ".", _hidden if name in SECRETS else brief))


def _hidden(_value: object) -> str:
    return "of another kind"


def _bad(line: str) -> ProtocolError:
    return ProtocolError(ErrorCode.BAD_MESSAGE, line)
