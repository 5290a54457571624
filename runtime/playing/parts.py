"""Parts of a film that is being made: finished stretches of it in a folder beside the film, and the state after them.

The folder's record names what the parts were made of, so that only the same film goes on from them. It is written after
them: a process that is killed loses the part that it was at.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from filelock import FileLock, Timeout
from msgspec import Meta

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import Record, describe_file, written_whole

ENDING = ".parts"  # after the film's name
RECORD = "record.json"
LOCK = "lock"
STATE = "state-{:06}"  # after so many parts
PICTURES = "{:06}.mp4"
OWN = re.compile(r"record\.json|state-\d{6}|\d{6}\.mp4|\..+\.part")  # names of files in the folder


def folder_of(film: Path) -> Path:
    """Return the folder of a film's parts."""
    return film.with_name(film.name + ENDING)


@contextmanager
def claimed(film: Path) -> Iterator[None]:
    """Claim a film for this process, and leave nothing of that behind. Raises ClaviluxError when another one has it."""
    lock = FileLock(folder_of(film) / LOCK)
    try:
        _claim(film, lock)
        yield
    finally:
        _forget(lock)


def _claim(film: Path, lock: FileLock) -> None:
    folder = folder_of(film)
    try:
        folder.mkdir(exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ClaviluxError(f"{film} is being made by another process; wait for it, or choose another name") from error
    except OSError as error:
        reason = error.strerror
        raise ClaviluxError(f"{folder} cannot be made ({reason}); choose another name or place") from error


def _forget(lock: FileLock) -> None:
    """Remove a lock that is nobody else's, also where claiming it was interrupted, and its folder if that is empty."""
    path = Path(lock.lock_file)
    with suppress(OSError):  # a Timeout is one
        lock.acquire(timeout=0)
        path.unlink(missing_ok=True)
    lock.release(force=True)
    with suppress(OSError):
        path.parent.rmdir()


class Parts:
    """Parts of one film, in order."""

    def __init__(self, film: Path, key: dict[str, Any]) -> None:
        """Find those of `film`, which is claimed, that were made for `key`, plain data.

        Raises ClaviluxError when there are parts of another film, or damaged ones.
        """
        self.folder = folder_of(film)
        self.todo = f"delete the folder to begin {film.name} anew, or choose another name"  # where they do not fit
        self.counts: list[int] = []  # frames of each
        self._key = key
        self._files: dict[str, Any] = {}
        if self.are_kept:
            self._read()

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return sum(self.counts)

    @property
    def paths(self) -> list[tuple[Path, int]]:
        """Files with pictures, and the numbers of their frames."""
        return [(self.folder / PICTURES.format(index), count) for index, count in enumerate(self.counts)]

    def next_path(self) -> Path:
        """Return where the next part belongs."""
        return self.folder / PICTURES.format(len(self.counts))

    def add(self, count: int, state: bytes | None) -> None:
        """Take the part that was written to `next_path`, `count` frames, and the state after it; None: do not keep it.

        Raises ClaviluxError when they cannot be written.
        """
        path, counts = self.next_path(), [*self.counts, count]
        if state is None:
            self.counts = counts
            return
        before = [name for name in self._files if not name.endswith(path.suffix)]
        place = self.folder / STATE.format(len(counts))
        with written_whole(place) as part:
            part.write_bytes(state)
        files = {name: entry for name, entry in self._files.items() if name not in before}
        files |= {path.name: describe_file(path), place.name: describe_file(place)}
        Record(self._key, files, {"counts": counts}).write(self.folder / RECORD)
        self.counts, self._files = counts, files  # not before they are written: a full disk keeps what there was
        for name in before:
            (self.folder / name).unlink(missing_ok=True)

    def state(self) -> bytes:
        """Return the state after the last part."""
        return (self.folder / STATE.format(len(self.counts))).read_bytes()

    @property
    def are_kept(self) -> bool:
        """Whether a film can go on from here."""
        return (self.folder / RECORD).is_file()

    def remove(self) -> None:
        """Remove all of them, and nothing that somebody else keeps there."""
        with suppress(OSError):
            for path in self.folder.iterdir():
                if OWN.fullmatch(path.name):
                    path.unlink()

    def _read(self) -> None:
        path, todo = self.folder / RECORD, self.todo
        try:
            record = Record.read(path)
            self.counts = msgspec.convert(record.data["counts"], list[Annotated[int, Meta(ge=1)]])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ClaviluxError(f"{self.folder} has a record that cannot be read; {todo}") from error
        if not record.is_for(self._key):
            raise ClaviluxError(
                f"{self.folder} holds parts of a film with another sound, bundle or settings, "
                f"or of another version of Clavilux or PyAV; "
                f"give the same ones to go on, {todo}"
            )
        if damage := record.damage(self.folder):
            raise ClaviluxError(f"{self.folder} is damaged ({damage}); {todo}")
        self._files = dict(record.files)
