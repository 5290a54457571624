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
MAX_SESSIONS = 1024  # remembered of each token; its oldest are forgotten


class Sessions:
    """The last sessions of a stage, of each token its own: whoever shows another one makes none of them forgotten."""

    def __init__(self) -> None:
        # Digests, the oldest first, by the token that they began with.
        self._known: dict[Token | None, OrderedDict[bytes, None]] = {}

    def open(self, session: str | None, token: Token | None) -> str:
        """Return `session` if it is one that `token` has opened, otherwise a new one, and remember it."""
        known = self._known.setdefault(token, OrderedDict())
        key = digest(session or "")
        if session is None or key not in known:
            session = secrets.token_urlsafe(SESSION_BYTES)
            key = digest(session)
        known[key] = None
        known.move_to_end(key)
        if len(known) > MAX_SESSIONS:
            known.popitem(last=False)
        return session

    def vouches(self, session: str | None, shown: str) -> bool:
        """Whether `session` began with the very token that is `shown`."""
        key, wanted = digest(session or ""), digest(shown)
        began = [token for token, known in self._known.items() if key in known]
        return any(token is not None and hmac.compare_digest(digest(token.text), wanted) for token in began)
