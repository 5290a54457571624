"""A checkpoint counts when it is whole."""

import json
from pathlib import Path

import pytest

from clavilux.runtime.files import Record
from clavilux.training.alignment.whole_checkpoints import all_checkpoints, is_whole, seal, whole_checkpoints


def checkpoint(folder: Path, step: int, *, sealed: bool = True) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "model.safetensors").write_bytes(b"weights")
    (made / "optimizer.pt").write_bytes(b"moments")
    if sealed:
        seal(made)
    return made


def test_checkpoints_are_listed_by_their_step(tmp_path: Path) -> None:
    for step in (100, 20, 3):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-final").mkdir()
    assert [path.name for path in whole_checkpoints(tmp_path)] == ["checkpoint-3", "checkpoint-20", "checkpoint-100"]


def test_a_checkpoint_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    checkpoint(tmp_path, 1)
    checkpoint(tmp_path, 2, sealed=False)
    assert [path.name for path in whole_checkpoints(tmp_path)] == ["checkpoint-1"]
    assert len(all_checkpoints(tmp_path)) == 2


@pytest.mark.parametrize("change", ["cut", "gone", "{", "[]", "[" * 100_000])
def test_a_checkpoint_that_lost_something_does_not_count(tmp_path: Path, change: str) -> None:
    made = checkpoint(tmp_path, 1)
    if change == "cut":
        (made / "optimizer.pt").write_bytes(b"mom")
    elif change == "gone":
        (made / "model.safetensors").unlink()
    else:
        (made / "whole.json").write_text(change)
    assert not is_whole(made)


def test_a_seal_names_every_file_with_its_size(tmp_path: Path) -> None:
    assert Record.read(checkpoint(tmp_path, 1) / "whole.json").key == {"model.safetensors": 7, "optimizer.pt": 7}


def test_a_checkpoint_of_a_training_that_an_older_version_began_counts(tmp_path: Path) -> None:
    made = checkpoint(tmp_path, 1, sealed=False)
    (made / "whole.json").write_text(json.dumps({"model.safetensors": 7, "optimizer.pt": 7}))
    assert is_whole(made)
    (made / "optimizer.pt").write_bytes(b"mom")
    assert not is_whole(made)
