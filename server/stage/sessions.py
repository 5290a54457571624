"""Sessions of a stage: secrets by which a client is known that comes back after its connection broke.

A session is no token. It says that this is the one who was here, so that it may take the place of its own former
connection, and that the token it shows again need not be guarded against guessing.
"""

import hmac
import secrets
from collections import OrderedDict

from clavilux.server.settings import Token
from clavilux.server.stage.tokens import digest

SESSION_BYTES = 16  # at random
MAX_SESSIONS = 1024  # remembered; the oldest are forgotten


class Sessions:
    """The last sessions of a stage, each with the token that it began with."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[bytes, Token | None] = OrderedDict()  # by the session's digest

    def open(self, session: str | None, token: Token | None) -> str:
        """Return `session` if it is one, otherwise a new one; remember that `token` opened it."""
        key = digest(session or "")
        if session is None or key not in self._tokens:
            session = secrets.token_urlsafe(SESSION_BYTES)
            key = digest(session)
        self._tokens[key] = token
        self._tokens.move_to_end(key)
        if len(self._tokens) > MAX_SESSIONS:
            self._tokens.popitem(last=False)
        return session

    def vouches(self, session: str | None, shown: str) -> bool:
        """Whether `session` began with the very token that is `shown`."""
        token = None if session is None else self._tokens.get(digest(session))
        return token is not None and hmac.compare_digest(digest(token.text), digest(shown))
