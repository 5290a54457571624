"""Needs of a file, read from its imports without running it: for marks in tests, and for keys of what is made.

Imports count that are made while the file itself is imported, through all modules of this checkout. Those under
TYPE_CHECKING never happen; those inside a function belong to that function: see `inside`.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.paths import ROOT

OWN = ("clavilux", "tests")


@cache
def needs(file: Path) -> frozenset[str]:
    """Return the dotted names of all modules that importing `file` imports, of this checkout and foreign ones."""
    return frozenset(_followed(_direct(file)))


@cache
def inside(file: Path, function: str) -> frozenset[str]:
    """Return what calling the module's function `function` imports by statements of its own; nothing where none is."""
    return frozenset(_followed(_by_function(file).get(function, ())))


def source(name: str) -> Path | None:
    """Return the file of a module of this checkout by its dotted name; None for everything else."""
    return _source(name, ROOT) if name.partition(".")[0] in OWN else None


@cache
def _source(name: str, root: Path) -> Path | None:
    place = root.joinpath(*name.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def _followed(names: Iterable[str]) -> set[str]:
    """Return `names` and all that importing them imports."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            file = source(name)
            waiting += _direct(file) if file else ()
    return found


@cache
def _direct(file: Path) -> tuple[str, ...]:
    """Return what a file imports by statements of its own, after the packages that it lies in."""
    folders = file.relative_to(ROOT).parts[:-1]
    words = folders if folders[0] in OWN else ("clavilux", *folders)  # a folder that `clavilux/` links to
    packages = [".".join(words[: i + 1]) for i in range(len(words))]
    return (*packages, *(name for one in _at_import(_parsed(file)) for name in _named(one)))


@cache
def _by_function(file: Path) -> dict[str, tuple[str, ...]]:
    """Return what the module's functions import by statements of their own, by their names."""
    own = [one for one in _parsed(file).body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {one.name: tuple(name for inner in ast.walk(one) for name in _named(inner)) for one in own}


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Give the statements that run while a module is imported."""
    for one in _statements(node):
        later = isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        never = isinstance(one, ast.If) and isinstance(one.test, ast.Name) and one.test.id == "TYPE_CHECKING"
        if not later and not never:
            yield one
            yield from _at_import(one)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Give the statements that stand in a node, or are part of one that does: no import stands in an expression."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, field, ())
        for one in inner if isinstance(inner, list) else ():
            if isinstance(one, ast.stmt):
                yield one
            else:
                yield from _statements(one)


def _named(statement: ast.AST) -> Iterable[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.module:
        members = (f"{statement.module}.{alias.name}" for alias in statement.names)
        return [statement.module, *(name for name in members if source(name))]
    return []


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))
