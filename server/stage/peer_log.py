"""Log of what peers cause: each refusal and failure counted, and said at most once in a while.

    peers = PeerLog(metrics.refused)
    peers.refused("origin", "192.0.2.7:50112 asked from http://evil.example")

Whoever can reach a server can make it say something; the log must not grow at their will. Of each kind one line is said
in PERIOD seconds, and `tell` says how many were left out. Used from one thread.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Counter

from clavilux.runtime.commands.printable import one_line

logger = logging.getLogger(__name__)

PERIOD = 10.0  # s, from one line of a kind to the next
MAX_KINDS = 256  # told apart; the rest are of one kind
MAX_CHARACTERS = 300  # of a line, some of which a peer has written
REST = "other"
REFUSED_ALREADY = ("ASGI callable returned without completing handshake.",)  # lines of uvicorn after every refusal


@dataclass
class _Kind:
    """A kind of line: how long it stays quiet, and how many lines were left out meanwhile."""

    quiet_until: float  # s of the clock
    left_out: int = 0


class PeerLog:
    """Lines that peers cause, by kind."""

    def __init__(self, refusals: Counter, clock: Callable[[], float] = time.monotonic) -> None:
        """`refusals` counts them by the label `reason`; `clock` gives seconds."""
        self._refusals = refusals
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}

    def refused(self, reason: str, line: str) -> None:
        """Count something that a peer was refused, and say so; `reason` is one of a few words."""
        self._refusals.labels(reason).inc()
        if self.admits(reason):
            logger.warning("%s", _cut(line), extra={"facts": {"event": "refused", "reason": reason}})

    def failed(self, reason: str, line: str, error: BaseException) -> None:
        """Count a connection that ended by a fault of the server's own, and say so with its traceback."""
        self._refusals.labels(reason).inc()
        if self.admits(reason):
            logger.error("%s", _cut(line), exc_info=error, extra={"facts": {"event": "failed", "reason": reason}})

    def admits(self, kind: str) -> bool:
        """Return whether a line of this kind may be said now; if not, it counts as left out."""
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            kind = REST
        now = self._clock()
        known = self._kinds.setdefault(kind, _Kind(now))
        if now < known.quiet_until:
            known.left_out += 1
            return False
        self._tell(kind, known, now)
        return True

    def tell(self, *, last: bool = False) -> None:
        """Say of each kind that has been quiet for long enough, or of all at last, how many lines were left out."""
        now = self._clock()
        for kind, known in self._kinds.items():
            if known.left_out and (last or now >= known.quiet_until):
                self._tell(kind, known, now)

    @staticmethod
    def _tell(kind: str, known: _Kind, now: float) -> None:
        if known.left_out:
            facts = {"event": "left_out", "reason": kind, "lines": known.left_out}
            logger.warning("%s: %d more left out", _cut(kind), known.left_out, extra={"facts": facts})
        known.quiet_until, known.left_out = now + PERIOD, 0


class LibraryLines(logging.Filter):
    """Filter for a library's logger, which lets each kind of warning through as often as `peers` does."""

    def __init__(self, peers: PeerLog) -> None:
        super().__init__()
        self._peers = peers

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` may be said: its kind is the first line of its template."""
        if record.levelno < logging.WARNING:
            return True
        if str(record.msg) in REFUSED_ALREADY:
            return False
        return self._peers.admits(f"{record.name}: {str(record.msg).partition(chr(10))[0]}")


def peer_name(client: tuple[str, int] | None) -> str:
    """Return a peer's address as lines name it; `client` is its host and port, 0 for one that a proxy does not tell."""
    if client is None:
        return "a peer"
    host, port = client
    return f"{host}:{port}" if port else host


def _cut(line: str) -> str:
    """Return `line` as one line that is not too long."""
    said = one_line(line.strip()[: MAX_CHARACTERS + 1])
    return said if len(said) <= MAX_CHARACTERS else f"{said[: MAX_CHARACTERS - 1]}…"
