"""Files that are written whole or not at all, and records that are trusted only while they hold."""

import errno
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from clavilux.runtime import files
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import (
    ABANDONED,
    FileEntry,
    Record,
    describe_file,
    describe_files,
    take_place,
    user_cache,
    written_whole,
)


def fill(folder: Path, text: str = "new") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a").write_text(text)


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    with written_whole(tmp_path / "a") as part:
        part.write_text("new")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_file_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with written_whole(tmp_path / "a") as part:
        part.write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with written_whole(tmp_path / "a") as part:
            part.write_text("ne")
            raise error

    (tmp_path / "a").write_text("old")
    with pytest.raises(error):
        fail()
    assert (tmp_path / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(
            ClaviluxError,
            match=r"nowhere/a cannot be written \(No such file or directory: .*nowhere\); choose another place",
        ),
        written_whole(tmp_path / "nowhere" / "a"),
    ):
        pass


def test_a_block_that_cannot_read_something_else_names_it(tmp_path: Path) -> None:
    with (
        pytest.raises(ClaviluxError, match=r"a cannot be written \(No such file or directory: nowhere\)"),
        written_whole(tmp_path / "a"),
    ):
        Path("nowhere").read_text()


def test_two_may_write_one_file_at_once(tmp_path: Path) -> None:
    with written_whole(tmp_path / "a") as first, written_whole(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a").read_text() == "first"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    with written_whole(tmp_path / "folder") as part:
        fill(part)
    assert (tmp_path / "folder" / "a").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    fill(tmp_path / "folder", "old")
    (tmp_path / "folder" / "b").touch()
    with written_whole(tmp_path / "folder") as part:
        fill(part)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_folder_that_shall_stay_stays(tmp_path: Path) -> None:
    fill(tmp_path / "folder", "old")
    with written_whole(tmp_path / "folder", stays=lambda: True) as part:
        fill(part)
    assert (tmp_path / "folder" / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    def fail() -> None:
        with written_whole(tmp_path / "folder") as part:
            fill(part)
            raise OSError(28, "No space left on device")

    fill(tmp_path / "folder", "old")
    with pytest.raises(ClaviluxError, match="No space left on device"):
        fail()
    assert (tmp_path / "folder" / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_the_old_folder_comes_back_when_its_place_cannot_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "part")
    fill(tmp_path / "folder", "old")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == tmp_path / "part":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        take_place(tmp_path / "part", tmp_path / "folder")
    assert (tmp_path / "folder" / "a").read_text() == "old"


def test_a_folder_without_a_place_is_reported(tmp_path: Path) -> None:
    fill(tmp_path / "part")
    with pytest.raises(OSError, match="No such file"):
        take_place(tmp_path / "part", tmp_path / "nowhere" / "folder")


def test_what_a_killed_process_left_goes_after_a_day(tmp_path: Path) -> None:
    old = time.time() - ABANDONED - 60
    left = [tmp_path / name for name in (".a.0123abcd.part", ".b.0123abcd.part", "a.part", ".a.89abcdef.part")]
    for path in left:
        path.touch()
    for path in left[:3]:
        os.utime(path, (old, old))
    with written_whole(tmp_path / "a") as part:
        part.touch()
    assert {path.name for path in tmp_path.iterdir()} == {"a", *(path.name for path in left[1:])}


@pytest.mark.parametrize("letter", ["a", "é", "マ", "🎤"])
def test_a_name_of_any_length_is_written_and_cleared_up(tmp_path: Path, letter: str) -> None:
    path = tmp_path / (letter * (255 // len(letter.encode())))
    with written_whole(path) as part:
        part.touch()
    left = part.with_name(part.name)
    left.touch()
    os.utime(left, (0, 0))
    with written_whole(path) as part:
        part.touch()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_another_process_cleared_up_first_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / ".a.0123abcd.part"
    monkeypatch.setattr(Path, "iterdir", lambda _: iter([gone]))
    files.remove_abandoned(tmp_path)


def test_a_file_is_described_by_its_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert describe_file(tmp_path / "a") == FileEntry(3, sha256)


@dataclass(frozen=True)
class Key:
    """A key of two parts."""

    model: str
    shape: tuple[int, ...]


KEY = Key("unet", (1, 4))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record of one file in a folder, made for KEY."""
    fill(tmp_path / "folder")
    fill(tmp_path / "folder" / "deep")
    paths = [tmp_path / "folder" / "a", tmp_path / "folder" / "deep" / "a"]
    Record(KEY, describe_files(tmp_path, paths), {"ms": 1.5}).write(tmp_path / "records" / "record.json")
    return tmp_path / "records" / "record.json"


def test_a_record_comes_back_with_its_files_and_data(record: Path, tmp_path: Path) -> None:
    found = Record.trusted(record, KEY, tmp_path)
    assert found is not None
    assert list(found.files) == ["folder/a", "folder/deep/a"]
    assert (found.key, found.data) == ({"model": "unet", "shape": [1, 4]}, {"ms": 1.5})


def test_a_record_without_a_root_is_about_its_own_folder(tmp_path: Path) -> None:
    fill(tmp_path)
    Record("key", describe_files(tmp_path, [tmp_path / "a"])).write(tmp_path / "record.json")
    assert Record.trusted(tmp_path / "record.json", "key")


def test_a_record_for_another_key_is_not_trusted(record: Path, tmp_path: Path) -> None:
    assert Record.trusted(record, Key("vae", (1, 4)), tmp_path) is None
    assert Record.trusted(record, Key("unet", (1, 5)), tmp_path) is None


@pytest.mark.parametrize(
    ("content", "told"),
    [("old", "folder/a differs from its record"), ("newer", "folder/a differs from its record"), (None, "is missing")],
)
def test_a_record_whose_file_changed_is_not_trusted(
    record: Path, tmp_path: Path, content: str | None, told: str
) -> None:
    path = tmp_path / "folder" / "a"
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert told in Record.read(record).damage(tmp_path)
    assert Record.trusted(record, KEY, tmp_path) is None


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname"])
def test_a_record_vouches_for_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").write_text("new")
    (tmp_path / "folder").mkdir()
    record = Record("key", {name: describe_file(tmp_path / "outside")})
    assert record.damage(tmp_path / "folder") == f"{name} is missing"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"key": 1, "files": {"a": {"bytes": 1, "sha256": "f"}}}',
        '{"key": 1, "files": 1}',
        '{"key": ' + "[" * 100_000,
        " " * (files.MAX_RECORD + 1),
    ],
)
def test_what_is_no_record_is_not_trusted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"."):
        Record.read(path)
    assert Record.trusted(path, 1) is None


def test_no_record_is_not_trusted(tmp_path: Path) -> None:
    assert Record.trusted(tmp_path / "record.json", "key") is None


def test_a_record_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ClaviluxError, match=r"record.json cannot be written \("):
        Record("key").write(tmp_path / "file" / "record.json")


@pytest.mark.skipif(sys.platform != "linux", reason="each system has its own place")
def test_the_user_s_cache_lies_where_the_system_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert user_cache("engines") == Path("/cache/clavilux/engines")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache("engines") == Path.home() / ".cache/clavilux/engines"


def test_many_who_write_one_folder_at_once_all_succeed_and_leave_nothing(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(25):
            with written_whole(tmp_path / "place") as part:
                part.mkdir()
                (part / "a").write_text(str(number))
                (part / "b").write_text(str(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert (tmp_path / "place" / "a").read_text() == (tmp_path / "place" / "b").read_text()


def test_a_place_that_is_always_taken_again_is_an_error_and_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "old").touch()
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)

    def write() -> None:
        with written_whole(tmp_path / "place") as part:
            part.mkdir()
            (part / "new").touch()

    with pytest.raises(ClaviluxError, match="cannot be written"):
        write()
    assert [path.name for path in tmp_path.rglob("*")] == ["place", "old"]


def test_what_stood_there_goes_although_others_were_there_and_gone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "old").touch()
    rename, calls = Path.rename, count()

    def fails(self: Path, target: Path) -> Path:
        if next(calls) in (2, 3):  # to take the place that is free now, and to put back what stood there
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with written_whole(tmp_path / "place") as part:
        part.mkdir()
        (part / "new").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "place"]


def test_what_stood_there_is_no_older_than_when_it_was_moved_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "old").touch()
    os.utime(tmp_path / "place", (0, 0))
    ages: list[float] = []
    remove = files._remove

    def note(path: Path) -> None:
        ages.extend(time.time() - path.stat().st_mtime for _ in range(path.exists()))
        remove(path)

    monkeypatch.setattr(files, "_remove", note)
    with written_whole(tmp_path / "place") as part:
        part.mkdir()
    assert len(ages) == 1
    assert ages[0] < files.ABANDONED


def test_remains_that_cannot_be_removed_forbid_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remains = tmp_path / ".film.mp4.0123abcd.part"
    remains.touch()
    os.utime(remains, (0, 0))

    unlink = Path.unlink

    def refuse(self: Path, *, missing_ok: bool = False) -> None:
        if self == remains:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(self))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with written_whole(tmp_path / "film.mp4") as part:
        part.touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [remains.name, "film.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_that_a_folder_replaces_is_not_left_behind_and_what_it_led_to_stays(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "place").symlink_to("big", target_is_directory=True)
    with written_whole(tmp_path / "place") as part:
        part.mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big", "place"]
    assert not (tmp_path / "place").is_symlink()
