"""Frames in flight: how many may travel to a viewer that has not acknowledged them. Pure; used from one thread."""

from collections import OrderedDict

IN_FLIGHT = 2  # unacknowledged frames per viewer


class InFlight:
    """The frames that were sent and not yet acknowledged, oldest first."""

    def __init__(self, limit: int = IN_FLIGHT) -> None:
        self.limit = limit  # frames
        self._sent: OrderedDict[int, float | None] = OrderedDict()

    @property
    def open(self) -> bool:
        """Whether one more frame may go."""
        return len(self._sent) < self.limit

    def add(self, sequence: int, heard_until: float | None) -> None:
        """Remember a frame at the moment it goes; `heard_until` in seconds of the engine's clock."""
        self._sent[sequence] = heard_until

    def acknowledge(self, sequence: int) -> float | None:
        """Release `sequence` and every frame sent before it; return its heard_until.

        None when nothing had been heard, or when no such frame is in flight: an old or invented acknowledgement
        releases nothing.
        """
        if sequence not in self._sent:
            return None
        heard_until = None
        while sequence in self._sent:
            _, heard_until = self._sent.popitem(last=False)
        return heard_until
