"""JSON that came over the wire to messages; whatever is wrong becomes one ProtocolError of one line.

Pure: no I/O. msgspec reads and checks. What it refuses is looked at again, for its errors tell the place but not the
value, and because the protocol allows a little more: a whole number may be written 3.0, JSON having only one kind.
Of a key that comes twice the last value counts.
"""

import json
import re
from typing import Any, Generic, NoReturn, TypeVar, get_args

import msgspec
from msgspec import inspect

from clavilux.runtime.errors import ProtocolError
from clavilux.server.protocol.words import ErrorCode

SHOWN_CHARACTERS = 60  # of an offending value, in an error message
MAX_BRACKETS = 300  # no message needs more, and deeper nesting than the interpreter bears must not get in
MISSING = re.compile(r"missing required field `(\w+)`")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
PATH = re.compile(r"at `\$\.(\w+(?:\.\w+)*)")  # ends before an index: the whole list or object is shown

M = TypeVar("M")


def brief(value: object) -> str:
    """Return `value` as Python shows it, cut to SHOWN_CHARACTERS."""
    shown = repr(value)
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 1] + "…"


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
        except msgspec.ValidationError:
            return self._look_again(_object(text))
        except ValueError as error:
            if not SURROGATE.search(text):
                raise _unreadable(text, error) from None
            return self._with_surrogates(text)

    def _with_surrogates(self, text: str) -> M:
        """Read text with lone surrogates, which msgspec refuses; JavaScript writes them, names of files hold them."""
        try:
            body = json.loads(text, parse_constant=_refuse_constant)
            return self._look_again(_checked(body))
        except UnicodeEncodeError:
            raise _bad(f"text {brief(text)} has a lone surrogate where none can be; expected a valid field") from None
        except ValueError as error:
            raise _unreadable(text, error) from None

    def _look_again(self, body: dict[str, Any]) -> M:
        kind = self.types.get(body["type"])
        if kind is None:
            line = f"no message type {brief(body['type'])}; there are {', '.join(self.types)}"
            raise ProtocolError(ErrorCode.UNKNOWN_TYPE, line)
        while True:
            try:
                return msgspec.convert(body, kind)
            except msgspec.ValidationError as error:
                _mend(body, inspect.type_info(kind), str(error))


def _object(text: str) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(text)
    except ValueError as error:
        raise _unreadable(text, error) from None
    return _checked(body)


def _checked(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise _bad(f'found {brief(body)}; expected an object with a string "type"')
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _mend(body: dict[str, Any], kind: inspect.Type, problem: str) -> None:
    """Make the number that `problem` is about whole if it is; raise ProtocolError for any other problem."""
    names = [*(name for path in PATH.findall(problem) for name in path.split(".")), *MISSING.findall(problem)]
    place, holder = body["type"], body
    for outer in names[:-1]:
        place, holder, kind = f"{place}.{outer}", holder[outer], _field(kind, outer)
    name, code = names[-1], ErrorCode.BAD_SOUND if place == "start.sound" else ErrorCode.BAD_MESSAGE
    if name not in holder:
        raise ProtocolError(code, f'{place} has no "{name}"; it is required')
    found, wanted = holder[name], _field(kind, name)
    if not (isinstance(wanted, inspect.IntType) and isinstance(found, float) and found.is_integer()):
        raise ProtocolError(code, f"{place}.{name} is {brief(found)}; expected {_phrase(wanted)}")
    holder[name] = int(found)


def _field(kind: Any, name: str) -> inspect.Type:
    """Return the type of a field; of one that may be null, what else it may be."""
    found: inspect.Type = next(field.type for field in kind.fields if field.encode_name == name)
    if isinstance(found, inspect.UnionType):  # of a number the float, which a whole one is as well
        return next((each for each in found.types if isinstance(each, inspect.FloatType)), found.types[0])
    return found


def _phrase(kind: inspect.Type) -> str:
    match kind:
        case inspect.EnumType(cls=words):
            return f"one of {', '.join(words)}"
        case inspect.IntType(ge=low, le=high):
            return f"a whole number, {low} to {high}"
        case inspect.FloatType(lt=high):
            return f"a number within ±{high:g}, of 64 signed bits if it is whole"
        case inspect.StrType(max_length=limit):
            return f"a string of at most {limit} characters"
        case inspect.BoolType():
            return "true or false"
        case inspect.VarTupleType():
            return "a list of strings"
        case _:
            return "an object"


def _unreadable(text: str, error: ValueError) -> ProtocolError:
    return _bad(f"text {brief(text)} cannot be read as JSON ({error}); expected one object")


def _bad(line: str) -> ProtocolError:
    return ProtocolError(ErrorCode.BAD_MESSAGE, line)
