"""Admission: the right token, room for viewers and performers, one who sounds, and who gives way."""

from dataclasses import replace

import pytest

from clavilux.runtime.errors import ProtocolError
from clavilux.server.protocol.messages import SoundFormat, Start
from clavilux.server.settings import Right, Settings, Token
from clavilux.server.stage.admission import SILENCE, STRANGERS_SILENCE, Admission, count, engine_failed
from clavilux.server.stage.outbox import Farewell
from clavilux.server.stage.refusals import RefusedError
from clavilux.server.stage.tries import BURST
from clavilux.server.stage.visitor import Visitor
from tests.server.fakes import NOW, FakeEngine, Guest

PLAYING = Start("performer", SoundFormat("float32", 48_000))
TURNING = Start("performer")
WATCHING = Start("viewer")
HERE, ELSEWHERE = Visitor("192.0.2.1"), Visitor("192.0.2.2")
WATCH, PLAY, ADMIN = (Token(f"the {right.name} token", right) for right in Right)
TOKENS = {"tokens": (WATCH, PLAY, ADMIN)}


def admission(*members: Guest, failure: BaseException | None = None, **settings: object) -> Admission:
    return Admission(FakeEngine(failure=failure), replace(Settings(), **settings), set(members))


def admit(
    stage: Admission, start: Start, token: Token | None = None, now: float = NOW, visitor: Visitor = HERE
) -> list[Guest]:
    return stage.admit(start, visitor, token, now)  # type: ignore[return-value]


def guest(role: str = "performer", *, sounding: bool = False, token: Token | None = None, session: str = "") -> Guest:
    made = Guest(role, sounding=sounding)
    made.token, made.session = token, session
    return made


def refused(stage: Admission, *shown: object, **more: object) -> Farewell:
    with pytest.raises(RefusedError) as caught:
        stage.identify(*shown, **more)
    return caught.value.farewell


def test_only_one_may_sound() -> None:
    with pytest.raises(ProtocolError, match="another performer sounds") as caught:
        admit(admission(Guest("performer", sounding=True)), PLAYING)
    assert caught.value.code == "stage_taken"


@pytest.mark.parametrize("role", ["performer", "viewer"])
def test_who_brings_no_sound_is_always_admitted(role: str) -> None:
    assert admit(admission(Guest("performer", sounding=True)), Start(role)) == []


def test_a_performer_may_sound_beside_those_who_do_not() -> None:
    assert admit(admission(Guest("performer"), Guest()), PLAYING) == []


def test_a_sound_card_of_the_servers_own_takes_the_stage() -> None:
    with pytest.raises(ProtocolError, match="own sound card") as caught:
        admit(admission(own_sound=True), PLAYING)
    assert caught.value.code == "stage_taken"


def test_a_full_stage_says_so() -> None:
    assert admission(Guest("performer"), max_viewers=1).refusal("viewer") is None
    full = admission(Guest(), max_viewers=1).refusal("viewer")
    assert full is not None
    assert (full.code, full.reason) == (1013, "stage full: 1 watch; try again in 5 s")
    assert full.messages[0].retry_after == 5


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


@pytest.mark.parametrize("shown", [None, "anything"])
def test_where_there_are_no_tokens_nobody_needs_one(shown: str | None) -> None:
    assert admission().identify(shown, HERE, NOW) is None


@pytest.mark.parametrize("token", [WATCH, PLAY, ADMIN], ids=lambda token: token.right.name)
def test_each_token_tells_who_one_is(token: Token) -> None:
    assert admission(**TOKENS).identify(token.text, HERE, NOW) is token


@pytest.mark.parametrize(
    ("shown", "line"),
    [(None, "wants a token in start"), ("", "wants a token in start"), ("\ud800", "and this is not it")],
)
def test_who_is_sent_away_learns_whether_a_token_was_missing_or_wrong(shown: str | None, line: str) -> None:
    farewell = refused(admission(token="secret"), shown, HERE, NOW)
    assert (farewell.code, farewell.reason) == (1008, "unauthorized")
    assert line in farewell.messages[0].message


def test_after_a_few_wrong_tokens_an_address_is_looked_at_no_more_not_even_if_it_is_right() -> None:
    stage = admission(token="secret")
    for _ in range(BURST):
        assert refused(stage, "wrong", HERE, NOW).code == 1008
    for shown in ("wrong", "secret"):
        farewell = refused(stage, shown, HERE, NOW + 1)
        assert (farewell.code, farewell.messages[0].code, farewell.messages[0].retry_after) == (1013, "try_again", 9)
    assert stage.identify("secret", ELSEWHERE, NOW + 1) is not None
    assert stage.identify("secret", HERE, NOW + 10) is not None


def test_the_right_token_and_a_missing_one_cost_no_try() -> None:
    stage = admission(token="secret")
    for _ in range(10 * BURST):
        stage.identify("secret", HERE, NOW)
        refused(stage, None, HERE, NOW)
    assert stage.identify("secret", HERE, NOW) is not None


def test_who_comes_back_is_let_in_though_others_guess_at_the_same_address() -> None:
    stage = admission(**TOKENS)
    session = stage.sessions.open(None, PLAY)
    for _ in range(BURST):
        refused(stage, "wrong", HERE, NOW)
    assert stage.identify(PLAY.text, HERE, NOW, session) is PLAY
    # And the session is no way to guess at other tokens.
    assert refused(stage, ADMIN.text, HERE, NOW, session=session).code == 1013


@pytest.mark.parametrize("start", [PLAYING, TURNING])
def test_a_token_that_only_watches_plays_nothing_and_the_session_lives(start: Start) -> None:
    with pytest.raises(ProtocolError, match="this token only watches") as caught:
        admit(admission(**TOKENS), start, WATCH)
    assert caught.value.code == "not_performer"
    assert admit(admission(**TOKENS), WATCHING, WATCH) == []


@pytest.mark.parametrize("token", [PLAY, ADMIN], ids=["play", "admin"])
def test_a_token_that_plays_sounds(token: Token) -> None:
    assert admit(admission(**TOKENS), PLAYING, token) == []


@pytest.mark.parametrize("start", [PLAYING, TURNING, WATCHING])
@pytest.mark.parametrize("role", ["performer", "viewer"])
def test_who_comes_back_takes_the_place_of_its_own_former_connection(start: Start, role: str) -> None:
    own, other = guest(role, sounding=role == "performer", session="mine"), guest("viewer", session="other")
    back = Start(start.role, start.sound, session="mine")
    assert admit(admission(own, other, max_performers=2), back) == [own]


@pytest.mark.parametrize("session", ["", "other", "\ud800"])
def test_who_shows_another_session_takes_no_place(session: str) -> None:
    sounding = guest(sounding=True, session="mine")
    with pytest.raises(ProtocolError, match="another performer sounds"):
        admit(admission(sounding), Start("performer", PLAYING.sound, session=session))


@pytest.mark.parametrize(
    ("shown", "silence", "gives_way"),
    [(PLAY, SILENCE + 0.1, True), (PLAY, SILENCE, False), (ADMIN, 1000.0, False)],
)
def test_a_silent_performer_gives_way_to_the_same_token_alone(shown: Token, silence: float, gives_way: bool) -> None:
    silent = guest(sounding=True, token=PLAY)
    stage = admission(silent, **TOKENS)
    if gives_way:
        assert admit(stage, PLAYING, shown, NOW + silence) == [silent]
        return
    with pytest.raises(ProtocolError, match="another performer sounds"):
        admit(stage, PLAYING, shown, NOW + silence)


def test_without_tokens_a_performer_who_says_nothing_for_long_gives_way_to_anyone() -> None:
    silent = guest(sounding=True)
    assert admit(admission(silent), PLAYING, now=NOW + STRANGERS_SILENCE + 0.1) == [silent]
    with pytest.raises(ProtocolError, match="another performer sounds"):
        admit(admission(silent), PLAYING, now=NOW + STRANGERS_SILENCE)


@pytest.mark.parametrize(("shown", "wish", "takes"), [(ADMIN, True, True), (ADMIN, False, False), (PLAY, True, False)])
def test_an_admin_sounds_in_anyones_place_if_it_says_so(shown: Token, wish: bool, takes: bool) -> None:
    sounding = guest(sounding=True, token=PLAY)
    start = Start("performer", PLAYING.sound, take_over=wish)
    if takes:
        assert admit(admission(sounding, **TOKENS), start, shown) == [sounding]
        return
    with pytest.raises(ProtocolError, match="another performer sounds"):
        admit(admission(sounding, **TOKENS), start, shown)


def test_without_tokens_nobody_is_an_admin() -> None:
    with pytest.raises(ProtocolError, match="another performer sounds"):
        admit(admission(guest(sounding=True)), Start("performer", PLAYING.sound, take_over=True))


def test_the_last_place_among_performers_is_for_one_who_sounds() -> None:
    stage = admission(guest(), guest(), max_performers=3, token="secret")
    with pytest.raises(RefusedError) as caught:
        admit(stage, TURNING, ADMIN)
    assert caught.value.farewell.reason == "stage full: 2 perform without sound; try again in 5 s"
    assert admit(stage, PLAYING, ADMIN) == []
    assert admit(stage, WATCHING, ADMIN) == []


def test_without_tokens_one_address_has_half_of_the_places_of_performers() -> None:
    strangers = [guest() for _ in range(2)]
    for each in strangers:
        each.visitor = ELSEWHERE
    stage = admission(*strangers, max_performers=4)
    with pytest.raises(RefusedError) as caught:
        admit(stage, TURNING, visitor=ELSEWHERE)
    assert caught.value.farewell.reason == "2 perform from your address without sound; try again in 5 s"
    assert admit(stage, TURNING, visitor=HERE) == []


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_who_sounds_finds_a_place_however_many_perform_without_sound(count: int) -> None:
    assert admit(admission(*(guest() for _ in range(count)), max_performers=2), PLAYING) == []


def test_with_tokens_an_address_may_have_all_places() -> None:
    assert admit(admission(guest(), guest(), max_performers=4, **TOKENS), TURNING, PLAY) == []


def test_members_are_counted_by_role() -> None:
    members = [Guest(), Guest("performer"), Guest()]
    assert (count(members, "viewer"), count(members, "performer")) == (2, 1)
