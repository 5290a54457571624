"""Folders that appear whole or not at all."""

from pathlib import Path

import pytest

from export.staging import staged
from runtime.errors import ExportError


def write(folder: Path, text: str = "new") -> None:
    (folder / "bundle.json").write_text(text)


def test_the_folder_appears_when_the_block_ends(tmp_path: Path):
    out = tmp_path / "made" / "bundle"
    with staged(out, overwrite=False) as folder:
        write(folder)
        assert not out.exists()
    assert (out / "bundle.json").read_text() == "new"


def test_others_may_read_the_folder(tmp_path: Path):
    with staged(tmp_path / "bundle", overwrite=False) as folder:
        write(folder)
    assert (tmp_path / "bundle").stat().st_mode & 0o055 == 0o055


def stop(out: Path, *, overwrite: bool) -> None:
    with staged(out, overwrite=overwrite) as folder:
        write(folder)
        raise KeyboardInterrupt


def test_a_stopped_block_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        stop(tmp_path / "bundle", overwrite=False)
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
    with staged(out, overwrite=True) as folder:
        write(folder)
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
    assert "cannot be written: File exists" in refusal(tmp_path / "file" / "bundle", overwrite=False)


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path):
    def fill() -> None:
        with staged(tmp_path / "bundle", overwrite=False):
            raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match="cannot be written: No space left on device"):
        fill()
    assert list(tmp_path.iterdir()) == []
