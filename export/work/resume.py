"""The finished phases of an export: a stopped one goes on where it was, if nothing that it depends on has changed.

Every phase leaves its files, its arrays and its figures in the work folder, and last a record with their hashes.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from clavilux.export.options import Progress
from clavilux.export.proof import Proof
from clavilux.runtime.files import FileEntry, Record, describe_file, describe_files

Arrays = dict[str, NDArray[np.float32]]

KILOBYTE = 1024  # ru_maxrss counts in these on Linux, in bytes on macOS


@dataclass(frozen=True)
class Made:
    """Result of one phase."""

    files: Mapping[str, FileEntry]  # by path in the bundle's folder
    arrays: Arrays  # for later phases
    proof: Proof
    seconds: float
    peak: int  # bytes: the most memory the process has held so far


@dataclass(frozen=True)
class _Kept:
    """Part of a result that its record holds besides the files."""

    arrays: FileEntry
    proof: Proof
    seconds: float
    peak: int  # bytes


@dataclass
class FinishedPhases:
    """The phases of one export, in `folder`; `key` stands for all that they depend on."""

    folder: Path
    bundle: Path  # where the phases' files lie
    key: str
    report: Progress
    phases: dict[str, Made] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Throw away what no record with this key knows: half-made files, and those of other options."""
        known = {self.bundle / file for record in self.folder.glob("*.json") for file in self._files(record.stem)}
        for path in sorted(self.bundle.rglob("*"), reverse=True):  # what is in a folder before the folder
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
            elif path.is_file() and path not in known:
                path.unlink()

    def phase(self, name: str, make: Callable[[Proof], Arrays], files: Sequence[str]) -> Arrays:
        """Return the arrays of a phase: from its record if there is a sound one, else by making it.

        `make` writes `files` (those that it does write, with their weights beside them; whole folders too) and fills
        the proof.
        """
        made = self._read(name)
        if made is not None:
            self.report(f"{name}: finished earlier, in {made.seconds:.0f} s")
        else:
            made = self._make(name, make, files)
        self.phases[name] = made
        return made.arrays

    def _make(self, name: str, make: Callable[[Proof], Arrays], files: Sequence[str]) -> Made:
        began, proof = time.monotonic(), Proof()
        arrays = make(proof)
        save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, self._arrays(name))
        entries = describe_files(self.bundle, self._written(files))
        kept = _Kept(describe_file(self._arrays(name)), proof, time.monotonic() - began, peak_memory())
        Record(self.key, entries, kept).write(self._record(name))
        return Made(entries, arrays, proof, kept.seconds, kept.peak)

    def _written(self, files: Sequence[str]) -> Iterator[Path]:
        for path in (path for file in files for path in sorted(self.bundle.glob(f"{file}*"))):
            yield from (one for one in sorted(path.rglob("*")) if one.is_file()) if path.is_dir() else (path,)

    def _read(self, name: str) -> Made | None:
        """Return what a phase made under this key, or None when that is not there as it was recorded."""
        record = Record.trusted(self._record(name), self.key, self.bundle)
        if record is None:
            return None
        try:
            kept = msgspec.convert(record.data, _Kept)
            if describe_file(self._arrays(name)) != kept.arrays:
                return None
        except (OSError, ValueError):  # no arrays, or a record of an older kind
            return None
        return Made(record.files, load_file(self._arrays(name)), kept.proof, kept.seconds, kept.peak)

    def _files(self, name: str) -> Mapping[str, FileEntry]:
        made = self._read(name)
        return made.files if made else {}

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _arrays(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def peak_memory() -> int:
    """Return the most bytes that this process has held in memory since it started, mapped files included.

    0 where the system does not tell.
    """
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KILOBYTE


def fingerprint(facts: Mapping[str, Any]) -> str:
    """Return a hash that changes with anything in `facts`."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def state_of(where: str | Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of change of each file at `where`; nothing for a hub name, which says it itself."""
    path = Path(where)
    if path.is_file():
        files = [path]
    else:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
