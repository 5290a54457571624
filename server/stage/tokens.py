"""Tokens of a stage: which one is shown, in a time that tells nothing of it, and whether it still holds.

Pure: the wall clock, which expiry goes by, is passed in.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from clavilux.server.settings import Settings, Token

WallClock = Callable[[], datetime]
"""The time of day, with its zone."""


def wall_clock() -> datetime:
    """Return the time of day by the machine's clock."""
    return datetime.now(UTC)


def digest(text: str) -> bytes:
    """Return the sha256 of a text, lone surrogates and all: as long for every text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def tokens_of(settings: Settings) -> tuple[Token, ...]:
    """Return all tokens of `settings`, the one that may do everything first."""
    return (*([] if settings.token is None else [Token(settings.token, name="the token")]), *settings.tokens)


class Tokens:
    """The tokens that open a stage."""

    def __init__(self, tokens: Iterable[Token], clock: WallClock = wall_clock) -> None:
        self._known = [(digest(token.text), token) for token in tokens]
        self._clock = clock

    @property
    def required(self) -> bool:
        """Whether there are any, expired ones too: then everyone needs one."""
        return bool(self._known)

    def find(self, shown: str) -> Token | None:
        """Return the token that `shown` is, which may have expired; None for none. All are compared, whatever comes."""
        wanted = digest(shown)
        found = [token for known, token in self._known if hmac.compare_digest(known, wanted)]
        return max(found, key=self.holds, default=None)

    def holds(self, token: Token) -> bool:
        """Whether `token` has not expired yet."""
        return token.expires is None or self._clock() < token.expires
