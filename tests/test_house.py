"""House rules that no other tool holds: small interfaces, and docstrings that begin with the field's noun."""

import ast
from collections.abc import Iterator
from functools import cache

from tests.paths import ROOT

PACKAGES = ("clavilux", "runtime", "server", "export", "training", "benchmarks", "examples", "docs", "tests")
MAX_METHODS = 5
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@cache
def documented() -> list[tuple[str, Documented]]:
    """Return all modules, classes and functions with the places where they stand."""
    modules = [(path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))) for path in FILES]
    return [(f"{file}:{getattr(node, 'lineno', 1)}", node) for file, module in modules for node in within(module)]


def within(node: ast.AST) -> Iterator[Documented]:
    """Give a node and what is defined in it: no definition stands in an expression."""
    if isinstance(node, Documented):
        yield node
    if not isinstance(node, ast.expr):
        for one in ast.iter_child_nodes(node):
            yield from within(one)


def test_an_interface_has_at_most_five_methods() -> None:
    """Methods count that a Protocol asks for itself, not those of what it sums up."""
    methods = {
        (place, node.name): sum(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) for one in node.body)
        for place, node in documented()
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
    }
    assert "Session" in {name for _, name in methods}
    assert {place: count for place, count in methods.items() if count > MAX_METHODS} == {}


def test_docstrings_begin_with_a_noun() -> None:
    """Those of modules, classes and functions, and those that stand below a name."""
    told = [
        (place, one.value.value)
        for place, node in documented()
        for one in node.body
        if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str)
    ]
    assert [place for place, text in told if text.startswith("What ")] == []
    assert len(told) > len(FILES)
