"""Tokens of a file: each field taken, each mistake named without showing a token, each weakness told."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clavilux.runtime.errors import DeviceError
from clavilux.server.commands.tokens_file import read_tokens
from clavilux.server.settings import Right, Token

LONG = "correct horse battery staple"


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "tokens.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def one(**fields: str) -> str:
    return "[[token]]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items())


def test_every_field_of_a_token_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = one(token=f'"{LONG}"', role='"watch"', name='"door"', expires="9998-12-01T00:00:00Z")
    text += one(token=f'"{LONG}!"', role='"admin"')
    assert read_tokens(written(tmp_path, text)) == (
        Token(LONG, Right.WATCH, "door", datetime(9998, 12, 1, tzinfo=UTC)),
        Token(f"{LONG}!", Right.ADMIN, "token 2", None),
    )
    assert caplog.records == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", r"has no \[\[token\]\]"),
        ("[token]\na = 1\n", r"has no \[\[token\]\]"),
        ("token = []", r"has no \[\[token\]\]"),
        (one(token=f'"{LONG}"', role='"play"') + "[other]\n", r"has no \[\[token\]\], or more than those"),
        ("token = [1]", "token 1 has fields of unknown names; expected token, role, name, expires"),
        (one(token=f'"{LONG}"', rôle='"play"'), "is not TOML, at line 3, column 2; expected tables"),
        (one(token=f'"{LONG}'), r"is not TOML, at line 2, column \d+; expected tables"),
        (one(token=f'"{LONG}"') + "a = ", "is not TOML, at end of document; expected tables"),
        (one(token=f'"{LONG}"', roles='"play"'), "token 1 has fields of unknown names"),
        (one(role='"play"'), 'token 1 has no "token" that is a string; expected 1 to 1024 characters'),
        (one(token="7", role='"play"'), 'token 1 has no "token" that is a string'),
        (one(token='""', role='"play"'), "token 1 has 0 characters; expected 1 to 1024"),
        (one(token=f'"{"x" * 1025}"', role='"play"'), "token 1 has 1025 characters; expected 1 to 1024"),
        (one(token=f'"{LONG}\\n"', role='"play"'), "token 1 holds what no header carries, such as a line end"),
        (one(token=f'" {LONG}"', role='"play"'), "token 1 holds what no header carries"),
        (one(token=f'"{LONG}"'), "token 1 has role missing; expected one of watch, play, admin"),
        (one(token=f'"{LONG}"', role='"performer"'), "token 1 has role 'performer'; expected one of watch"),
        (one(token=f'"{LONG}"', role='["play"]'), "token 1 has role .*; expected one of watch"),
        (one(token=f'"{LONG}"', role='"play"', name="3"), "token 1 has name 3; expected a string"),
        (one(token=f'"{LONG}"', role="[0x1" + "0" * 4000 + "]"), r"role \[a number of 4817 digits\]; expected one of"),
        (one(token=f'"{LONG}"', role=f'"{"x" * 4000}"'), "role 'x{58}…; expected one of watch"),
        (one(token=f'"{LONG}"', role='"play"', expires='"a\\nb"'), r"expires 'a\\nb'; expected a time with its zone"),
        ("token = " + "[" * 20_000, "is not TOML; expected tables"),
        (one(token=f'"{LONG}"', role='"play"', expires="9998-12-01T00:00:00"), "expires 9998-12-01T00:00:00; expected"),
        (one(token=f'"{LONG}"', role='"play"', expires="9998-12-01"), "expected a time with its zone"),
        (one(token=f'"{LONG}"', role='"play"') * 2, "token 2 stands there twice"),
    ],
)
def test_a_file_that_cannot_be_is_one_line_without_the_token(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(DeviceError, match=line) as told:
        read_tokens(written(tmp_path, text))
    assert "\n" not in str(told.value)
    assert LONG not in str(told.value)


def test_a_file_that_is_not_there_or_no_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot be read: No such file"):
        read_tokens(tmp_path / "nowhere.toml")
    (tmp_path / "tokens.toml").write_bytes(b"# one\n# tw\xff\n")
    with pytest.raises(DeviceError, match="is not UTF-8, in line 2; expected a TOML file"):
        read_tokens(tmp_path / "tokens.toml")


def test_a_file_without_end_is_not_read_to_it(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="/dev/zero has more than 1 MB; expected a TOML file of tokens"):
        read_tokens(Path("/dev/zero"))


def test_a_byte_order_mark_before_the_first_table_is_none_of_it(tmp_path: Path) -> None:
    text = "\ufeff" + one(token=f'"{LONG}"', role='"play"')
    assert [token.text for token in read_tokens(written(tmp_path, text))] == [LONG]


def test_a_token_that_has_expired_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = one(token=f'"{LONG}!"', role='"play"', expires="9999-01-01T00:00:00Z")
    text += one(token=f'"{LONG}"', role='"play"', expires="2020-01-01T00:00:00Z")
    assert len(read_tokens(written(tmp_path, text))) == 2
    (record,) = caplog.records
    assert "token 2 has expired at 2020-01-01 00:00:00+00:00; nobody gets in by it" in record.getMessage()


def test_a_short_token_and_a_file_that_others_may_read_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        read_tokens(written(tmp_path, one(token='"secret"', role='"play"'), mode=0o640))
    first, second = [record.getMessage() for record in caplog.records]
    assert "token 1 has 6 characters; at least 16" in first
    assert "others on this machine may read the tokens" in second
    assert "chmod 600" in second
    assert "secret" not in caplog.text
