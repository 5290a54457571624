"""Queues between threads, each bounded, each named by its policy."""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.token_bucket import TokenBucket

QUEUE_SECONDS = 2.0  # of sound that may wait for the engine
PACE = 1.25  # seconds of sound that are taken in a second, beyond the first QUEUE_SECONDS: clocks differ, links stall
MAX_CHUNKS = 1024  # that may wait, should they not adjoin
ADJOINING = 0.001  # s between the end of a chunk and the capture time of the next one: less is a clock's imprecision
SHORT = 0.01  # s; what is shorter grows by the next chunk at once, so that few wait

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

    @property
    def layout(self) -> tuple[int, int]:
        """Rate in Hz, and count of channels."""
        return self.rate, self.sound.shape[1]

    def cut(self, samples: int) -> "tuple[Chunk, Chunk]":
        """Return the first `samples` samples of it, and the rest."""
        rest = Chunk(self.sound[samples:], self.rate, self.captured_at + samples / self.rate)
        return Chunk(self.sound[:samples], self.rate, self.captured_at), rest


class _Run:
    """Chunks of one layout, each of which begins where the one before it ends."""

    def __init__(self, first: Chunk) -> None:
        self._chunks = [first]
        self._end = first.captured_at + first.seconds  # s; counted from the first one, so that nothing adds up

    def takes(self, chunk: Chunk) -> bool:
        """Add `chunk` if it goes on where the run ends; return whether it does."""
        fits = chunk.layout == self._chunks[0].layout and abs(chunk.captured_at - self._end) <= ADJOINING
        if fits:
            self._chunks.append(chunk)
            self._end += chunk.seconds
        return fits

    def joined(self) -> Chunk:
        """Return the run as one chunk."""
        if len(self._chunks) == 1:
            return self._chunks[0]
        first = self._chunks[0]
        return Chunk(np.concatenate([chunk.sound for chunk in self._chunks]), first.rate, first.captured_at)


def joined(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Return chunks with each row of adjoining ones as one: however sound was cut, it costs the same."""
    runs: list[_Run] = []
    for chunk in chunks:
        if not (runs and runs[-1].takes(chunk)):
            runs.append(_Run(chunk))
    return [run.joined() for run in runs]


class OldestDroppedQueue:
    """Queue of sound between two threads, at most `QUEUE_SECONDS` long: the oldest goes first, and is counted.

    Who takes from it is bounded too: what came faster than it sounds waits, and goes when it has grown too old.
    """

    def __init__(self) -> None:
        self.dropped = 0.0  # s
        self._chunks: deque[Chunk] = deque()
        self._seconds = 0.0
        self._budget = TokenBucket(QUEUE_SECONDS, PACE)  # s of sound
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """How much sound waits."""
        return self._seconds

    def put(self, chunk: Chunk) -> None:
        """Add a chunk of any length; never blocks. Of a longer one than the queue the end stays."""
        with self._lock:
            if len(chunk.sound):
                self._append(chunk)
            self._seconds += chunk.seconds
            while self._chunks and self._drop_oldest():
                pass

    def lose(self, seconds: float) -> None:
        """Count sound as dropped that was not put in."""
        with self._lock:
            self.dropped += seconds

    def take(self, now: float) -> list[Chunk]:
        """Remove and return what waits, oldest first and adjoining chunks as one; `now` is seconds of any clock.

        Not more than `QUEUE_SECONDS` at once and `PACE` seconds a second in the long run.
        """
        with self._lock:
            granted = min(self._seconds, max(0.0, self._budget.available(now)))
            self._budget.spend(granted)
            chunks = self._remove(granted)
        return joined(chunks)

    def _append(self, chunk: Chunk) -> None:
        if self._chunks and self._chunks[-1].seconds < SHORT:
            self._chunks.extend(joined([self._chunks.pop(), chunk]))
        else:
            self._chunks.append(chunk)

    def _drop_oldest(self) -> bool:
        """Drop what is too much of the oldest chunk; return whether there was any."""
        first = self._chunks[0]
        excess = len(first.sound) if len(self._chunks) > MAX_CHUNKS else self._excess(first)
        if excess > 0:
            lost, rest = first.cut(excess)
            self._replace_oldest(lost.seconds, rest)
            self.dropped += lost.seconds
        return excess > 0

    def _excess(self, chunk: Chunk) -> int:
        """Return how many of a chunk's samples the queue has no room for; less than half of one is rounding."""
        return min(len(chunk.sound), round((self._seconds - QUEUE_SECONDS) * chunk.rate))

    def _replace_oldest(self, seconds: float, rest: Chunk) -> None:
        """Let the oldest chunk become shorter by so many seconds, or go."""
        self._chunks.popleft()
        if len(rest.sound):
            self._chunks.appendleft(rest)
        self._seconds = self._seconds - seconds if self._chunks else 0.0

    def _remove(self, seconds: float) -> list[Chunk]:
        """Remove and return the oldest `seconds` seconds, to the nearest sample."""
        removed = []
        while self._chunks and (samples := round(seconds * self._chunks[0].rate)) > 0:
            part, rest = self._chunks[0].cut(samples)
            self._replace_oldest(part.seconds, rest)
            seconds -= part.seconds
            removed.append(part)
        return removed


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
