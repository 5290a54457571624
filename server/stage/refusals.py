"""Refusals: farewells to who may not join a stage, or not now, or no longer."""

import math

from clavilux.server.protocol.messages import ErrorEvent
from clavilux.server.protocol.words import CLOSE_REPLACED, CloseCode, ErrorCode
from clavilux.server.stage.outbox import Farewell


class RefusedError(Exception):
    """A client may not join; `farewell` says why, and ends its connection."""

    def __init__(self, farewell: Farewell) -> None:
        event = next((message for message in farewell.messages if isinstance(message, ErrorEvent)), None)
        super().__init__(farewell.reason if event is None else event.message)
        self.code = "refused" if event is None else event.code  # an ErrorCode
        self.retry_after = None if event is None else event.retry_after  # s
        self.farewell = farewell


def try_again(line: str, seconds: float) -> Farewell:
    """Return the farewell of who may come again in `seconds`; `line` says why, in 100 characters at most."""
    whole = max(1, math.ceil(seconds))
    told = f"{line}; try again in {whole} s"
    return Farewell(
        CloseCode.TRY_AGAIN_LATER, told, (ErrorEvent(ErrorCode.TRY_AGAIN, told, fatal=True, retry_after=whole),)
    )


def unauthorized(line: str) -> Farewell:
    """Return the farewell of who shows no token, or a wrong one."""
    return Farewell(CloseCode.POLICY_VIOLATION, "unauthorized", (ErrorEvent(ErrorCode.UNAUTHORIZED, line, fatal=True),))


def replaced(line: str) -> Farewell:
    """Return the farewell of a connection whose place another one has taken."""
    return Farewell(CLOSE_REPLACED, line, (ErrorEvent(ErrorCode.REPLACED, line, fatal=True),))
