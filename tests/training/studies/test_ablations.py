"""Every variation changes one thing, and the table can be made in parts."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from clavilux.training.command_line import command
from clavilux.training.studies.ablations import VARIATIONS, base_options, parser
from clavilux.training.studies.ablations import main as run_main
from tests.training.alignment.few_clips import write_clips, write_manifest


def words(folder: Path, checkpoints: Path, *more: str) -> list[str]:
    places = [str(folder / "data"), str(folder / "out"), "--text", str(checkpoints / "pipeline"), "--tokens", "8"]
    return [*places, "--steps", "2", "--batch", "4", "--layers", "1", "--width", "24", *more]


def main(words: list[str]) -> int:
    return command("ablations", lambda: run_main(words))


@pytest.mark.parametrize("variation", VARIATIONS[1:-1], ids=lambda one: one.name)
def test_a_variation_changes_one_thing(variation: object) -> None:
    base = base_options(parser().parse_args(["data", "out", "--text", "x"]))
    made = variation.change(base)
    differing = [field.name for field in fields(base) if getattr(base, field.name) != getattr(made, field.name)]
    assert len(differing) == 1


def test_the_reference_changes_nothing() -> None:
    base = base_options(parser().parse_args(["data", "out", "--text", "x"]))
    assert VARIATIONS[0].change(base) == base


def test_the_table_grows_by_what_is_not_finished(
    tmp_path: Path, tiny_checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clips(tmp_path / "data")
    assert main(words(tmp_path, tiny_checkpoints, "--only", "reference")) == 0
    first = json.loads((tmp_path / "out" / "ablations.json").read_text())
    capsys.readouterr()
    assert main(words(tmp_path, tiny_checkpoints, "--only", "reference,windows")) == 0
    printed = capsys.readouterr()
    rows = json.loads((tmp_path / "out" / "ablations.json").read_text())
    assert [row["name"] for row in rows] == ["reference", "windows"]
    assert rows[0] == first[0]
    assert "reference: step" not in printed.err
    assert "windows: step" in printed.err
    table = (tmp_path / "out" / "ablations.md").read_text()
    assert len([line for line in table.splitlines() if line.startswith("|")]) == 4
    assert "3 test clips, 3 captions (chance 33.3%); encoder 1 x 24 from nothing, 2 steps of 4 clips" in table
    assert table in printed.out
    assert main(words(tmp_path, tiny_checkpoints, "--only", "windows")) == 0
    assert capsys.readouterr().out == printed.out


def test_a_variation_made_otherwise_is_not_mixed_in(
    tmp_path: Path, tiny_checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clips(tmp_path / "data")
    assert main(words(tmp_path, tiny_checkpoints, "--only", "reference")) == 0
    assert main(words(tmp_path, tiny_checkpoints, "--only", "reference", "--seed", "1")) == 2
    assert "reference was begun with options.schedule.seed 0, not 1" in capsys.readouterr().err
    assert main(words(tmp_path, tiny_checkpoints, "--only", "masked", "--seed", "1")) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(
            "reference was begun with options.schedule.seed 0, not 1; give what it was begun with, choose another OUT, "
            "or begin anew (clavilux train --restart)"
        )
    )


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--rate", "nan"], "ablations: --rate is nan; expected 1e-12 or more"),
        (["--layers", "0"], "ablations: the number of layers is 0; expected 1 or more"),
        (["--steps", "0"], "ablations: --steps is 0; expected 1 or more"),
    ],
)
def test_numbers_that_cannot_be_are_one_line(
    tmp_path: Path, tiny_checkpoints: Path, capsys: pytest.CaptureFixture[str], more: list[str], line: str
) -> None:
    assert main(words(tmp_path, tiny_checkpoints, *more)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == line


def test_an_unknown_variation_is_one_line(
    tmp_path: Path, tiny_checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(tmp_path, tiny_checkpoints, "--only", "louder")) == 2
    assert capsys.readouterr().err.startswith("ablations: no variation 'louder'; expected reference, masked")


def test_data_that_cannot_be_read_are_one_line(
    tmp_path: Path, tiny_checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    write_manifest(tmp_path / "data", [{"audio": "none.wav", "caption": "x"}])
    assert main(words(tmp_path, tiny_checkpoints)) == 2
    assert "no clip of 1 can be trained on" in capsys.readouterr().err
