"""Times between the engine's clock, in seconds, and the wire, in whole microseconds.

Pure: whoever calls says what time it is.
"""

from clavilux.runtime.errors import ProtocolError
from clavilux.server.protocol.words import MICROSECONDS, ErrorCode

MAX_CAPTURE_AGE = 10.0  # s before now; older sound belongs to no live stage
MAX_CAPTURE_LEAD = 1.0  # s after now, for clocks that are not quite learnt yet


def server_time(seconds: float) -> int:
    """Return `seconds` of the engine's clock as server time: whole µs, never 0, which means unknown."""
    return max(1, round(seconds * MICROSECONDS))


def captured(captured_at: int, duration: float, now: float) -> float:
    """Return when a packet's first sample was captured, in seconds of the engine's clock.

    `captured_at` is what the packet says, µs of server time, 0 for unknown; `duration` is its length, s; `now` is when
    it arrived, s. Raises ProtocolError "bad_sound" for a time that cannot be true.
    """
    # Nothing can have been captured later than it arrived.
    latest = now - duration
    if captured_at == 0:
        return latest
    ahead = captured_at / MICROSECONDS - latest
    if not -MAX_CAPTURE_AGE <= ahead <= MAX_CAPTURE_LEAD:
        raise ProtocolError(
            ErrorCode.BAD_SOUND,
            f"capture time is {ahead:+.1f} s from the server's clock; expected {-MAX_CAPTURE_AGE:g} to "
            f"{MAX_CAPTURE_LEAD:+g} s: learn the clock with ping, or send 0",
        )
    return latest + min(ahead, 0.0)
