"""The commands of this folder say what is wrong in one line, and end with 2."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.loading import DEFAULT_BUNDLE
from clavilux.training.command_line import command
from clavilux.training.lumia import make
from clavilux.training.lumia.data import build
from clavilux.training.lumia.measure import evaluate, films, sheets
from clavilux.training.studies import chunked_retrieval

MAINS = {"evaluate": evaluate.main, "sheets": sheets.main, "films": films.main, "lumia": make.main}
MAINS |= {"build_data": build.main, "chunked_retrieval": chunked_retrieval.main}


@pytest.fixture
def mistake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs a command which must fail, and returns what it says."""

    def run(name: str, *words: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        assert command(name, MAINS[name]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        return lines[0]

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file, below which no folder can be made."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file"


def foreign(folder: Path, **line: object) -> Path:
    folder.mkdir()
    (folder / "manifest.jsonl").write_text(json.dumps({"audio": "a.wav", "caption": "dog"} | line) + "\n")
    return folder


@pytest.mark.parametrize("name", ["evaluate", "sheets", "films"])
def test_a_missing_bundle_is_named_first(mistake: Callable[..., str], tmp_path: Path, name: str) -> None:
    out = [] if name == "evaluate" else ["--out", tmp_path / "out.png"]
    line = mistake(name, tmp_path / "none", "--work", tmp_path / "nowhere", *out)
    assert line.startswith(f"{name}: ")
    assert str(tmp_path / "none") in line


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ({}, "line 1 has no 'split'; expected a set that clavilux.training.lumia.data.build made"),
        ({"split": "train"}, "has no voices to test with; expected a set that clavilux.training.lumia.data.build made"),
        ({"split": "test"}, "line 1 cannot be used ("),
    ],
)
def test_a_set_of_others_is_not_measured_with(
    mistake: Callable[..., str], tmp_path: Path, found: dict[str, object], complaint: str
) -> None:
    assert complaint in mistake("evaluate", DEFAULT_BUNDLE, "--work", foreign(tmp_path / "work", **found))


def test_figures_need_a_folder_before_anything_is_measured(mistake: Callable[..., str], tmp_path: Path) -> None:
    place = tmp_path / "none" / "figures.json"
    line = mistake("evaluate", DEFAULT_BUNDLE, "--work", tmp_path, "--json", place)
    assert line == f"evaluate: --json is {place}, but there is no folder {place.parent}"


def test_a_folder_that_cannot_be_made_is_one_line(mistake: Callable[..., str], file: Path) -> None:
    assert mistake("build_data", file / "data") == f"build_data: {file / 'data'}: Not a directory"
    assert mistake("lumia", "--work", file / "work", "--out", file).startswith(f"lumia: {file / 'work'}: Not a")
    line = mistake("films", DEFAULT_BUNDLE, "--work", file.parent, "--out", file / "films")
    assert line == f"films: {file / 'films'}: Not a directory"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "work/encoder"),
        (["--chunks", "5"], "--chunks is '5'; expected numbers of frames"),
        (["--every", "0"], "--every is 0, --fine-tune 0; expected 1 or more, 0 or more"),
    ],
)
def test_chunks_that_cannot_be_are_one_line(
    mistake: Callable[..., str], tmp_path: Path, words: list[str], complaint: str
) -> None:
    assert complaint in mistake("chunked_retrieval", tmp_path / "work", *words)


def test_of_a_longer_message_the_first_line_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ClaviluxError("one\ntwo")

    assert command("name", fail) == 2
    assert capsys.readouterr().err == "name: one\n"


def test_what_ends_well_ends_with_its_own_code() -> None:
    assert (command("name", lambda: None), command("name", lambda: 3)) == (0, 3)


def test_an_interruption_is_no_mistake() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert command("name", interrupted) == 130
