"""The map of the code, docs/rooms.md, is what the docstrings say."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

SCRIPT = Path("docs") / "make_map.py"
PACKAGES = ("clavilux", "runtime", "server", "export", "training", "benchmarks")


def make_map(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script that lies in `root`."""
    command = [sys.executable, str(root / SCRIPT), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def small_house(tmp_path: Path) -> Path:
    """Return a tree with the script, every package, and one room with one module."""
    for folder in ("docs", *PACKAGES, "runtime/hearing"):
        (tmp_path / folder).mkdir()
        if folder != "docs":
            (tmp_path / folder / "__init__.py").write_text(f'"""The room {folder}.\n\nMore of it.\n"""\n')
    ear = tmp_path / "runtime" / "hearing" / "ear.py"
    ear.write_text('"""An ear, `a * b` of it and a_b * c."""\nimport nowhere\n')
    shutil.copy(ROOT / SCRIPT, tmp_path / SCRIPT)
    return tmp_path


def test_the_map_says_of_every_room_and_module_what_its_docstring_says() -> None:
    done = make_map(ROOT, "--check")
    assert done.returncode == 0, done.stderr


def test_a_fresh_map_is_not_stale(small_house: Path) -> None:
    assert make_map(small_house).returncode == 0
    assert make_map(small_house, "--check").returncode == 0


def test_a_room_and_its_modules_have_a_line_each(small_house: Path) -> None:
    make_map(small_house)
    page = (small_house / "docs" / "rooms.md").read_text()
    assert "## runtime/hearing\n\nThe room runtime/hearing.\n\n" in page
    assert "\n* `ear.py`: An ear, `a * b` of it and a\\_b \\* c.\n" in page
    assert "More of it" not in page


def test_links_to_other_packages_are_no_rooms(small_house: Path) -> None:
    (small_house / "clavilux" / "runtime").symlink_to("../runtime")
    make_map(small_house)
    assert "clavilux/runtime" not in (small_house / "docs" / "rooms.md").read_text()


def test_a_stale_map_is_one_line_that_says_how_to_draw_it_anew(small_house: Path) -> None:
    make_map(small_house)
    (small_house / "runtime" / "hearing" / "ear.py").write_text('"""Another ear."""\n')
    done = make_map(small_house, "--check")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["make_map: docs/rooms.md is stale; run: python docs/make_map.py"]


@pytest.mark.parametrize("missing", ["docstring", "room"])
def test_what_has_no_docstring_is_named(small_house: Path, missing: str) -> None:
    room = small_house / "runtime" / "hearing"
    if missing == "docstring":
        (room / "ear.py").write_text("EARS = 2\n")
    else:
        (room / "__init__.py").unlink()
    done = make_map(small_house)
    assert done.returncode == 1
    assert "hearing" in done.stderr
    assert len(done.stderr.splitlines()) == 1
