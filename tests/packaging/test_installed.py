"""Clavilux beside other people's files, and in an environment that has nothing but its wheel."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from PIL import Image

from tests.packaging.builds import FOLDERS, build, copy
from tests.paths import ROOT, SOUNDS

ALONE = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def python(*words: str, **settings: object) -> str:
    """Run this interpreter; return what it says."""
    return subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True, **settings).stdout


def test_scripts_called_as_its_folders_are_in_nobodys_way(tmp_path: Path):
    for name in FOLDERS:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    (tmp_path / "client.py").write_text(
        "from clavilux import connect, open_engine\nprint(connect.__module__, open_engine.__module__)\n"
    )
    told = python("client.py", cwd=tmp_path).split()
    assert all(name.startswith("clavilux.") for name in told)


@pytest.mark.parametrize("heavy", ["numpy", "onnxruntime", "torch"])
def test_the_name_alone_loads_nothing_heavy(heavy: str):
    assert python("-c", f"import sys, clavilux; print({heavy!r} in sys.modules)").strip() == "False"


def test_a_checkout_whose_links_are_text_says_so_in_one_line(tmp_path: Path) -> None:
    package = tmp_path / "clavilux"
    package.mkdir()
    for name in ("__init__.py", "__main__.py", "command.py"):
        shutil.copy(ROOT / "clavilux" / name, package / name)
    (package / "runtime").write_text("../runtime")
    done = subprocess.run([sys.executable, "-m", "clavilux"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "run: git config core.symlinks true" in done.stderr.splitlines()[-1]


def test_an_installed_wheel_plays_a_file(tmp_path: Path):
    """Dependencies come from this environment, Clavilux itself from the wheel alone."""
    venv.create(tmp_path / "new", symlinks=os.name == "posix")
    place = {"base": str(tmp_path / "new"), "platbase": str(tmp_path / "new")}
    site, scripts = (Path(sysconfig.get_path(name, "venv", vars=place)) for name in ("purelib", "scripts"))
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    wheel = build(copy(tmp_path / "checkout", whole=True), "wheel")
    install = ["-m", "pip", "--python", str(tmp_path / "new"), "install", "--quiet", "--no-deps", "--no-index"]
    python(*install, str(wheel), env=ALONE)
    render = [scripts / "clavilux", "render", SOUNDS / "penguin.wav", tmp_path / "penguin.png"]
    subprocess.run(render, cwd=tmp_path, env=ALONE, check=True, capture_output=True)
    with Image.open(tmp_path / "penguin.png") as picture:
        assert picture.size == (256, 256)
