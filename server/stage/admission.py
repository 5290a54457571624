"""Admission to a stage: the token, the room for viewers and performers, who sounds, and who gives way to whom.

Knows no connection; `members` is the stage's own set, which is only read here. Times are seconds of the engine's clock.
"""

import hmac
from collections.abc import Iterable, Set

from clavilux.runtime.errors import ProtocolError
from clavilux.runtime.playing.engine_state import EngineState
from clavilux.server.protocol.messages import Start
from clavilux.server.protocol.text import error_event
from clavilux.server.protocol.words import CloseCode, ErrorCode, Role
from clavilux.server.settings import Right, Settings, Token
from clavilux.server.stage.interfaces import Lifecycle, Member
from clavilux.server.stage.lobby import Lobby
from clavilux.server.stage.outbox import Farewell
from clavilux.server.stage.refusals import RefusedError, try_again, unauthorized
from clavilux.server.stage.sessions import Sessions
from clavilux.server.stage.tokens import Tokens, WallClock, digest, tokens_of, wall_clock
from clavilux.server.stage.tries import Tries
from clavilux.server.stage.visitor import Visitor

SILENCE = 2.0  # s without a message, after which a performer gives way to one who shows the same token
STRANGERS_SILENCE = 10.0  # s, where there are no tokens: to anyone
RETRY_SECONDS = 5.0  # until a place may have become free
SHARE_OF_A_HOUSE = 2  # the places of performers through this are for those without sound at one address, without tokens


def count(members: Iterable[Member], role: Role) -> int:
    """Return how many of `members` have `role`."""
    return sum(member.role == role for member in members)


def engine_failed() -> Farewell:
    """Return the farewell of an engine that has failed for good; what ended it is for the server's log alone."""
    error = ProtocolError(ErrorCode.ENGINE_FAILED, "the engine has failed; the server's log says why")
    return Farewell(CloseCode.INTERNAL_ERROR, "engine failed", (error_event(error, fatal=True),))


class Admission:
    """The rules of who may join a stage."""

    def __init__(
        self, engine: Lifecycle, settings: Settings, members: Set[Member], clock: WallClock = wall_clock
    ) -> None:
        self.sessions = Sessions()
        self._lobbies = {
            right: Lobby(settings.max_waiting, settings.max_waiting_per_address) for right in (None, *Right)
        }
        self._engine = engine
        self._settings = settings
        self._members = members
        self._tokens = Tokens(tokens_of(settings), clock)
        self._tries = Tries()

    def lobby(self, visitor: Visitor) -> Lobby:
        """Return where a visitor waits until it starts: each right has a lobby, and who has none cannot fill it."""
        return self._lobbies[None if visitor.token is None else visitor.token.right]

    def dismiss(self, farewell: Farewell) -> None:
        """Say goodbye to all who have not started."""
        for lobby in self._lobbies.values():
            lobby.dismiss(farewell)

    def identify(self, shown: str | None, visitor: Visitor, now: float, session: str | None = None) -> Token | None:
        """Return the token that a visitor has shown, None where there are no tokens.

        Raises RefusedError for none, a wrong one, one that has expired, or one that is not looked at: an address has
        few tries. Who comes back with the token that its `session` began with is not held up by others there who guess.
        """
        if not self._tokens.required:
            return None
        if not shown:
            raise RefusedError(unauthorized("this stage wants a token in start"))
        wait = self._tries.wait(visitor.house, now)
        if wait > 0 and not self.sessions.vouches(session, shown):
            raise RefusedError(try_again("too many wrong tokens from your address", wait))
        token = self._tokens.find(shown)
        if token is None:
            self._tries.wrong(visitor.house, now)
            raise RefusedError(unauthorized("this stage wants a token, and this is not it"))
        self.check(token)
        return token

    def check(self, token: Token | None) -> None:
        """Check that the token of a connection still holds. Raises RefusedError once it has expired."""
        if token is not None and not self._tokens.holds(token):
            raise RefusedError(unauthorized("this token has expired"))

    def refusal(self, role: Role) -> Farewell | None:
        """Return why nobody can join as `role` now: the engine has failed, or viewers fill the stage."""
        if self._engine.state is EngineState.FAILED:
            return engine_failed()
        limit = self._settings.max_viewers
        # A full house must not keep the performer out.
        if role == Role.VIEWER and count(self._members, role) >= limit:
            return try_again(f"stage full: {limit} watch", RETRY_SECONDS)
        return None

    def admit(self, start: Start, visitor: Visitor, token: Token | None, now: float) -> list[Member]:
        """Return who gives way to `start`: its own former connection, and a performer in whose place it may sound.

        Raises ProtocolError "not_performer" where `token` only watches, "stage_taken" where there is no room for its
        sound, and RefusedError where there are too many performers without.
        """
        if start.role == Role.PERFORMER and token is not None and token.right < Right.PLAY:
            line = "this token only watches; start as a viewer, or show one that may play"
            raise ProtocolError(ErrorCode.NOT_PERFORMER, line)
        leaving = [one for one in self._members if _same(one.session, start.session) and one.token == token]
        if start.sound is not None:
            leaving += self._outplayed(start, token, now, self._members - set(leaving))
        elif start.role == Role.PERFORMER:
            self._check_room(visitor, self._members - set(leaving))
        return leaving

    def _outplayed(self, start: Start, token: Token | None, now: float, others: Set[Member]) -> list[Member]:
        """Return who sounds and gives way. Raises ProtocolError "stage_taken" if one does not."""
        if self._settings.own_sound:
            line = 'the sound comes from the server\'s own sound card; send "sound": null'
            raise ProtocolError(ErrorCode.STAGE_TAKEN, line)
        sounding = [member for member in others if member.sounding]
        may_take = start.take_over and token is not None and token.right == Right.ADMIN
        if not may_take and not all(self._is_abandoned(member, token, now) for member in sounding):
            line = 'another performer sounds on this stage; watch it, or send "sound": null'
            raise ProtocolError(ErrorCode.STAGE_TAKEN, line)
        return sounding

    def _is_abandoned(self, member: Member, token: Token | None, now: float) -> bool:
        """Whether one who shows `token` may think that `member`, who sounds, has gone."""
        bound = SILENCE if self._tokens.required else STRANGERS_SILENCE
        return member.token == token and now - member.heard_at > bound

    def _check_room(self, visitor: Visitor, others: Set[Member]) -> None:
        """Check that there is a place for one more performer without sound: the last of all is for one who sounds."""
        there = [member for member in others if member.role == Role.PERFORMER and not member.sounding]
        limit = self._settings.max_performers
        if len(there) >= limit - 1:
            raise RefusedError(try_again(f"stage full: {len(there)} perform without sound", RETRY_SECONDS))
        neighbours = sum(member.visitor.house == visitor.house for member in there)
        if not self._tokens.required and neighbours >= max(1, limit // SHARE_OF_A_HOUSE):
            raise RefusedError(try_again(f"{neighbours} perform from your address without sound", RETRY_SECONDS))


def _same(session: str, shown: str | None) -> bool:
    return bool(shown) and hmac.compare_digest(digest(session), digest(shown or ""))
