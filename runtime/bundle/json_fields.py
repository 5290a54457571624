"""One object of a JSON document from outside, read field by field with checks of type and range.

Every message names the way to the field, what was found there and what was expected.
"""

from collections.abc import Sequence
from typing import Any

from clavilux.runtime.errors import BundleError

LONGEST_TEXT = 500
"""Characters in one line of text, at most."""

_LONGEST_SHOWN = 60  # characters of a wrong value that a message repeats


class Table:
    """One JSON object and the way to it; every method raises BundleError when the field is not as asked."""

    def __init__(self, found: object, where: str) -> None:
        if not isinstance(found, dict):
            raise BundleError(f"{where} is {show(found)}; expected an object")
        self.found: dict[str, Any] = found
        self.where = where

    def number(self, key: str, low: float, high: float) -> float:
        """Return the number at `key`, which must lie in low..high."""
        return _number(self.found.get(key), f"{self.where}: {key}", low, high)

    def integer(self, key: str, low: int, high: int) -> int:
        """Return the whole number at `key`, which must lie in low..high."""
        value = self.found.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BundleError(f"{self.where}: {key} is {show(value)}; expected a whole number, {low} to {high}")
        return value

    def numbers(self, key: str, low: float, high: float) -> tuple[float, ...]:
        """Return the list of numbers at `key`, each in low..high."""
        where = f"{self.where}: {key}"
        return tuple(_number(value, f"{where}[{i}]", low, high) for i, value in enumerate(self._list(key)))

    def text(self, key: str, *, shortest: int = 0) -> str:
        """Return the line of text at `key`, of `shortest` characters or more."""
        return _text(self.found.get(key), f"{self.where}: {key}", shortest)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the lines of text at `key`; none when it is missing."""
        values = self._list(key, optional=True)
        return tuple(_text(value, f"{self.where}: {key}[{i}]") for i, value in enumerate(values))

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """Return the word at `key`, which must be one of `choices`."""
        value = self.found.get(key)
        if not isinstance(value, str) or value not in choices:
            raise BundleError(f"{self.where}: {key} is {show(value)}; expected one of {', '.join(choices)}")
        return value

    def table(self, key: str) -> "Table":
        """Return the object at `key`."""
        return Table(self.found.get(key), f"{self.where}: {key}")

    def tables(self, key: str, *, optional: bool = False) -> "list[Table]":
        """Return the list of objects at `key`."""
        values = self._list(key, optional=optional)
        return [Table(value, f"{self.where}: {key}[{i}]") for i, value in enumerate(values)]

    def _list(self, key: str, *, optional: bool = False) -> list[Any]:
        value = self.found.get(key, [] if optional else None)
        if not isinstance(value, list):
            raise BundleError(f"{self.where}: {key} is {show(value)}; expected a list")
        return value


def show(value: object) -> str:
    """Return `value` for a message: short, and "missing" for what is not there."""
    if value is None:
        return "missing"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _number(value: object, where: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise BundleError(f"{where} is {show(value)}; expected a number, {low:g} to {high:g}")
    return float(value)


def _text(value: object, where: str, shortest: int = 0) -> str:
    if not isinstance(value, str) or not shortest <= len(value) <= LONGEST_TEXT or not value.isprintable():
        lengths = f"{shortest} to {LONGEST_TEXT} characters"
        raise BundleError(f"{where} is {show(value)}; expected one line of text, {lengths}")
    return value
