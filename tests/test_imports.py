"""Needs of a file are read as Python would import it."""

from pathlib import Path

import pytest

from tests import imports
from tests.imports import inside, needs, source
from tests.paths import ROOT


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of one's own; `tests/` is a package."""
    monkeypatch.setattr(imports, "ROOT", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()
    return tmp_path


def write(checkout: Path, name: str, *lines: str) -> Path:
    file = checkout / "tests" / f"{name}.py"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_imports_are_followed_through_own_modules(checkout: Path):
    write(checkout, "far", "from torch.nn import Linear")
    write(checkout, "near", "import tests.far as other")
    assert needs(write(checkout, "here", "from tests import near")) >= {"tests.near", "tests.far", "torch.nn"}


def test_modules_that_import_each_other_are_followed_once(checkout: Path):
    write(checkout, "one", "import tests.two")
    assert needs(write(checkout, "two", "import tests.one")) == {"tests", "tests.one", "tests.two"}


def test_packages_are_imported_before_what_lies_in_them(checkout: Path):
    (checkout / "tests" / "__init__.py").write_text("import torch\n")
    assert "torch" in needs(write(checkout, "here"))


@pytest.mark.parametrize(
    "lines",
    [
        ("try:", "    import torch", "except ImportError:", "    pass"),
        ("class Inside:", "    import torch"),
        ("if True:", "    from torch import nn"),
        ("try:", "    import other", "except ImportError:", "    import torch"),
        ("for _ in ():", "    pass", "else:", "    with open('here'):", "        import torch"),
        ("match 1:", "    case 1:", "        import torch"),
    ],
)
def test_every_statement_that_runs_on_import_counts(checkout: Path, lines: tuple[str, ...]):
    assert "torch" in needs(write(checkout, "here", *lines))


@pytest.mark.parametrize(
    "lines",
    [
        ("def later():", "    import torch"),
        ("async def later():", "    import torch"),
        ("from typing import TYPE_CHECKING", "if TYPE_CHECKING:", "    import torch"),
        ("text = 'import torch'",),
    ],
)
def test_what_does_not_run_on_import_does_not_count(checkout: Path, lines: tuple[str, ...]):
    assert "torch" not in needs(write(checkout, "here", *lines))


def test_what_a_function_imports_is_its_own(checkout: Path):
    write(checkout, "far", "import torch")
    file = write(
        checkout, "here", "def test_a():", "    if True:", "        import tests.far", "def test_b():", "    pass"
    )
    assert "torch" in inside(file, "test_a")
    assert inside(file, "test_b") == inside(file, "test_c") == frozenset()


def test_a_module_is_found_by_its_name_and_what_is_foreign_is_not():
    assert source("tests.imports") == ROOT / "tests" / "imports.py"
    assert source("clavilux.runtime") == ROOT / "clavilux" / "runtime" / "__init__.py"
    assert source("numpy") is source("tests.nowhere") is None
