"""Tests that need torch or a browser are marked so by their imports, whichever way these lead, and so ordered."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import marks_for, needed, spread, unasked, uncounted
from tests.imports import needs
from tests.paths import ROOT

EXPRESSION = "not torch and not browser and not slow"


def item(file: Path, name: str, *fixtures: str) -> SimpleNamespace:
    """A collected test as far as marks look at it."""
    return SimpleNamespace(path=file, name=f"{name}[1]", originalname=name, fixturenames=list(fixtures))


def test_a_file_that_imports_torch_is_marked():
    assert marks_for(needs(ROOT / "tests" / "tiny.py")) == ["torch"]


def test_a_file_that_plays_in_a_browser_is_marked():
    assert marks_for(needs(ROOT / "tests" / "server" / "page" / "browser.py")) == ["browser"]


def test_a_file_that_needs_neither_is_not():
    assert marks_for(needs(Path(__file__))) == []


def test_a_test_that_imports_torch_itself_is_marked_and_its_neighbours_are_not():
    assert marks_for(needed(item(Path(__file__), "needs_torch"))) == ["torch"]
    assert marks_for(needed(item(Path(__file__), "item"))) == []


def needs_torch() -> None:
    """Stand for a test that imports torch where it needs it; nothing calls it."""
    import torch  # noqa: F401


@pytest.mark.parametrize(
    ("fixture", "marks"), [("tiny_checkpoints", ["torch"]), ("tiny_bundle", []), ("flexible_bundle", [])]
)
def test_checkpoints_need_torch_and_bundles_do_not(fixture: str, marks: list[str]):
    assert marks_for(needed(item(Path(__file__), "test_that_plays", fixture))) == marks


@pytest.mark.parametrize(
    ("expression", "expected"),
    [(EXPRESSION, True), ("not torch", True), ("", False), ("torch", False), ("not torch or slow", False)],
)
def test_files_are_left_out_only_where_all_of_their_tests_would_be(expression: str, expected: bool):
    assert unasked("torch", SimpleNamespace(getoption=lambda _: expression)) is expected


def test_files_of_a_kind_are_spread_among_the_others_in_their_order():
    few, many = [Path("b0"), Path("b1")], [Path(f"t{i}") for i in range(6)]
    assert [path.name for path in spread(few, many)] == ["t0", "b0", "t1", "t2", "t3", "b1", "t4", "t5"]
    assert spread([], many) == many


def test_what_is_traced_is_not_counted_and_what_follows_is():
    before, seen = sys.gettrace(), []
    sys.settrace(trace := lambda *_: None)
    try:
        uncounted(lambda: seen.append(sys.gettrace()))()
        seen.append(sys.gettrace())
    finally:
        sys.settrace(before)
    assert seen == [None, trace]
