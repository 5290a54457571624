"""Admission to a stage: the token, the room for viewers and for sound, and the farewell when there is no engine left.

Knows no connection; `members` is the stage's own set, which is only read here.
"""

import hmac
from collections.abc import Iterable, Set

from clavilux.runtime.errors import ProtocolError
from clavilux.runtime.playing.engine_state import EngineState
from clavilux.server.protocol.messages import ErrorEvent, Start
from clavilux.server.protocol.text import error_event
from clavilux.server.protocol.words import CloseCode, ErrorCode, Role
from clavilux.server.settings import Settings
from clavilux.server.stage.interfaces import Lifecycle, Member
from clavilux.server.stage.outbox import Farewell


def count(members: Iterable[Member], role: Role) -> int:
    """Return how many of `members` have `role`."""
    return sum(member.role == role for member in members)


def engine_failed() -> Farewell:
    """Return the farewell of an engine that has failed for good; what ended it is for the server's log alone."""
    error = ProtocolError(ErrorCode.ENGINE_FAILED, "the engine has failed; the server's log says why")
    return Farewell(CloseCode.INTERNAL_ERROR, "engine failed", (error_event(error, fatal=True),))


class Admission:
    """The rules of who may join a stage."""

    def __init__(self, engine: Lifecycle, settings: Settings, members: Set[Member]) -> None:
        self._engine = engine
        self._settings = settings
        self._members = members

    def unauthorized(self, token: str | None) -> Farewell | None:
        """Return the farewell to who shows a wrong `token`, in a time that does not depend on where it goes wrong."""
        expected, shown = ((text or "").encode("utf-8", "surrogatepass") for text in (self._settings.token, token))
        if self._settings.token is None or hmac.compare_digest(expected, shown):
            return None
        line = "this stage wants a token, and this is not it" if token else "this stage wants a token in start"
        event = ErrorEvent(ErrorCode.UNAUTHORIZED, line, fatal=True)
        return Farewell(CloseCode.POLICY_VIOLATION, "unauthorized", (event,))

    def refusal(self, role: Role) -> Farewell | None:
        """Return why nobody can join as `role` now: the engine has failed, or viewers fill the stage."""
        if self._engine.state is EngineState.FAILED:
            return engine_failed()
        limit = self._settings.max_viewers
        # A full house must not keep the performer out.
        if role == Role.VIEWER and count(self._members, role) >= limit:
            return Farewell(CloseCode.TRY_AGAIN_LATER, f"stage full: {limit} watch; try again later")
        return None

    def admit(self, start: Start) -> None:
        """Check that there is room for the sound of `start`. Raises ProtocolError "stage_taken" if there is not."""
        if start.sound is not None and self._settings.own_sound:
            line = 'the sound comes from the server\'s own sound card; send "sound": null'
            raise ProtocolError(ErrorCode.STAGE_TAKEN, line)
        if start.sound is not None and any(member.sounding for member in self._members):
            line = 'another performer sounds on this stage; watch it, or send "sound": null'
            raise ProtocolError(ErrorCode.STAGE_TAKEN, line)
