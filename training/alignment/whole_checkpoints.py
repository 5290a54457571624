"""Checkpoints that are whole: Trainer writes its files one by one into place, and a kill may leave half of them.

A checkpoint counts when `whole.json`, written last, names all its files with their sizes.
"""

import json
from pathlib import Path

WHOLE = "whole.json"
CHECKPOINT = "checkpoint-"  # and the step


def seal(checkpoint: Path) -> None:
    """Say that a checkpoint is whole."""
    sizes = {path.name: path.stat().st_size for path in sorted(checkpoint.iterdir()) if path.name != WHOLE}
    partial = checkpoint / f"{WHOLE}.part"
    partial.write_text(json.dumps(sizes))
    partial.rename(checkpoint / WHOLE)


def is_whole(checkpoint: Path) -> bool:
    """Return whether a checkpoint has all that it had when it was sealed."""
    try:
        sizes = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def all_checkpoints(folder: Path) -> list[Path]:
    """Return what looks like checkpoints in `folder`, the oldest first."""
    found = [path for path in folder.glob(f"{CHECKPOINT}*") if path.name.removeprefix(CHECKPOINT).isdecimal()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(CHECKPOINT)))


def whole_checkpoints(folder: Path) -> list[Path]:
    """Return the finished checkpoints in `folder`, the oldest first."""
    return [path for path in all_checkpoints(folder) if is_whole(path)]
