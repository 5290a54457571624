"""Admission: the right token, room for viewers, and one who sounds."""

from dataclasses import replace

import pytest

from clavilux.runtime.errors import ProtocolError
from clavilux.server.protocol.messages import SoundFormat, Start
from clavilux.server.settings import Settings
from clavilux.server.stage.admission import Admission, count, engine_failed
from tests.server.fakes import FakeEngine, Guest

PLAYING = Start("performer", SoundFormat("float32", 48_000))


def admission(*members: Guest, failure: BaseException | None = None, **settings: object) -> Admission:
    return Admission(FakeEngine(failure=failure), replace(Settings(), **settings), set(members))


def test_only_one_may_sound() -> None:
    with pytest.raises(ProtocolError, match="another performer sounds") as caught:
        admission(Guest("performer", sounding=True)).admit(PLAYING)
    assert caught.value.code == "stage_taken"


@pytest.mark.parametrize("role", ["performer", "viewer"])
def test_who_brings_no_sound_is_always_admitted(role: str) -> None:
    admission(Guest("performer", sounding=True)).admit(Start(role))


def test_a_performer_may_sound_beside_those_who_do_not() -> None:
    admission(Guest("performer"), Guest()).admit(PLAYING)


def test_a_sound_card_of_the_servers_own_takes_the_stage() -> None:
    with pytest.raises(ProtocolError, match="own sound card") as caught:
        admission(own_sound=True).admit(PLAYING)
    assert caught.value.code == "stage_taken"


def test_a_full_stage_says_so() -> None:
    assert admission(Guest("performer"), max_viewers=1).refusal("viewer") is None
    full = admission(Guest(), max_viewers=1).refusal("viewer")
    assert full is not None
    assert (full.code, full.reason) == (1013, "stage full: 1 watch; try again later")


def test_a_full_stage_still_lets_a_performer_in() -> None:
    assert admission(max_viewers=0).refusal("performer") is None


@pytest.mark.parametrize("role", ["performer", "viewer"])
def test_without_an_engine_nobody_is_let_in(role: str) -> None:
    failure = RuntimeError("broken")
    assert admission(failure=failure).refusal(role) == engine_failed()


def test_the_farewell_of_a_failed_engine_tells_strangers_nothing_of_the_error() -> None:
    farewell = engine_failed()
    event = farewell.messages[0]
    assert farewell.code == 1011
    assert (event.code, event.fatal) == ("engine_failed", True)
    assert event.message == "the engine has failed; the server's log says why"


@pytest.mark.parametrize(
    ("expected", "shown", "opens"),
    [
        (None, None, True),
        (None, "anything", True),
        ("secret", "secret", True),
        ("secret", "Secret", False),
        ("secret", None, False),
        ("schlüssel", "schlüssel", True),
        ("secret", "\ud800", False),
    ],
)
def test_a_token_opens_the_stage_only_if_it_is_the_right_one(
    expected: str | None, shown: str | None, opens: bool
) -> None:
    assert (admission(token=expected).unauthorized(shown) is None) is opens


@pytest.mark.parametrize(("shown", "line"), [(None, "wants a token in start"), ("wrong", "and this is not it")])
def test_who_is_sent_away_learns_whether_a_token_was_missing_or_wrong(shown: str | None, line: str) -> None:
    farewell = admission(token="secret").unauthorized(shown)
    assert farewell is not None
    assert farewell.code == 1008
    assert line in farewell.messages[0].message


def test_members_are_counted_by_role() -> None:
    members = [Guest(), Guest("performer"), Guest()]
    assert (count(members, "viewer"), count(members, "performer")) == (2, 1)
