"""Reads checked fields out of JSON that came over the wire; whatever is wrong becomes one ProtocolError.

Pure: no I/O. Every message says which field, what was found and what was expected.
"""

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from clavilux.runtime.errors import ProtocolError

SHOWN_CHARACTERS = 60  # of an offending value, in an error message
MOST_BRACKETS = 300  # no message needs more, and deeper nesting than the interpreter bears must not get in
LARGEST_NUMBER = 1e300
REQUIRED: Any = object()  # the default of a field that must be there


def brief(value: object) -> str:
    """Return `value` as Python shows it, cut to SHOWN_CHARACTERS."""
    shown = repr(value)
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 1] + "…"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def read_object(text: str) -> "Fields":
    """Parse `text` as one JSON object with a "type". Raises ProtocolError "bad_message"."""
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        raise ProtocolError("bad_message", f"more than {MOST_BRACKETS} brackets in one message; expected a flat object")
    try:
        body = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ProtocolError("bad_message", f"text {brief(text)} is not JSON ({error}); expected one object") from None
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise ProtocolError("bad_message", f'found {brief(body)}; expected an object with a string "type"')
    return Fields(body["type"], body)


class Fields:
    """One JSON object, read field by field. Fields nobody asks for are ignored, so that the protocol can grow."""

    def __init__(self, place: str, body: dict[str, Any]) -> None:
        self.place = place  # the message type, or type.field for a nested object
        self._body = body

    def text(self, name: str, limit: int, default: Any = REQUIRED) -> Any:
        """Return a string of at most `limit` characters."""
        value = self._find(name, default)
        if value is not default and not (isinstance(value, str) and len(value) <= limit):
            self._refuse(name, value, f"a string of at most {limit} characters")
        return value

    def choice(self, name: str, options: Iterable[str], default: Any = REQUIRED) -> str:
        """Return one of `options`."""
        value = self._find(name, default)
        if not isinstance(value, str) or value not in options:
            self._refuse(name, value, f"one of {', '.join(options)}")
        return str(value)

    def integer(self, name: str, low: int, high: int, default: Any = REQUIRED) -> int:
        """Return a whole number from `low` to `high`; 3.0 is a whole number too, for JSON has only one kind."""
        value = self.number(name, default)
        if value != value // 1 or not low <= value <= high:
            self._refuse(name, value, f"a whole number, {low} to {high}")
        return int(value)

    def number(self, name: str, default: Any = REQUIRED) -> float:
        """Return a finite number, as it came (int or float)."""
        value = self._find(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST_NUMBER:
            self._refuse(name, value, "a number")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._find(name, REQUIRED)
        if not isinstance(value, bool):
            self._refuse(name, value, "true or false")
        return bool(value)

    def strings(self, name: str) -> tuple[str, ...]:
        """Return a list of strings as a tuple."""
        value = self._find(name, REQUIRED)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._refuse(name, value, "a list of strings")
        return tuple(value)

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a JSON object as it is."""
        value = self._find(name, REQUIRED)
        if not isinstance(value, dict):
            self._refuse(name, value, "an object")
        return dict(value)

    def nested(self, name: str) -> "Fields | None":
        """Return a JSON object for reading, or None where the field is null or absent."""
        if self._body.get(name) is None:
            return None
        return Fields(f"{self.place}.{name}", self.mapping(name))

    def _find(self, name: str, default: Any) -> Any:
        value = self._body.get(name, default)
        if value is REQUIRED:
            raise ProtocolError("bad_message", f'{self.place} has no "{name}"; it is required')
        return value

    def _refuse(self, name: str, value: object, expected: str) -> NoReturn:
        raise ProtocolError("bad_message", f"{self.place}.{name} is {brief(value)}; expected {expected}")
