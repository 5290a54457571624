"""A bundle appears whole or not at all: it is filled in a work folder beside its place, then renamed.

The work folder is hidden, named after the bundle, and stays when an export is stopped from outside, so that the next
one finds what is finished. It goes when the export is done, or when it fails: then there is nothing worth keeping.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from clavilux.runtime.bundle.manifest_json import MANIFEST
from clavilux.runtime.errors import ClaviluxError, ExportError
from clavilux.runtime.files import take_place

MEGABYTE, GIGABYTE = 1e6, 1e9


@dataclass(frozen=True)
class WorkFolder:
    """Folder in which an export works."""

    root: Path

    @property
    def bundle(self) -> Path:
        """The bundle in the making."""
        return self.root / "bundle"

    @property
    def finished(self) -> Path:
        """Records of the finished phases."""
        return self.root / "finished"

    @property
    def scratch(self) -> Path:
        """Files that are thrown away when their phase is done."""
        return self.root / "scratch"

    def clear_scratch(self) -> None:
        """Throw away what a phase needed, or what a stopped one left."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()


def work_folder(out: Path) -> Path:
    """Return where a bundle at `out` is made."""
    return out.parent / f".{out.name}.export"


@contextmanager
def staged(out: Path, *, overwrite: bool) -> Iterator[WorkFolder]:
    """Give a work folder whose `bundle` becomes `out` when the block ends well.

    Raises ExportError when `out` exists (unless it is a bundle and `overwrite` says so), cannot be written, or is being
    exported by another process.
    """
    check_place(out, overwrite=overwrite)
    work = WorkFolder(work_folder(out))
    try:
        work.root.mkdir(parents=True, exist_ok=True)
        with FileLock(work.root / "lock", timeout=0), _dropped_unless_stopped(work.root):
            for folder in (work.bundle, work.finished):
                folder.mkdir(exist_ok=True)
            work.clear_scratch()
            yield work
            take_place(work.bundle, out)
    except Timeout:
        raise ExportError(f"{out} is being exported by another process; wait for it, or choose another place") from None
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror or error}; choose another place") from error


@contextmanager
def _dropped_unless_stopped(root: Path) -> Iterator[None]:
    """Throw the work folder away, by the one who holds its lock, when the block ends well or fails by itself."""
    try:
        yield
    except (ClaviluxError, OSError):
        _drop(root)
        raise
    _drop(root)


def _drop(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)


def check_place(out: Path, *, overwrite: bool) -> None:
    """Raise ExportError unless a bundle may be written to `out`."""
    if not out.exists():
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if not above.is_dir():
            raise ExportError(f"{out} cannot be written: {above} is a file; choose another place")
        return
    if not (out / MANIFEST).is_file():
        found = "a folder that is no bundle" if out.is_dir() else "a file"
        raise ExportError(f"{out} is {found}; expected a new folder, or a bundle to replace")
    if not overwrite:
        raise ExportError(f"{out} is there already; choose another place, or replace it with --overwrite")


def check_room(out: Path, needed: int) -> None:
    """Raise ExportError unless the disk that `out` will lie on has `needed` bytes free.

    What a stopped export has left counts as free: the next one goes on in it, or throws it away.
    """
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())
    left = sum(path.stat().st_size for path in work_folder(out).rglob("*") if path.is_file())
    free = shutil.disk_usage(place).free + left
    if free < needed:
        raise ExportError(
            f"{out} needs {size_in_words(needed)} while it is made, {size_in_words(free)} are free; "
            "make room, or choose another place"
        )


def size_in_words(count: float) -> str:
    """Return a number of bytes for people."""
    return f"{count / GIGABYTE:.1f} GB" if count >= GIGABYTE else f"{count / MEGABYTE:.1f} MB"
