"""Sessions: a secret per start, known again, and good for the token that it began with alone."""

import pytest

from clavilux.server.settings import Token
from clavilux.server.stage import sessions as module
from clavilux.server.stage.sessions import Sessions

TOKEN, OTHER = Token("secret"), Token("other")


def test_a_session_is_long_and_each_is_another() -> None:
    sessions = Sessions()
    first, second = sessions.open(None, None), sessions.open(None, None)
    assert len(first) >= 22
    assert first != second


def test_who_comes_back_keeps_the_session() -> None:
    sessions = Sessions()
    first = sessions.open(None, TOKEN)
    assert sessions.open(first, TOKEN) == first


def test_who_shows_a_session_with_another_token_gets_a_new_one_and_takes_nothing_from_it() -> None:
    sessions = Sessions()
    first = sessions.open(None, TOKEN)
    assert sessions.open(first, OTHER) != first
    assert sessions.open(first, None) != first
    assert not sessions.vouches(first, "other")
    assert sessions.vouches(first, "secret")


@pytest.mark.parametrize("invented", ["", "guest", "\ud800"])
def test_a_session_that_a_client_has_invented_is_not_taken(invented: str) -> None:
    assert Sessions().open(invented, None) != invented


def test_a_session_vouches_for_its_own_token_alone() -> None:
    sessions = Sessions()
    session = sessions.open(None, TOKEN)
    assert sessions.vouches(session, "secret")
    assert not sessions.vouches(session, "other")
    assert not sessions.vouches(None, "secret")
    assert not sessions.vouches("invented", "secret")
    assert not sessions.vouches(sessions.open(None, None), "")


def test_the_oldest_sessions_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    sessions = Sessions()
    first, second = sessions.open(None, TOKEN), sessions.open(None, TOKEN)
    sessions.open(first, TOKEN)
    sessions.open(None, TOKEN)
    assert sessions.vouches(first, "secret")
    assert not sessions.vouches(second, "secret")


def test_no_session_is_forgotten_because_another_token_opens_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    sessions = Sessions()
    first = sessions.open(None, TOKEN)
    for _ in range(3):
        sessions.open(None, OTHER)
    assert sessions.vouches(first, "secret")
