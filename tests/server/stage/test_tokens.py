"""Tokens: which one is shown, whatever it is, and until when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from clavilux.server.settings import Right, Settings, Token
from clavilux.server.stage import tokens as module
from clavilux.server.stage.tokens import Tokens, tokens_of

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
DOOR = Token("open sesame", Right.WATCH, "door", expires=NOON)
BAND = Token("schlüssel", Right.PLAY, "band")


class Day:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON - timedelta(seconds=1)

    def __call__(self) -> datetime:
        return self.now


@pytest.mark.parametrize("shown", ["Open sesame", "open sesam", "open sesame ", "", "\ud800", "x" * 100_000])
def test_another_text_is_no_token(shown: str) -> None:
    assert Tokens([DOOR, BAND], Day()).find(shown) is None


def test_each_token_is_found() -> None:
    tokens = Tokens([DOOR, BAND], Day())
    assert tokens.find("open sesame") is DOOR
    assert tokens.find("schlüssel") is BAND


def test_a_token_ends_the_moment_that_it_expires_and_one_is_wanted_all_the_same() -> None:
    day = Day()
    tokens = Tokens([DOOR], day)
    assert tokens.holds(DOOR)
    day.now = NOON
    assert not tokens.holds(DOOR)
    assert tokens.find("open sesame") is DOOR  # so that it can be told apart from a wrong one
    assert tokens.required


def test_of_two_that_are_the_same_the_one_that_holds_is_found() -> None:
    later = replace(DOOR, expires=None)
    day = Day()
    day.now = NOON
    for both in ([DOOR, later], [later, DOOR]):
        assert Tokens(both, day).find("open sesame") is later


def test_every_token_is_compared_whichever_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def compare(known: bytes, shown: bytes) -> bool:
        compared.append(len(known))
        assert len(known) == len(shown)
        return known == shown

    tokens = Tokens([DOOR, BAND], Day())
    monkeypatch.setattr(module.hmac, "compare_digest", compare)
    for shown in ("open sesame", "schlüssel", "no"):
        tokens.find(shown)
    assert compared == [32] * 6


def test_the_one_token_of_the_settings_may_do_everything() -> None:
    settings = Settings(token="secret", tokens=(DOOR, BAND))
    one, *others = tokens_of(settings)
    assert (one.text, one.right, one.expires, others) == ("secret", Right.ADMIN, None, [DOOR, BAND])
    assert tokens_of(Settings()) == ()
    assert not Tokens(()).required


def test_by_default_the_machine_tells_the_time() -> None:
    long_ago, far_off = datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
    tokens = Tokens([Token("old", expires=long_ago), Token("new", expires=far_off)])
    found = [tokens.find(text) for text in ("old", "new")]
    assert [token is not None and tokens.holds(token) for token in found] == [False, True]


def test_a_token_is_in_no_text_that_shows_settings() -> None:
    assert "open sesame" not in repr(Settings(token="open sesame", tokens=(DOOR,)))
