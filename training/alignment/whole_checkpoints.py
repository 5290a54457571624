"""Checkpoints that are whole: Trainer writes its files one by one into place, and a kill may leave half of them.

A checkpoint counts when `whole.json`, written last, names all its files with their sizes. A kill leaves files short or
missing, so sizes tell it; to hash gigabytes after every save would take longer than the save.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from clavilux.runtime.files import Record

WHOLE = "whole.json"
CHECKPOINT = "checkpoint-"  # and the step


def seal(checkpoint: Path) -> None:
    """Say that a checkpoint is whole."""
    names = sorted(path.name for path in checkpoint.iterdir() if path.name != WHOLE)
    Record(_sizes(checkpoint, names)).write(checkpoint / WHOLE)


def is_whole(checkpoint: Path) -> bool:
    """Return whether a checkpoint has all that it had when it was sealed."""
    try:
        sealed = _sealed(checkpoint / WHOLE)
        return sealed == _sizes(checkpoint, sealed)
    except (OSError, ValueError):
        return False


def _sizes(checkpoint: Path, names: Iterable[str]) -> dict[str, int]:
    return {name: (checkpoint / name).stat().st_size for name in names}


def _sealed(file: Path) -> dict[str, int]:
    """Return the sizes by name that a seal tells: in a record or, as older versions wrote them, alone."""
    try:
        return msgspec.convert(Record.read(file).key, dict[str, int])
    except ValueError:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, int])


def all_checkpoints(folder: Path) -> list[Path]:
    """Return what looks like checkpoints in `folder`, the oldest first."""
    found = [path for path in folder.glob(f"{CHECKPOINT}*") if path.name.removeprefix(CHECKPOINT).isdecimal()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(CHECKPOINT)))


def whole_checkpoints(folder: Path) -> list[Path]:
    """Return the finished checkpoints in `folder`, the oldest first."""
    return [path for path in all_checkpoints(folder) if is_whole(path)]
