"""Lines as the output can show them, whatever its encoding."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.commands.printable import one_line, printable


def output(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")


@pytest.mark.parametrize(
    ("encoding", "line", "shown"),
    [
        ("utf-8", "café マイク", "café マイク"),
        ("cp1252", "café マイク", "café \\u30de\\u30a4\\u30af"),
        ("ascii", "café", "caf\\xe9"),
        ("utf-8", os.fsdecode(b"caf\xe9"), "caf\\udce9"),
    ],
)
def test_what_the_output_cannot_show_stands_there_in_its_code(
    monkeypatch: pytest.MonkeyPatch, encoding: str, line: str, shown: str
) -> None:
    monkeypatch.setattr("sys.stdout", output(encoding))
    assert printable(line) == shown


@given(st.sampled_from(["ascii", "cp1252", "utf-8"]), st.text(st.characters(), max_size=20))
def test_any_line_can_be_printed(encoding: str, line: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", output(encoding))
        print(printable(line), flush=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb.wav is missing", "a\\nb.wav is missing"),
        ("\x1b[2Jgone\r\x85\u2028", "\\x1b[2Jgone\\r\\x85\\u2028"),
        ("café マイク 👩‍🎤", "café マイク 👩‍🎤"),
    ],
)
def test_a_complaint_is_one_line_and_moves_no_cursor(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(st.text(st.characters()))
def test_no_complaint_has_a_second_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1
