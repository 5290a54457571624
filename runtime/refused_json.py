"""JSON that msgspec refuses: its smallest part that does not fit, what was found there and what was expected.

    if misfit := Part(json.loads(text), Lamp).misfit():
        print(misfit.line("lamp", ".", repr))  # lamp.watts is 12; expected a whole number, 20 to 100

Pure. msgspec's own messages leave out the value that was found, and the key of a map. A document is a dataclass or a
Struct; a `description` among a field's bounds stands for the words that are made here of the other bounds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

MISSING = msgspec.UNSET
"""Value that is found where a required field is not there."""


def integer(written: str) -> int:
    """Return a whole number for `json.loads`. Raises ValueError for more digits than Python converts."""
    try:
        return int(written)
    except ValueError:  # Python's reason advises programmers to raise a limit of the interpreter
        raise ValueError(f"a number of {len(written)} digits") from None


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

    @property
    def expects_whole(self) -> bool:
        """Whether a whole number should stand here, or nothing."""
        return _bare(self.kind) is int

    def line(self, root: str, joint: str, show: Callable[[object], str]) -> str:
        """Return what is wrong: `joint` sets off the names that lead from `root` to the part, `show` writes a value."""
        place = root + "".join(f"[{step}]" if isinstance(step, int) else f"{joint}{step}" for step in self.path)
        expected = _words(inspect.type_info(self.kind))
        return f"{place} {'has the key' if self.is_key else 'is'} {show(self.found)}; expected {expected}"

    def _fits(self) -> bool:
        try:  # a key is text in JSON, whatever it stands for
            msgspec.convert(self.found, self.kind, strict=not self.is_key, str_keys=True)
        except ValueError:  # a lone surrogate, which Python reads from JSON, is no text either
            return False
        return self.found is not MISSING  # which Any would take

    def _parts(self) -> Iterator["Part"]:
        kind = _bare(self.kind)
        match self.found, get_args(kind):
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


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata(extra_json_schema={"description": words}):
            return str(words)
        case inspect.UnionType(types=kinds):
            return " or ".join(_words(each) for each in kinds if not isinstance(each, inspect.NoneType))
        case inspect.EnumType(cls=words):
            return f"one of {', '.join(str(word.value) for word in words)}"
        case inspect.IntType(ge=low, le=high):
            return "a whole number" + ("" if low is None or high is None else f", {low} to {high}")
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
