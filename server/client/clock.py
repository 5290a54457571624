"""The server's clock as a client learns it: ping, pong, and trust in the quickest answer.

Pure: no I/O; the caller says what time it is. Cristian's algorithm (Distributed Computing 3, 1989): the true offset
lies within half a round trip of the estimate, so the sample with the least round trip is the best one.
"""

from clavilux.server.protocol.words import MICROSECONDS


class ClockOffset:
    """The estimate of server time minus local time."""

    def __init__(self, server_time: int, now: float) -> None:
        self.offset = server_time - round(now * MICROSECONDS)  # µs; a first guess from hello, late by one way
        self.round_trip = float("inf")  # s, of the sample behind `offset`

    def take(self, sent_at: float, server_time: int, now: float) -> None:
        """Take one answer: `sent_at` and `now` are local seconds, `server_time` is what the pong said."""
        round_trip = now - sent_at
        if round_trip <= self.round_trip:
            self.round_trip = round_trip
            self.offset = server_time - round((sent_at + now) / 2 * MICROSECONDS)

    def server_time(self, now: float) -> int:
        """Return local seconds `now` as server time, whole µs, at least 1."""
        return max(1, round(now * MICROSECONDS) + self.offset)
