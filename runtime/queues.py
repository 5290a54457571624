"""Queues between threads, each bounded, each named by its policy."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from clavilux.runtime.sound.samples import Samples

QUEUE_SECONDS = 2.0  # of sound that may wait for the engine

T = TypeVar("T")


@dataclass(frozen=True)
class Chunk:
    """Checked sound on its way to the engine."""

    sound: Samples  # [n, channels]
    rate: int  # Hz
    captured_at: float  # s, of the first sample

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.sound) / self.rate


class OldestDroppedQueue:
    """Queue of sound between two threads, at most `QUEUE_SECONDS` long: the oldest goes first, and is counted."""

    def __init__(self) -> None:
        self.dropped = 0.0  # s
        self._chunks: deque[Chunk] = deque()
        self._seconds = 0.0
        self._lock = threading.Lock()

    def put(self, chunk: Chunk) -> None:
        """Add a chunk; never blocks. The newest chunk stays, however long it is."""
        with self._lock:
            self._chunks.append(chunk)
            self._seconds += chunk.seconds
            while self._seconds > QUEUE_SECONDS and len(self._chunks) > 1:
                lost = self._chunks.popleft().seconds
                self._seconds -= lost
                self.dropped += lost

    def take_all(self) -> list[Chunk]:
        """Remove and return everything that waits, oldest first."""
        with self._lock:
            chunks = list(self._chunks)
            self._chunks.clear()
            self._seconds = 0.0
            return chunks


class NewestSlot(Generic[T]):
    """Slot for one item between threads; a newer one takes its place. Never blocks and never grows."""

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
