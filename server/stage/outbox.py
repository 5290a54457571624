"""The outgoing side of one connection, all that waits in it bounded, each part with its policy.

Replies: up to REPLIES, then `reply` waits, and with it the reading of that connection: who asks without listening waits
for himself only. Parameters, status and frames: one slot each, newest wins; frames only while the in-flight window is
open. Pulses: READINGS of them, the oldest goes. Markers: up to MARKERS, then refused. Runs on one event loop; knows no
socket.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from clavilux.runtime.errors import ProtocolError
from clavilux.runtime.frame import Frame
from clavilux.runtime.pulse import Pulse
from clavilux.runtime.queues import NewestSlot
from clavilux.server.protocol.binary import PackedFrame
from clavilux.server.protocol.messages import ErrorEvent, MarkerReached, ParameterValues, ServerMessage, Status
from clavilux.server.protocol.words import ErrorCode
from clavilux.server.stage.in_flight import InFlight

REPLIES = 32
MARKERS = 64
READINGS = 50  # of the pulse that may wait, half a second; older ones say nothing of now
MARKER_SLACK = 0.002  # s; capture times are whole microseconds, resamplers shift them by less than this


@dataclass(frozen=True)
class Farewell:
    """The last thing on a connection: messages, then a close code with its reason."""

    code: int  # a CloseCode, or CLOSE_REPLACED
    reason: str
    messages: tuple[ServerMessage, ...] = ()

    def answering(self, message: str | int | None) -> "Farewell":
        """Return this farewell with errors that answer the message of that name."""
        named = (structs.replace(m, reply_to=message) if isinstance(m, ErrorEvent) else m for m in self.messages)
        return replace(self, messages=tuple(named))


@dataclass(frozen=True)
class PendingMarker:
    """A marker that waits for the sound before it to be seen."""

    id: str
    heard: float | None  # capture time of the last sample before it, s; None = no sound before it


@dataclass(frozen=True)
class Readings:
    """Successive readings of the pulse, and the capture time of the first one's end, s of the engine's clock."""

    pulses: tuple[Pulse, ...]
    captured_at: float


class Outbox:
    """The outgoing side of one connection."""

    def __init__(self) -> None:
        self.in_flight = InFlight()
        self.farewell: Farewell | None = None  # set once, by `finish`
        self._replies: deque[ServerMessage] = deque()
        self._parameters: NewestSlot[ParameterValues] = NewestSlot()
        self._status: NewestSlot[Status] = NewestSlot()
        self._frame: NewestSlot[Frame] = NewestSlot()
        self._pulses: deque[tuple[Pulse, float]] = deque(maxlen=READINGS)  # with their capture times, s
        self._markers: deque[PendingMarker] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def skipped(self) -> int:
        """Frames this connection was too slow for."""
        return self._frame.replaced

    async def reply(self, message: ServerMessage) -> None:
        """Queue `message`, waiting while REPLIES are queued already."""
        while len(self._replies) >= REPLIES and self.farewell is None:
            self._room.clear()
            await self._room.wait()
        self._replies.append(message)
        self._wake.set()

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Offer the parameters that hold now; the newest set wins."""
        self._parameters.put(ParameterValues(dict(values)))
        self._wake.set()

    def status(self, status: Status) -> None:
        """Offer a status; the newest wins."""
        self._status.put(status)
        self._wake.set()

    def pulses(self, pulses: Iterable[tuple[Pulse, float]]) -> None:
        """Offer readings with their capture times, s; where too many wait the oldest go."""
        self._pulses.extend(pulses)
        self._wake.set()

    def frame(self, frame: Frame) -> None:
        """Offer a frame; the newest wins."""
        self._frame.put(frame)
        self._wake.set()

    def marker(self, marker: PendingMarker) -> None:
        """Keep a marker until its sound is seen. Raises ProtocolError "bad_message" when MARKERS wait."""
        if len(self._markers) >= MARKERS:
            raise ProtocolError(
                ErrorCode.BAD_MESSAGE, f"{MARKERS} markers wait already; send sound and acknowledge frames"
            )
        self._markers.append(marker)

    def sent(self, frame: Frame, packed: PackedFrame) -> list[MarkerReached]:
        """Return the markers that the frame just sent, which travelled as `packed`, has reached."""
        reached = []
        while self._markers and _shows(frame, self._markers[0]):
            marker = self._markers.popleft()
            reached.append(MarkerReached(marker.id, packed.sequence, packed.heard_until))
        return reached

    def acknowledge(self, sequence: int) -> float | None:
        """Release frames up to `sequence`; return its heard_until, s, as `InFlight.acknowledge` does."""
        heard_until = self.in_flight.acknowledge(sequence)
        self._wake.set()
        return heard_until

    def finish(self, farewell: Farewell) -> None:
        """Say goodbye after the replies that wait; only the first farewell counts."""
        self.farewell = self.farewell or farewell
        self._wake.set()
        self._room.set()

    async def next(self) -> ServerMessage | Readings | Frame | Farewell:
        """Wait for what goes out next: replies, then the farewell or else parameters, pulses, status, a frame."""
        while (item := self._take()) is None:
            self._wake.clear()
            await self._wake.wait()
        return item

    def _take(self) -> ServerMessage | Readings | Frame | Farewell | None:
        if self._replies:
            self._room.set()
            return self._replies.popleft()
        if self.farewell is not None:
            return self.farewell
        item = self._parameters.take() or self._take_pulses() or self._status.take()
        if item is None and self.in_flight.open:
            return self._frame.take()
        return item

    def _take_pulses(self) -> Readings | None:
        """Return all readings that wait, None where none does."""
        if not self._pulses:
            return None
        waiting = tuple(self._pulses)
        self._pulses.clear()
        return Readings(tuple(pulse for pulse, _ in waiting), waiting[0][1])


def _shows(frame: Frame, marker: PendingMarker) -> bool:
    if marker.heard is None:
        return True
    return frame.heard_until is not None and frame.heard_until >= marker.heard - MARKER_SLACK
