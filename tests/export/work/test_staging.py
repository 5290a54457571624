"""Folders that appear whole or not at all."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from clavilux.export.work.staging import WorkFolder, check_room, staged, work_folder
from clavilux.runtime.errors import ExportError
from tests.paths import ROOT


def write(folder: Path, text: str = "new") -> None:
    (folder / "bundle.json").write_text(text)


def test_the_folder_appears_when_the_block_ends(tmp_path: Path):
    out = tmp_path / "made" / "bundle"
    with staged(out, overwrite=False) as work:
        write(work.bundle)
        assert not out.exists()
    assert (out / "bundle.json").read_text() == "new"


def test_others_may_read_the_folder(tmp_path: Path):
    with staged(tmp_path / "bundle", overwrite=False) as work:
        write(work.bundle)
    assert (tmp_path / "bundle").stat().st_mode & 0o055 == 0o055


def stop(out: Path, *, overwrite: bool) -> None:
    with staged(out, overwrite=overwrite) as work:
        write(work.bundle)
        (work.scratch / "half").touch()
        raise KeyboardInterrupt


def test_a_stopped_block_leaves_its_hidden_work_folder_and_no_bundle(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        stop(tmp_path / "bundle", overwrite=False)
    assert list(tmp_path.iterdir()) == [tmp_path / ".bundle.export"]


def test_the_next_block_finds_what_a_stopped_one_has_finished(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        stop(tmp_path / "bundle", overwrite=False)
    with staged(tmp_path / "bundle", overwrite=False) as work:
        assert [path.name for path in work.bundle.iterdir()] == ["bundle.json"]
        assert list(work.scratch.iterdir()) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "bundle"]


def test_a_block_that_fails_leaves_nothing(tmp_path: Path):
    def fail() -> None:
        with staged(tmp_path / "bundle", overwrite=False) as work:
            write(work.bundle)
            raise ExportError("no good")

    with pytest.raises(ExportError, match="no good"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_block_leaves_the_old_bundle(tmp_path: Path):
    out = tmp_path / "bundle"
    out.mkdir()
    write(out, "old")
    with pytest.raises(KeyboardInterrupt):
        stop(out, overwrite=True)
    assert (out / "bundle.json").read_text() == "old"


def test_a_bundle_is_replaced_when_asked(tmp_path: Path):
    out = tmp_path / "bundle"
    out.mkdir()
    write(out, "old")
    with staged(out, overwrite=True) as work:
        write(work.bundle)
    assert (out / "bundle.json").read_text() == "new"
    assert list(tmp_path.iterdir()) == [out]


def refusal(out: Path, *, overwrite: bool) -> str:
    with pytest.raises(ExportError) as caught, staged(out, overwrite=overwrite):
        pass
    return str(caught.value)


def test_a_bundle_is_not_replaced_unasked(tmp_path: Path):
    write(tmp_path, "old")
    assert "is there already; choose another place, or replace it with --overwrite" in refusal(
        tmp_path, overwrite=False
    )


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path):
    assert "is a folder that is no bundle" in refusal(tmp_path, overwrite=True)


def test_a_file_is_never_replaced(tmp_path: Path):
    (tmp_path / "song.wav").write_bytes(b"")
    assert "is a file; expected a new folder" in refusal(tmp_path / "song.wav", overwrite=True)


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    assert "file is a file; choose another place" in refusal(tmp_path / "file" / "bundle", overwrite=False)


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path):
    def fill() -> None:
        with staged(tmp_path / "bundle", overwrite=False):
            raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match="cannot be written: No space left on device"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_the_old_bundle_comes_back_when_its_place_cannot_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "bundle"
    out.mkdir()
    write(out, "old")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == WorkFolder(work_folder(out)).bundle:
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    assert "cannot be written: Input/output error" in refusal(out, overwrite=True)
    assert (out / "bundle.json").read_text() == "old"


def test_what_a_stopped_replacement_had_put_aside_is_no_hindrance(tmp_path: Path):
    out = tmp_path / "bundle"
    aside = work_folder(out) / ".bundle.0123abcd.part"
    for folder in (out, aside):
        folder.mkdir(parents=True)
        write(folder, "old")
    with staged(out, overwrite=True) as work:
        write(work.bundle)
    assert (out / "bundle.json").read_text() == "new"


def test_the_same_place_is_refused_while_it_is_being_exported(tmp_path: Path):
    out = tmp_path / "bundle"
    with staged(out, overwrite=False) as work:
        write(work.bundle)
        (work.scratch / "half").touch()
        assert "is being exported by another process; wait for it, or choose another place" in refusal(
            out, overwrite=False
        )
        assert (work.scratch / "half").exists()
        assert (work.bundle / "bundle.json").exists()
    assert (out / "bundle.json").read_text() == "new"


def test_another_process_is_refused_and_leaves_the_first_ones_work_alone(tmp_path: Path):
    out = tmp_path / "bundle"
    code = "import sys; from pathlib import Path; from clavilux.export.work.staging import staged; "
    code += "staged(Path(sys.argv[1]), overwrite=False).__enter__()"
    with staged(out, overwrite=False) as work:
        (work.scratch / "half").touch()
        other = subprocess.run(
            [sys.executable, "-c", code, out], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        assert "is being exported by another process" in other.stderr
        assert (work.scratch / "half").exists()


Disk = namedtuple("Disk", "free")


def test_a_disk_without_enough_room_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(free=2e9))
    with pytest.raises(ExportError, match=r"needs 3\.5 GB while it is made, 2\.0 GB are free; make room, or choose"):
        check_room(tmp_path / "made" / "bundle", 3_500_000_000)


def test_a_disk_with_just_enough_room_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(free=1000))
    check_room(tmp_path / "bundle", 1000)


def test_the_room_is_asked_of_the_disk_that_the_bundle_will_lie_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[Path] = []
    monkeypatch.setattr(shutil, "disk_usage", lambda place: (asked.append(place), Disk(free=1))[1])
    monkeypatch.chdir(tmp_path)
    check_room(Path("made/deeper/bundle"), 1)
    assert asked == [tmp_path]


def test_what_a_stopped_export_has_left_counts_as_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bundle = WorkFolder(work_folder(tmp_path / "bundle")).bundle
    bundle.mkdir(parents=True)
    (bundle / "denoiser.onnx").write_bytes(bytes(600))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(free=400))
    check_room(tmp_path / "bundle", 1000)


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_of_others_is_reported(tmp_path: Path):
    tmp_path.chmod(0o500)
    try:
        assert "cannot be written: Permission denied" in refusal(tmp_path / "bundle", overwrite=False)
    finally:
        tmp_path.chmod(0o700)
