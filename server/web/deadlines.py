"""Deadlines of one connection: by when it must have asked, read, and gone. Pure: the caller tells the time.

Times are seconds of a clock that does not go back.
"""

from clavilux.server.web.limits import Limits


class Deadlines:
    """Since when a connection is at what it is at."""

    def __init__(self, limits: Limits, now: float) -> None:
        """A connection that opens at `now`, and has to ask for something."""
        self.asking: float | None = now  # a request is awaited; None while one is answered, or a websocket is open
        self.unread: float | None = None  # more waits for the peer than its buffer holds
        self._closing: float | None = None
        self._limits = limits

    def overdue(self, now: float, *, closing: bool) -> str | None:
        """Return what has lasted too long at `now`, None if nothing has; `closing` says that it was closed already."""
        if closing and self._closing is None:
            self._closing = now
        if self._closing is not None:
            return "closing" if now - self._closing > self._limits.closing_seconds else None
        if self.unread is not None and now - self.unread > self._limits.unread_seconds:
            return "unread"
        if self.asking is not None and now - self.asking > self._limits.head_seconds:
            return "asking"
        return None
