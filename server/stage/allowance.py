"""Allowance of one connection: what its messages may cost the event loop, in a burst and in the long run.

Who sends more is not refused but read no further until it is paid for; who goes on like that is no client that fell
behind, and must not keep its place while what it has sent is read. Pure: told the time.
"""

from clavilux.runtime.token_bucket import TokenBucket
from clavilux.server.protocol.words import Role

PER_SECOND = 1000  # messages of a performer: packets of a millisecond go
BURST = 250  # messages that wait for nothing: what comes at once when a network has stalled
WATCHING = 4  # of them that a message counts as from who does not play, and has little to say
TEXT_BYTES = 256  # of a text that count as one message more: to read and to refuse it takes as long
BINARY_BYTES = 32_768  # and of a packet of sound
PATIENCE = 5.0  # s that a client may go on to send more than that


class Allowance:
    """State: what is left of it."""

    def __init__(self) -> None:
        self._bucket = TokenBucket(BURST, PER_SECOND)
        self._since: float | None = None  # s, when it last had half of the burst left; None: it has

    def wait(self, message: str | bytes, role: Role | None, now: float) -> float:
        """Count `message`, of a client with `role`, as come at `now` seconds; return for how long it is to wait."""
        share = len(message) / (TEXT_BYTES if isinstance(message, str) else BINARY_BYTES)
        self._bucket.available(now)
        self._bucket.spend((1 + share) * (1 if role == Role.PERFORMER else WATCHING))
        if self._bucket.available(now) >= BURST / 2:  # not just above nothing, where every late wake-up leads
            self._since = None
        elif self._since is None:
            self._since = now
        return self._bucket.wait(now)

    def is_used_up(self, now: float) -> bool:
        """Whether there has been little or nothing left for longer than `PATIENCE` at `now` seconds."""
        return self._since is not None and now - self._since > PATIENCE
