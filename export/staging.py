"""A folder appears whole or not at all: it is filled under a temporary name beside its place, then renamed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.bundle import MANIFEST
from runtime.errors import ExportError


@contextmanager
def staged(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder that becomes `out` when the block ends well, and vanishes when it does not.

    Raises ExportError when `out` exists (unless it is a bundle and `overwrite` says so), or cannot be written.
    """
    check_place(out, overwrite=overwrite)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror}; choose another place") from error
    try:
        yield temporary
        temporary.chmod(0o755)  # mkdtemp's folders are for their owner alone
        _put(temporary, out)
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_place(out: Path, *, overwrite: bool) -> None:
    """Raise ExportError unless a bundle may be written to `out`."""
    if not out.exists():
        return
    if not (out / MANIFEST).is_file():
        found = "a folder that is no bundle" if out.is_dir() else "a file"
        raise ExportError(f"{out} is {found}; expected a new folder, or a bundle to replace")
    if not overwrite:
        raise ExportError(f"{out} is there already; choose another place, or replace it with --overwrite")


def _put(temporary: Path, out: Path) -> None:
    """Move `temporary` to `out`; what was there leaves only once its place can be taken."""
    if not out.exists():
        temporary.rename(out)
        return
    old = temporary.with_name(f"{temporary.name}.old")
    out.rename(old)
    temporary.rename(out)
    shutil.rmtree(old)
