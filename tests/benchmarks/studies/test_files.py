"""The study of sound files: every kind is read right, and nothing else is more than one line."""

from pathlib import Path

import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.studies.files import BEGIN, END, Outcome, cases, read, table, write_table
from clavilux.benchmarks.studies.sound_files import SECONDS
from tests.paths import ROOT

SHARE = 0.01  # of a length
NOT_TOLD = 0.1  # s
UNMEASURED = {"aac", "ac3", "eac3", "mp2", "ts", "amr"}  # endings of files that promise no length
KNOWN_ONCE = {"caf", "m4a", "mp4", "wv"}  # whose length FFmpeg corrects, or beyond whose end it does not look


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    return [read(case) for case in cases(tmp_path_factory.mktemp("files"))]


def test_there_are_two_hundred_files(outcomes: list[Outcome]) -> None:
    assert len(outcomes) >= 200
    assert {one.reader for one in outcomes} == {"libsndfile", "PyAV", ""}


def test_every_whole_file_is_read_right(outcomes: list[Outcome]) -> None:
    wrong = [one for one in outcomes if one.case.kind and not one.case.damage and not one.is_right]
    assert wrong == []


def test_a_whole_file_keeps_its_rate_and_is_no_reason_for_a_line(outcomes: list[Outcome]) -> None:
    whole = [one for one in outcomes if one.case.kind and not one.case.damage]
    assert [one.case.name for one in whole if one.rate != one.case.rate or one.told] == []


def test_a_damaged_file_is_one_line_or_the_sound_that_it_holds(outcomes: list[Outcome]) -> None:
    damaged = [one for one in outcomes if one.case.damage]
    assert len(damaged) > 80
    read_well = [one for one in damaged if not one.refusal]
    assert [one.case.name for one in read_well if not one.has_its_tones] == []
    most = {"joined to itself": 2 * SECONDS}
    room = 1 + SHARE
    too_long = [one for one in read_well if one.seconds > most.get(one.case.damage, SECONDS) * room + NOT_TOLD]
    assert {one.case.kind.container for one in too_long if one.case.kind} <= {"W64"}  # whose data go on to the end
    assert [one for one in too_long if not one.told] == []


def test_what_is_missing_or_more_than_promised_is_told(outcomes: list[Outcome]) -> None:
    other = [
        one
        for one in outcomes
        if one.case.damage and not one.refusal and abs(one.seconds - SECONDS) > NOT_TOLD + SHARE * SECONDS
    ]
    silent = {one.case.path.suffix[1:] for one in other if not one.told}
    assert silent <= UNMEASURED | KNOWN_ONCE | {"mp3", "flac", "ogg"}  # the last ones where what tells it is lost
    assert len([one for one in other if one.told]) > 20


def test_joined_files_are_read_to_the_last(outcomes: list[Outcome]) -> None:
    joined = {one.case.path.suffix[1:]: one.seconds for one in outcomes if one.case.damage == "joined to itself"}
    halves = {ending for ending, seconds in joined.items() if seconds < 2 * SECONDS * (1 - SHARE)}
    assert halves == {"m4a", "mp4", "wv"}  # players take the first one alone, too


def test_what_is_no_sound_is_one_line(outcomes: list[Outcome]) -> None:
    mistaken = [one for one in outcomes if one.case.kind is None]
    assert len(mistaken) > 20
    assert [one.case.name for one in mistaken if not one.refusal] == []


def test_every_refusal_is_one_line_with_the_files_name_and_what_was_expected(outcomes: list[Outcome]) -> None:
    refused = [one for one in outcomes if one.refusal]
    for one in refused:
        assert one.refusal.startswith(str(one.case.path))
        assert "; expected " in one.refusal
        assert "\n" not in one.refusal


def test_the_page_has_the_table_of_this_run(outcomes: list[Outcome]) -> None:
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == table(outcomes)


def test_the_table_of_a_page_is_written_anew_between_its_marks(outcomes: list[Outcome], tmp_path: Path) -> None:
    page = tmp_path / "files.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(page, outcomes)
    assert page.read_text() == f"before\n{BEGIN}\n{table(outcomes)}\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", f"{BEGIN} without an end", f"{END} before {BEGIN}"])
def test_a_page_without_its_marks_is_an_error_and_stays(tmp_path: Path, text: str) -> None:
    page = tmp_path / "files.md"
    page.write_text(text)
    with pytest.raises(BenchError, match=r"files.md has no place for the table; expected <!-- files: begin -->"):
        write_table(page, [])
    assert page.read_text() == text
