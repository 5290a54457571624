"""Bounds on the fields of JSON from outside, and the words that a message has for them.

    width: Annotated[int, whole(1, 16384)]
    manifest = decode(text, Manifest, "bundle.json")

msgspec checks them; `clavilux.runtime.refused_json` finds what it refuses.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, TypeVar

import msgspec
from msgspec import Meta

from clavilux.runtime.errors import BundleError
from clavilux.runtime.refused_json import MISSING, Part, constant, integer, shown, whole_words

MAX_TEXT = 500
"""Characters in one line of text, at most."""

_Kind = TypeVar("_Kind")


def whole(low: int, high: int, step: int | None = None) -> Meta:
    """Return the bounds of a whole number, low..high, and a multiple of `step` where there is one."""
    multiple = f", a multiple of {step}" if step else ""
    return Meta(ge=low, le=high, multiple_of=step, description=whole_words(low, high) + multiple)


def number(low: float, high: float) -> Meta:
    """Return the bounds of a number, low..high."""
    return Meta(ge=low, le=high, description=f"a number, {low:g} to {high:g}")


def line(shortest: int = 0) -> Meta:
    """Return the bounds of one line of text, `shortest` characters or more."""
    words = f"one line of text, {shortest} to {MAX_TEXT} characters"
    return Meta(min_length=shortest, max_length=MAX_TEXT, description=words)


def one_of(words: Sequence[str]) -> Meta:
    """Return the bounds of a word that is one of `words`."""
    return Meta(pattern=rf"\A({'|'.join(words)})\Z", description=f"one of {', '.join(words)}")


def decode(text: str, kind: type[_Kind], name: str) -> _Kind:
    """Return the JSON `text` as a dataclass of the type `kind`, all of whose texts are single lines.

    Unknown keys are left out; of a key that stands twice in an object, both values must fit and the last one
    counts. Raises BundleError, naming the field in the document `name`, what was found and what was expected.
    """
    try:
        decoded = msgspec.json.decode(text, type=kind)
    except (ValueError, RecursionError) as refusal:
        raise BundleError(_refusal(text, kind, name, refusal)) from refusal
    for where, value in _texts(decoded, name):
        if not value.isprintable():
            raise BundleError(f"{where} is {show(value)}; expected one line of text")
    return decoded


def show(value: object) -> str:
    """Return `value` for a message: short, and "missing" for what is not there."""
    return "missing" if value is None or value is MISSING else shown(value)


def _refusal(text: str, kind: Any, name: str, reason: Exception) -> str:
    """Return the line about JSON that msgspec refused for a `reason`."""
    try:
        if misfit := Part(json.loads(text, parse_int=integer), kind).misfit():
            return misfit.line(name, ": ", show)
        json.loads(text, parse_constant=constant, parse_int=integer)
    except (ValueError, RecursionError) as error:
        reason = error
    else:  # Python reads it: of a key that stands twice it sees the last one alone, and any text is text to it
        twice = isinstance(reason, msgspec.ValidationError)
        found = "has a key twice, once with a wrong value" if twice else "holds what cannot be read"
        return f"{name} {found} ({reason}); export the bundle again"
    return f"{name} is not JSON ({reason}); export the bundle again"


def _texts(value: object, where: str) -> Iterator[tuple[str, str]]:
    """Yield every text in a decoded value, and the way to it."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from _texts(part, f"{where}[{i}]")
    elif isinstance(value, Mapping) or is_dataclass(value):
        for name, part in (value if isinstance(value, Mapping) else vars(value)).items():
            yield from _texts(part, f"{where}: {name}")
