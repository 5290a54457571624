"""Parts of a film: kept with their record, trusted by the same film alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.playing.parts import LOCK, RECORD, Parts, claimed, folder_of

KEY = {"sound": "a", "screen": [48, 64]}


def filled(film: Path, count: int) -> Parts:
    """Return parts of which there are `count`, of five frames each."""
    folder_of(film).mkdir(exist_ok=True)
    parts = Parts(film, KEY)
    for number in range(count):
        parts.next_path().write_bytes(b"pictures %d" % number)
        parts.add(5, b"state %d" % number)
    return parts


def test_parts_are_found_again_with_the_state_after_the_last(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    filled(film, 3)
    found = Parts(film, KEY)
    assert (found.frames, found.state(), found.are_kept) == (15, b"state 2", True)
    assert [path.read_bytes() for path, _ in found.paths] == [b"pictures 0", b"pictures 1", b"pictures 2"]
    assert [count for _, count in found.paths] == [5, 5, 5]


def test_one_state_is_kept(tmp_path: Path) -> None:
    parts = filled(tmp_path / "film.mp4", 4)
    assert len([path for path in parts.folder.iterdir() if path.name.startswith("state")]) == 1


def test_found_parts_go_on(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    filled(film, 2)
    found = Parts(film, KEY)
    found.next_path().write_bytes(b"more")
    found.add(2, b"new")
    assert (Parts(film, KEY).frames, Parts(film, KEY).state()) == (12, b"new")


def test_parts_without_a_state_are_not_kept(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    parts = filled(film, 0)
    parts.next_path().write_bytes(b"pictures")
    parts.add(5, None)
    assert (parts.frames, parts.are_kept, Parts(film, KEY).frames) == (5, False, 0)


def test_parts_of_another_film_are_left_alone(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    filled(film, 1)
    with pytest.raises(ClaviluxError, match=r"film\.mp4\.parts holds parts of a film with another sound, bundle or"):
        Parts(film, KEY | {"sound": "b"})
    assert Parts(film, KEY).frames == 5


def test_a_part_that_differs_from_its_record_is_named(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    parts = filled(film, 2)
    parts.paths[0][0].write_bytes(b"other")
    with pytest.raises(ClaviluxError, match=r"is damaged \(000000\.mp4 differs from its record\); delete the folder"):
        Parts(film, KEY)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"key": {}, "files": {}, "data": {"counts": ["x"]}}', [2.7], [-3], [0], 5]
)
def test_a_record_that_is_none_is_named(tmp_path: Path, content: object) -> None:
    film = tmp_path / "film.mp4"
    record = filled(film, 1).folder / RECORD
    if not isinstance(content, bytes):
        content = json.dumps(json.loads(record.read_bytes()) | {"data": {"counts": content}}).encode()
    record.write_bytes(content)
    with pytest.raises(ClaviluxError, match=r"has a record that cannot be read; delete the folder to begin film\.mp4"):
        Parts(film, KEY)


def test_removed_parts_are_gone(tmp_path: Path) -> None:
    with claimed(tmp_path / "film.mp4"):
        filled(tmp_path / "film.mp4", 2).remove()
    assert list(tmp_path.iterdir()) == []


def test_what_somebody_keeps_in_the_folder_stays(tmp_path: Path) -> None:
    with claimed(tmp_path / "film.mp4"):
        parts = filled(tmp_path / "film.mp4", 1)
        (parts.folder / "notes.txt").write_text("mine")
        parts.remove()
    assert [path.name for path in parts.folder.iterdir()] == ["notes.txt"]


def test_parts_that_are_kept_stay_without_a_claim(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with claimed(film):
        names = {path.name for path in filled(film, 1).folder.iterdir()}
    assert {path.name for path in folder_of(film).iterdir()} == names - {LOCK}


def test_a_film_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with claimed(film):
        told = r"film\.mp4 is being made by another process; wait for it, or choose another name"
        with pytest.raises(ClaviluxError, match=told), claimed(film):
            pass
        with claimed(tmp_path / "other.mp4"):
            pass
        assert [path.name for path in folder_of(film).iterdir()] == [LOCK]
    assert list(tmp_path.iterdir()) == []


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    script = (
        "import os, sys; from pathlib import Path; from clavilux.runtime.playing.parts import claimed\n"
        "with claimed(Path(sys.argv[1])): os._exit(7)"
    )
    assert subprocess.run([sys.executable, "-c", script, film], check=False).returncode == 7
    with claimed(film):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "film.mp4.parts").write_text("a file")
    with pytest.raises(ClaviluxError, match=r"film\.mp4\.parts cannot be made"), claimed(tmp_path / "film.mp4"):
        pass


def test_a_name_that_is_too_long_for_its_parts_is_named(tmp_path: Path) -> None:
    told = r"cannot be made \(File name too long\); choose another name"
    with pytest.raises(ClaviluxError, match=told), claimed(tmp_path / ("a" * 246 + ".mp4")):
        pass


def test_a_state_that_cannot_be_written_leaves_what_there_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = filled(tmp_path / "film.mp4", 1)
    parts.next_path().write_bytes(b"pictures")
    monkeypatch.setattr("clavilux.runtime.playing.parts.written_whole", full_disk)
    with pytest.raises(ClaviluxError, match="No space"):
        parts.add(5, b"state")
    assert parts.frames == Parts(tmp_path / "film.mp4", KEY).frames == 5


def full_disk(path: Path) -> NoReturn:
    raise ClaviluxError(f"{path} cannot be written (No space left on device); choose another place")
