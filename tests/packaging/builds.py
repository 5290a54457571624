"""Copies of the checkout to build from, and what building them gives."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

from tests.paths import ROOT

FOLDERS = ("benchmarks", "export", "runtime", "server", "training")  # what `clavilux/` links to
LEFT = (".*", "*.egg-info", "__pycache__", "build", "dist", "engines", "site")  # what git does not keep
WEIGHTY = 1_000_000  # bytes: files of weights are copied as an empty one where only names matter


def copy(to: Path, *, whole: bool = False) -> Path:
    """Copy the checkout as git has it, without the weights of the default bundle unless the copy must be `whole`."""

    def light(source: str, target: str) -> None:
        if whole or Path(source).stat().st_size < WEIGHTY:
            shutil.copyfile(source, target)
        else:
            Path(target).touch()

    return Path(shutil.copytree(ROOT, to, symlinks=True, ignore=shutil.ignore_patterns(*LEFT), copy_function=light))


def without_links(checkout: Path) -> Path:
    """Write links as git does where the system has none: as files that hold the link's target."""
    for folder in FOLDERS:
        link = checkout / "clavilux" / folder
        target = link.readlink()
        link.unlink()
        link.write_text(str(target), encoding="utf-8")
    return checkout


def build(checkout: Path, kind: str) -> Path:
    """Build a `wheel` or an `sdist` with the build backend itself; return the file."""
    words = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(checkout / "dist")]
    done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = (checkout / "dist").glob({"wheel": "*.whl", "sdist": "*.tar.gz"}[kind])
    return made


def unpacked(sdist: Path, to: Path) -> Path:
    """Unpack an sdist and return its one folder."""
    with tarfile.open(sdist) as archive:
        archive.extractall(to, filter="data")
    (folder,) = to.iterdir()
    return folder


def names(wheel: Path) -> set[str]:
    """Return the names of all files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> Message:
    """Return what a wheel says about itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())
