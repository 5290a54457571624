"""Files that are written whole or not at all, and the records that say when what lies on disk can be trusted.

    with written_whole(path) as part:
        part.write_bytes(content)
    Record(key, describe_files(folder, [folder / "a.bin"])).write(path)
    if Record.trusted(path, key, folder): ...

There is no other way to write what others read, and no other kind of record beside files.
"""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import msgspec
from msgspec import Meta
from platformdirs import user_cache_path

from clavilux.runtime.errors import ClaviluxError

PART = ".part"
"""Ending of what is still being written: `.NAME.<8 hexadecimal digits>.part`, beside its place."""

ABANDONED = 24 * 3600.0  # seconds after which such a file or folder is a crash's remains
LONG_NAME = 200  # bytes; file systems take 255
MAX_CHARACTER = 4  # bytes in UTF-8
ATTEMPTS = 100  # at a place that others take at the same time
MAX_RECORD = 2**26  # bytes
_MAX_BYTES = 2**40


@dataclass(frozen=True)
class FileEntry:
    """Size and hash of one file."""

    bytes: Annotated[int, Meta(ge=0, le=_MAX_BYTES)]
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="64 hexadecimal digits")]


def describe_file(path: Path) -> FileEntry:
    """Return the size in bytes and the sha256 of the file at `path`."""
    with path.open("rb") as file:
        return FileEntry(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def describe_files(root: Path, paths: Iterable[Path]) -> dict[str, FileEntry]:
    """Return the sizes and hashes of files below `root`, by their names there."""
    return {path.relative_to(root).as_posix(): describe_file(path) for path in paths}


def user_cache(name: str) -> Path:
    """Return where the system wants the user's caches, and in it our folder `name`, which may not be there yet."""
    return user_cache_path("clavilux", appauthor=False, opinion=False) / name


@contextmanager
def written_whole(path: Path, *, stays: Callable[[], bool] = lambda: False) -> Iterator[Path]:
    """Yield a temporary name beside `path`; the file or folder written there takes its place when the block ends well.

    Whatever else happens, `path` stays as it was and nothing is left behind, but for a process that is killed: then the
    next one that writes there a day later clears up. Several may write at once. A folder that is there already stays
    when `stays` says so. Raises ClaviluxError when the file cannot be written.
    """
    part = _part_of(path)
    try:
        try:
            remove_abandoned(path.parent, path.name)
            yield part
            take_place(part, path, stays=stays)
        finally:
            _remove(part)
    except OSError as error:
        raise ClaviluxError(f"{path} cannot be written ({_reason(error, part)}); choose another place") from error


def take_place(part: Path, path: Path, *, stays: Callable[[], bool] = lambda: False) -> None:
    """Give the finished file or folder `part` the name `path`; what was there goes only once its place can be taken.

    A folder that is there already stays when `stays` says so, and then `part` does too. Raises OSError.
    """
    if not part.is_dir():
        part.replace(path)
        return
    for attempt in range(1, ATTEMPTS + 1):
        with suppress(OSError):  # a folder cannot take another's place in one step
            part.rename(path)
            return
        if path.exists() and stays():
            return
        old = part.with_name(_part_of(path).name)
        with suppress(FileNotFoundError):  # whoever else writes there may have moved it first
            path.rename(old)
        with suppress(OSError):  # it keeps its age, by which it would pass for abandoned
            os.utime(old)
        try:
            part.rename(path)
        except OSError:  # another's whole folder came in between
            _put_back(old, path)
            if attempt == ATTEMPTS:
                raise
        else:
            _remove(old)
            return


def _put_back(old: Path, path: Path) -> None:
    """Give the folder that stood at `path` its place again, or remove it once another has that."""
    for _ in range(ATTEMPTS):  # others, too, take what stands there away, and put back
        if not old.exists():
            return
        with suppress(OSError):
            old.rename(path)
            return
        if path.exists():
            _remove(old)


def remove_abandoned(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left half-written in `folder` a day ago or more, under one name or under any."""
    for path in folder.iterdir():
        half = re.fullmatch(rf"\.(.+)\.[0-9a-f]{{8}}{PART}", path.name)
        if half and (name is None or half[1] == _short(name)):
            with suppress(OSError):  # another process may clear up too, and what is another user's stays
                if time.time() - path.stat().st_mtime > ABANDONED:
                    _remove(path)


def _reason(error: OSError, part: Path) -> str:
    """Return what went wrong, and where if that was not in `part`."""
    where = str(error.filename or part)
    return f"{error.strerror or error}{'' if where.startswith(str(part)) else f': {where}'}"


def _part_of(path: Path) -> Path:
    return path.with_name(f".{_short(path.name)}.{uuid4().hex[:8]}{PART}")


def _short(name: str) -> str:
    """Return as much of a name as leaves room for what is put around it, in any file system."""
    return name if len(os.fsencode(name)) <= LONG_NAME else name[: LONG_NAME // MAX_CHARACTER]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Record:
    """Account of what was made, kept on disk: trusted while its key and the hashes of its files hold."""

    key: Any  # plain JSON: all that it depends on
    files: dict[str, FileEntry] = field(default_factory=dict)  # by name below a folder
    data: Any = None  # plain JSON: what else is to be known about it

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Return the record in the file `path`. Raises OSError when it cannot be read, ValueError when it is none."""
        if path.stat().st_size > MAX_RECORD:
            raise ValueError("it is too large")
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error

    @classmethod
    def trusted(cls, path: Path, key: object, root: Path | None = None) -> "Record | None":
        """Return the record in the file `path` if it holds: made for `key`, with all its files as they were.

        They lie below `root`, by default the record's own folder. What cannot be read is not trusted.
        """
        try:
            record = cls.read(path)
        except (OSError, ValueError):
            return None
        return record if record.is_for(key) and not record.damage(root or path.parent) else None

    def write(self, path: Path) -> None:
        """Write the record whole into the file `path`, in a new folder if need be. Raises ClaviluxError."""
        with suppress(OSError):  # which `written_whole` meets again, and tells
            path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            part.write_bytes(msgspec.json.format(_encoded(self)) + b"\n")

    def is_for(self, key: object) -> bool:
        """Return whether this was made for `key`: plain data, or dataclasses of it."""
        return bool(self.key == msgspec.json.decode(_encoded(key)))

    def damage(self, root: Path) -> str:
        """Return what is wrong with the files, which lie below `root`; "" when nothing is."""
        for name, entry in self.files.items():
            path = root / name
            if not path.resolve().is_relative_to(root.resolve()) or not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != entry.bytes or describe_file(path) != entry:
                return f"{name} differs from its record"
        return ""


def _encoded(found: object) -> bytes:
    return msgspec.json.encode(found, enc_hook=str)
