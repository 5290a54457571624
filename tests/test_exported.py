"""Exported bundles are made once, never stale, and nobody's changes reach the next one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests import exported
from tests.exported import ANEW, KEPT, NoBundleError, Shelf, fingerprint, shelf


@pytest.fixture
def made() -> list[str]:
    """Names of the bundles that were made."""
    return []


@pytest.fixture
def kept(tmp_path: Path, made: list[str]) -> Shelf:
    """A shelf whose bundles hold the count of those made before."""

    def make(name: str, folder: Path) -> None:
        (folder / "bundle").mkdir()
        (folder / "bundle" / "bundle.json").write_text(str(len(made)))
        made.append(name)

    return Shelf(tmp_path / "kept", "sources", "versions", make)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Path]:
    """New folders to copy to."""
    return (tmp_path / f"session-{i}" for i in range(9))


def content(bundle: Path) -> str:
    return (bundle / "bundle.json").read_text()


def test_a_bundle_is_made_once(kept: Shelf, made: list[str], places: Iterator[Path]):
    assert [content(kept.borrow("tiny", next(places))) for _ in range(3)] == ["0", "0", "0"]
    assert made == ["tiny"]


def test_two_who_ask_at_once_get_one_that_is_whole(kept: Shelf, made: list[str], places: Iterator[Path]):
    with ThreadPoolExecutor(4) as workers:
        assert (
            list(workers.map(lambda to: content(kept.borrow("tiny", to)), [next(places) for _ in range(4)]))
            == ["0"] * 4
        )
    assert made == ["tiny"]


@pytest.mark.parametrize("change", [{"sources": "others"}, {"versions": "newer"}])
def test_it_is_made_anew_when_something_it_is_made_of_changes(
    kept: Shelf, places: Iterator[Path], change: dict[str, str]
):
    kept.borrow("tiny", next(places))
    assert content(replace(kept, **change).borrow("tiny", next(places))) == "1"
    assert len(list(kept.folder.glob("tiny-*"))) == 1  # the stale one is gone


def test_each_name_is_a_bundle_of_its_own(kept: Shelf, made: list[str], places: Iterator[Path]):
    assert [content(kept.borrow(name, next(places))) for name in ("tiny", "flexible", "tiny")] == ["0", "1", "0"]
    assert made == ["tiny", "flexible"]


def test_what_a_session_does_to_its_copy_stays_there(kept: Shelf, places: Iterator[Path]):
    (kept.borrow("tiny", next(places)) / "bundle.json").write_text("damaged")
    assert content(kept.borrow("tiny", next(places))) == "0"


def test_one_that_was_stopped_half_way_is_not_taken(kept: Shelf, places: Iterator[Path]):
    def fail(name: str, folder: Path) -> None:
        kept.make(name, folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(kept, make=fail).borrow("tiny", next(places))
    assert content(kept.borrow("tiny", next(places))) == "1"


def test_without_torch_a_bundle_of_the_same_sources_is_taken(kept: Shelf, places: Iterator[Path]):
    kept.borrow("tiny", next(places))
    assert content(replace(kept, versions=None).borrow("tiny", next(places))) == "0"


def test_without_torch_a_bundle_of_other_sources_is_not_taken(kept: Shelf, places: Iterator[Path]):
    kept.borrow("tiny", next(places))
    with pytest.raises(NoBundleError, match="making one needs torch"):
        replace(kept, versions=None, sources="others").borrow("tiny", next(places))


def test_every_word_and_every_name_of_a_source_counts(tmp_path: Path):
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    for file in files:
        file.write_text("x = 1\n")
    found = {fingerprint(files, tmp_path), fingerprint(files[:1], tmp_path), fingerprint(files[1:], tmp_path)}
    files[1].write_text("x = 2\n")
    assert len(found | {fingerprint(files, tmp_path)}) == 4


def test_the_order_of_the_sources_does_not_count(tmp_path: Path):
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    for file in files:
        file.write_text(file.name)
    assert fingerprint(files, tmp_path) == fingerprint(files[::-1], tmp_path)


def test_the_checkouts_own_shelf_stands_on_the_export_and_on_the_bundles_contract(monkeypatch: pytest.MonkeyPatch):
    seen: list[Path] = []
    monkeypatch.setattr(exported, "fingerprint", lambda files, _: seen.extend(files) or "")
    shelf(Path())
    folders = {file.parent.relative_to(exported.ROOT).as_posix() for file in seen}
    assert {"clavilux/export", "clavilux/export/graphs", "clavilux/runtime/bundle", "tests"} <= folders
    assert not any(folder.startswith(("clavilux/server", "clavilux/runtime/playing")) for folder in folders)


@pytest.mark.parametrize(("value", "here"), [("", True), ("1", False)])
def test_the_environment_can_ask_for_new_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, here: bool):
    monkeypatch.setenv(ANEW, value)
    assert shelf(tmp_path).folder == (KEPT if here else tmp_path)
