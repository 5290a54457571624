"""Bundles for tests to play, exported once and kept in `.cache/bundles` until something they are made of changes.

    CLAVILUX_EXPORT_ANEW=1 pytest     # neither takes nor keeps any
    python -m tests.exported tiny FOLDER     # what makes one: needs torch, in a process of its own

So tests that only play a bundle never import torch, whether it is kept or not. What is kept is found by a hash of the
sources of `tests.tiny` and of all that it imports, and by the versions of what they stand on.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from tests.imports import needs, source
from tests.paths import ROOT

KEPT = ROOT / ".cache" / "bundles"
ANEW = "CLAVILUX_EXPORT_ANEW"
STANDS_ON = ("diffusers", "numpy", "onnx", "onnxruntime", "onnxscript", "torch", "transformers")
MISSING = "no exported bundle is kept for these sources, and making one needs torch: pip install -e '.[test]'"

Make = Callable[[str, Path], None]
"""Fills a folder with the bundle of a name."""


class NoBundleError(Exception):
    """Nothing fitting is kept, and here it cannot be made."""


@dataclass(frozen=True)
class Shelf:
    """A folder of bundles, each made by one process and borrowed by all."""

    folder: Path
    sources: str  # hash of what bundles are made of
    versions: str | None  # hash of what makes them; None: it is not installed
    make: Make

    def borrow(self, name: str, to: Path) -> Path:
        """Copy a bundle to the folder `to / "bundle"` and return it; make it first where none is kept.

        Raises NoBundleError without one, where none can be made, and CalledProcessError when making it fails.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f"{name}.lock"):
            kept = self._find(name) or self._made(name)
            shutil.copytree(kept, to, dirs_exist_ok=True)
        return to / "bundle"

    def _find(self, name: str) -> Path | None:
        return next(self.folder.glob(f"{name}-{self.sources}-{self.versions or '*'}"), None)

    def _made(self, name: str) -> Path:
        if self.versions is None:
            raise NoBundleError(MISSING)
        work = self.folder / f"{name}.part"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        self.make(name, work)
        for old in self.folder.glob(f"{name}-*"):
            shutil.rmtree(old)
        return work.rename(self.folder / f"{name}-{self.sources}-{self.versions}")


def shelf(scratch: Path) -> Shelf:
    """Return the checkout's own shelf, or an empty one in `scratch` where the environment asks for that."""
    files = [file for name in needs(ROOT / "tests" / "tiny.py") if (file := source(name))]
    versions = digest(f"{name} {_version(name)}".encode() for name in STANDS_ON) if find_spec("torch") else None
    return Shelf(scratch if os.environ.get(ANEW) else KEPT, fingerprint(files, ROOT), versions, make_apart)


def fingerprint(files: Iterable[Path], root: Path) -> str:
    """Return a hash of the files' places under `root` and of their contents."""
    return digest(f"{file.relative_to(root)}\n".encode() + file.read_bytes() for file in sorted(files))


def digest(parts: Iterable[bytes]) -> str:
    """Return a short hash of `parts`, which are kept apart."""
    return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()[:16]


def make_apart(name: str, folder: Path) -> None:
    """Make a bundle in a process of its own."""
    words = [sys.executable, "-m", "tests.exported", name, str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the bundle {name!r} cannot be exported:\n{done.stderr}")


def make(name: str, folder: Path) -> None:
    """Export the bundle of a name to `folder / "bundle"`, from new checkpoints that do not stay."""
    from tests import tiny

    with tempfile.TemporaryDirectory() as scratch:
        tiny.EXPORTS[name](tiny.write_checkpoints(Path(scratch)), folder / "bundle")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
