"""What is bounded between the engine and a viewer: a slot where the newest wins, and a window of frames in flight.

Pure: no I/O, no event loop. `NewestSlot` may be used from several threads, `InFlight` from one.
"""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")

IN_FLIGHT = 2  # unacknowledged frames per viewer


class NewestSlot(Generic[T]):
    """Holds one item; a newer one takes its place. Never blocks and never grows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._item: T | None = None
        self.replaced = 0  # items that nobody took

    def put(self, item: T) -> bool:
        """Put `item` in place; True when the slot was empty, so that whoever takes from it must be woken."""
        with self._lock:
            was_empty = self._item is None
            self.replaced += not was_empty
            self._item = item
            return was_empty

    def take(self) -> T | None:
        """Empty the slot and return what was in it, None if nothing was."""
        with self._lock:
            item, self._item = self._item, None
            return item


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
