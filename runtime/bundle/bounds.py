"""Bounds on the fields of JSON from outside, and the words that a message has for them.

    width: Annotated[int, whole(1, 16384)]
    manifest = decode(text, Manifest, "bundle.json")

msgspec checks them. Its own messages leave out the value that was found, so a document that it refuses is gone through
once more, part by part, down to the smallest part that does not fit.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from clavilux.runtime.errors import BundleError

MAX_TEXT = 500
"""Characters in one line of text, at most."""

_MAX_SHOWN = 60  # characters of a wrong value that a message repeats
_Kind = TypeVar("_Kind")


def whole(low: int, high: int, step: int | None = None) -> Meta:
    """Return the bounds of a whole number, low..high, and a multiple of `step` where there is one."""
    multiple = f", a multiple of {step}" if step else ""
    return Meta(ge=low, le=high, multiple_of=step, description=f"a whole number, {low} to {high}{multiple}")


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
        reason = _explain(text, kind, name) or refusal
        twice = isinstance(reason, msgspec.ValidationError)  # Python sees the last one alone
        found = "has a key twice, once with a wrong value" if twice else "is not JSON"
        raise BundleError(f"{name} {found} ({reason}); export the bundle again") from refusal
    for where, value in _texts(decoded, name):
        if not value.isprintable():
            raise BundleError(f"{where} is {show(value)}; expected one line of text")
    return decoded


def show(value: object) -> str:
    """Return `value` for a message: short, and "missing" for what is not there."""
    if value is None:
        return "missing"
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."


def _explain(text: str, kind: Any, name: str) -> Exception | None:
    """Raise BundleError for JSON that is not of its kind; return why it is no JSON, or None when Python takes it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        return error
    _refuse(found, kind, name)
    return None


def _refuse(found: object, kind: Any, where: str) -> None:
    """Raise BundleError for the smallest part of `found` that is not of its kind; return when there is none."""
    if _fits(found, kind):
        return
    for part in _parts(found, kind, where):
        _refuse(*part)
    raise BundleError(f"{where} is {show(found)}; expected {_expected(kind)}")


def _fits(found: object, kind: Any, *, strict: bool = True) -> bool:
    try:
        msgspec.convert(found, kind, strict=strict, str_keys=True)
    except ValueError:  # a lone surrogate, which Python reads from JSON, is no text either
        return False
    return True


def _parts(found: object, kind: Any, where: str) -> list[tuple[object, Any, str]]:
    """Return what `found` consists of, with its kinds and the ways to it; raise BundleError for a key that is none."""
    kind = get_args(kind)[0] if isinstance(kind, UnionType) else kind
    if isinstance(found, list) and get_origin(kind) is tuple:
        return [(value, get_args(kind)[0], f"{where}[{i}]") for i, value in enumerate(found)]
    if isinstance(found, dict) and get_origin(kind) is dict:
        keys, values = get_args(kind)
        for key in found:
            if not _fits(key, keys, strict=False):  # JSON's keys are texts, whatever they stand for
                raise BundleError(f"{where} has the key {show(key)}; expected {_expected(keys)}")
        return [(value, values, f"{where}: {key}") for key, value in found.items()]
    if isinstance(found, dict) and is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        names = [one.name for one in fields(kind) if one.name in found or one.default is MISSING]
        return [(found.get(name), hints[name], f"{where}: {name}") for name in names]
    return []


def _expected(kind: Any) -> str:
    for bounds in getattr(kind, "__metadata__", ()):
        return str(bounds.description)
    return "a list" if get_origin(kind) is tuple else "an object"


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
