"""JSON that msgspec refuses: its smallest part that does not fit, what was found there and what was expected.

    if misfit := Part(json.loads(text), Lamp).misfit():
        print(misfit.line("lamp", ".", repr))  # lamp.watts is 12; expected a whole number, 20 to 100

Pure. msgspec's own messages leave out the value that was found, and the key of a map. A document is a dataclass or a
Struct; a `description` among a field's bounds stands for the words that are made here of the other bounds.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

MISSING = msgspec.UNSET
"""Value that is found where a required field is not there."""


SHOWN_CHARACTERS = 60
"""Characters of a wrong value that a message repeats."""

WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
"""Whole numbers as JSON writes them."""

MAX_BITS = 1000
"""Bits of the largest whole number that is written out: of more digits Python writes none."""

FEW = 32
"""Parts that are looked at without asking how many there may be."""

MAX_NAME = 40
"""Characters of the longest name that is written as it is."""


def whole_words(low: int | None, high: int | None) -> str:
    """Return the words for a whole number that is `low` at least and `high` at most."""
    if low is None or high is None:
        return "a whole number"
    return f"{low}" if low == high else f"a whole number, {low} to {high}"


def integer(written: str) -> int:
    """Return a whole number for `json.loads`. Raises ValueError for more digits than Python converts."""
    try:
        return int(written)
    except ValueError:  # Python's reason advises programmers to raise a limit of the interpreter
        raise ValueError(f"a number of {len(written)} digits") from None


def clipped(value: object, characters: int) -> object:
    """Return what a JSON value holds of its first `characters` characters: to write all of it may take very long."""
    match value:
        case str():
            return value[:characters]
        case list() | tuple():
            return type(value)(clipped(each, characters) for each in value[:characters])
        case dict():
            first = islice(value.items(), characters)
            return {clipped(key, characters): clipped(each, characters) for key, each in first}
        case _:
            return value


def shown(value: object) -> str:
    """Return `value` as Python shows it, but for the words that JSON has of its own, cut to SHOWN_CHARACTERS."""
    return shortened(repr(_worded(clipped(value, SHOWN_CHARACTERS))), SHOWN_CHARACTERS)


class _Word(str):
    """A word that is shown without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _worded(value: object) -> object:
    """Return a value whose true, false, null and lists are shown as JSON writes them, and long numbers by length."""
    match value:
        case None:
            return _Word("null")
        case bool():
            return _Word(str(value).lower())
        case int() if value.bit_length() > MAX_BITS:
            return _Word(f"a number of {round(value.bit_length() * math.log10(2))} digits")
        case list() | tuple():
            return [_worded(each) for each in value]
        case dict():
            return {key: _worded(each) for key, each in value.items()}
        case _:
            return value


def shortened(text: str, characters: int) -> str:
    """Return a text, or so many characters of it, which end in a sign that it goes on."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def constant(written: str) -> float:
    """Refuse NaN and Infinity for `json.loads`, which Python reads and JSON has not. Raises ValueError."""
    raise ValueError(f"{written} is no number of JSON")


@dataclass(frozen=True)
class Part:
    """Part of a document, or the whole, and what it should be."""

    found: object
    kind: Any  # a type with its bounds
    path: tuple[str | int, ...] = ()  # the way there: names, keys, indices
    is_key: bool = False  # it is one of the keys at `path`

    def misfit(self) -> "Part | None":
        """Return the first of the smallest parts that msgspec refuses, or None if it takes all.

        Raises RecursionError for nesting deeper than the interpreter bears.
        """
        return None if self._fits() else next(filter(None, map(Part.misfit, self._parts())), self)

    def pointed(self) -> "Iterator[Part]":
        """Yield the smallest parts where a whole number should stand, and one is written with a point: 3.0."""
        if _bare(self.kind) is int and isinstance(self.found, float) and self.found.is_integer():
            yield self
        for part in self._parts():
            yield from part.pointed()

    def line(self, root: str, joint: str, show: Callable[[object], str]) -> str:
        """Return what is wrong: `joint` sets off the names that lead from `root` to the part, `show` writes a value."""
        steps = (f"[{step}]" if isinstance(step, int) else joint + _name(step, show) for step in self.path)
        place = root + "".join(steps)
        expected = _words(inspect.type_info(self.kind))
        return f"{place} {'has the key' if self.is_key else 'is'} {show(self.found)}; expected {expected}"

    def _fits(self) -> bool:
        if self.is_key and _bare(self.kind) is int and not WHOLE.fullmatch(str(self.found)):
            return False  # `convert` takes "1.0" for a whole number, JSON's reader does not
        try:  # a key is text in JSON, whatever it stands for
            msgspec.convert(self.found, self.kind, strict=not self.is_key, str_keys=True)
        except ValueError:  # a lone surrogate, which Python reads from JSON, is no text either
            return False
        return self.found is not MISSING  # which Any would take

    def _parts(self) -> Iterator["Part"]:
        kind = _bare(self.kind)
        match self.found, get_args(kind):
            case list(values) | dict(values), _ if len(values) > FEW and len(values) > _longest(self.kind):
                return  # no part of it is to blame, and to look at all of them takes long
            case list(values), (inner, end) if end is ... and inner is not str:  # the list itself says "of strings"
                yield from (Part(value, inner, (*self.path, i)) for i, value in enumerate(values))
            case dict(values), (keys, inner) if get_origin(kind) is dict:
                yield from (Part(key, keys, self.path, is_key=True) for key in values)
                yield from (Part(value, inner, (*self.path, key)) for key, value in values.items())
            case dict(values), ():
                kinds = get_type_hints(kind, include_extras=True)
                for field in getattr(inspect.type_info(kind), "fields", ()):
                    if (name := field.encode_name) in values or field.required:
                        yield Part(values.get(name, MISSING), kinds[field.name], (*self.path, name))


def _bare(kind: Any) -> Any:
    """Return a type without its bounds, and what else it is if it may be null."""
    inner = [each for each in get_args(kind) if each is not NoneType]
    optional = get_origin(kind) in (Union, UnionType) and len(inner) == 1
    return _bare(inner[0]) if optional or get_origin(kind) is Annotated else kind


def _longest(kind: Any) -> float:
    """Return how many parts a list or an object of a type, which may be null as well, has at most."""
    found = inspect.type_info(kind)
    while isinstance(found, (inspect.Metadata, inspect.UnionType)):
        kinds = [found.type] if isinstance(found, inspect.Metadata) else list(found.types)
        found = next(each for each in kinds if not isinstance(each, inspect.NoneType))
    limit = getattr(found, "max_length", None)
    return math.inf if limit is None else limit


def _name(step: str, show: Callable[[object], str]) -> str:
    """Return a name on the way to a part, which may be a key that somebody made up."""
    return step if step.isascii() and step.replace("_", "").isalnum() and len(step) <= MAX_NAME else show(step)


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata(extra_json_schema={"description": words}):
            return str(words)
        case inspect.UnionType(types=kinds):
            return " or ".join(_words(each) for each in kinds if not isinstance(each, inspect.NoneType))
        case inspect.EnumType(cls=words):
            return f"one of {', '.join(str(word.value) for word in words)}"
        case inspect.IntType(ge=low, le=high):
            return whole_words(low, high)
        case inspect.FloatType():
            return "a number"
        case inspect.StrType(max_length=limit):
            return "a string" + ("" if limit is None else f" of at most {limit} characters")
        case inspect.BoolType():
            return "true or false"
        case inspect.VarTupleType(item_type=item):
            return "a list of strings" if item == inspect.StrType() else "a list"
        case inspect.AnyType():
            return "any value"
        case _:
            return "an object"
