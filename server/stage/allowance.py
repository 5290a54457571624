"""Allowance of one connection: what its messages may cost the event loop, in a burst and in the long run.

Who sends more is not refused but read no further until it is paid for. Pure: told the time.
"""

from clavilux.runtime.token_bucket import TokenBucket
from clavilux.server.protocol.words import Role

PER_SECOND = 1000  # messages of a performer: packets of a millisecond go
BURST = 250  # messages that wait for nothing: what comes at once when a network has stalled
WATCHING = 4  # of them that a message counts as from who does not play, and has little to say
TEXT_BYTES = 256  # of a text that count as one message more: to read and to refuse it takes as long
BINARY_BYTES = 32_768  # and of a packet of sound


class Allowance:
    """State: what is left of it."""

    def __init__(self) -> None:
        self._bucket = TokenBucket(BURST, PER_SECOND)

    def wait(self, message: str | bytes, role: Role | None, now: float) -> float:
        """Count `message`, of a client with `role`, as come at `now` seconds; return for how long it is to wait."""
        share = len(message) / (TEXT_BYTES if isinstance(message, str) else BINARY_BYTES)
        self._bucket.spend((1 + share) * (1 if role == Role.PERFORMER else WATCHING))
        return self._bucket.wait(now)
