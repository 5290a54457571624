"""House rules that no other tool holds: small interfaces, and docstrings that begin with the field's noun."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGES = ("clavilux", "runtime", "server", "export", "training", "benchmarks", "examples", "docs", "tests")
MAX_METHODS = 5
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def interfaces() -> list[tuple[str, list[str]]]:
    """Return each Protocol's name with the methods that it asks for itself; what it only sums up counts where it is."""
    found = []
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases):
                body = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
                found.append((f"{path.relative_to(ROOT)}:{node.name}", [one.name for one in body]))
    return found


@pytest.mark.parametrize(("name", "methods"), interfaces(), ids=lambda value: value if isinstance(value, str) else "")
def test_an_interface_has_at_most_five_methods(name: str, methods: list[str]) -> None:
    assert len(methods) <= MAX_METHODS


def test_interfaces_are_found() -> None:
    assert "runtime/providers/session.py:Session" in dict(interfaces())


def test_docstrings_begin_with_a_noun() -> None:
    culprits = [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
        for path in FILES
        for node in nodes(path)
        if isinstance(node, Documented) and (ast.get_docstring(node) or "").startswith("What ")
    ]
    assert culprits == []
