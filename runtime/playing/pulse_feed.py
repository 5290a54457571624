"""The pulse feed: readings for those who watch, at once, beside the engine and never waiting for it.

A thread of its own, which sleeps while nobody listens. Its tracker is another one than the instrument's: that one is
where the pictures are, which may be a tenth of a second behind.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from clavilux.runtime.clock import Clock, MonotonicClock
from clavilux.runtime.hearing.input_gain import Gain
from clavilux.runtime.hearing.pulse.gaps import Gaps
from clavilux.runtime.hearing.pulse.tracker import PulseTracker
from clavilux.runtime.playing.listeners import Listeners
from clavilux.runtime.pulse import PULSE_STEP, Pulse
from clavilux.runtime.queues import Chunk, OldestDroppedQueue
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.window import SlidingWindow

KEPT = 2 * SAMPLE_RATE  # samples in the ring: the longest chunk that is taken at once, and what lies before it
WAIT = 0.5  # s between two looks at whether it shall end
GATHERED = 0.0025  # s of sound that wake the thread: packets of single samples shall not wake it thousands of times
MAX_TAPS = 16  # that may wait for the next sound, or for the next frame,
MAX_TAP_AGE = 5.0  # s; and as long as this before it

PulseListener = Callable[[Sequence[Pulse], float], None]
"""Takes successive readings, and the capture time of the end of the first one, in seconds of the engine's clock."""


class PulseFeed:
    """Makes readings of sound and hands them to whoever listens. All methods may be called from any thread."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Take the clock by which sound has had time to sound; None: the machine's."""
        self.gain = 0.0  # dB that sound gets before it is read
        self._ramp = Gain()
        self._clock: Clock = clock or MonotonicClock()
        self._queue = OldestDroppedQueue()
        self._listeners = Listeners[Sequence[Pulse], float]("pulse")
        self._taps: deque[float] = deque(maxlen=MAX_TAPS)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._window = SlidingWindow(KEPT)
        self._gaps = Gaps()
        self._tracker = PulseTracker()

    def put(self, chunk: Chunk) -> None:
        """Take a chunk of sound; it is left where nobody listens. Never blocks."""
        if self._listeners:
            self._queue.put(chunk)
            if self._queue.seconds >= GATHERED:
                self._wake.set()

    def tap(self, at: float) -> None:
        """Take a beat that was tapped at `at` seconds of the clock of `Chunk.captured_at`."""
        self._taps.append(at)

    def subscribe(self, listener: PulseListener) -> Callable[[], None]:
        """Call `listener` with new readings, on the feed's thread; return what ends that."""
        leave = self._listeners.add(listener)
        with self._lock:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="clavilux-pulse", daemon=True)
                self._thread.start()

        return leave

    def stop(self) -> None:
        """End the thread, and wait for it."""
        with self._lock:
            self._stopping = True
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(WAIT)
            self._wake.clear()
            for chunk in self._queue.take(self._clock.now()):
                self._take(chunk)

    def _take(self, chunk: Chunk) -> None:
        gap = self._gaps.before(chunk.captured_at, len(chunk.sound) / chunk.rate)
        if gap:
            self._tracker.pause(gap)
        for pulses in self._read(chunk):
            self._tell(pulses)

    def _read(self, chunk: Chunk) -> Iterator[list[Pulse]]:
        """Yield the readings of a chunk, a second of it after the other."""
        for start in range(0, len(chunk.sound), chunk.rate):
            before = self._window.heard
            part = chunk.sound[start : start + chunk.rate]
            self._window.push(part, chunk.rate, chunk.captured_at + start / chunk.rate)
            ready = self._window.read(before, self._window.heard)
            pulses = self._tracker.push(self._ramp.apply(ready, self.gain))
            self._tap()
            if pulses:
                yield pulses

    def _tap(self) -> None:
        """Let the tracker know of beats that were tapped."""
        heard = self._window.heard
        newest = self._window.captured_at(heard)
        while self._taps and newest is not None:
            since = self._taps.popleft() - newest
            if since > -MAX_TAP_AGE:
                self._tracker.tap(round((heard + since * SAMPLE_RATE) / PULSE_STEP) - 1)

    def _tell(self, pulses: Sequence[Pulse]) -> None:
        captured = self._window.captured_at((pulses[0].index + 1) * PULSE_STEP)
        self._listeners.tell(pulses, captured or 0.0)
