"""The instrument in a thread of its own, at two rates: hops of the sound, frames of the picture.

    with open_engine() as engine:
        engine.subscribe(lambda frame: show(frame.pixels))
        engine.hear(samples, 48_000)

On the machine's clock hop and frame rate follow what the models cost (`clavilux.runtime.playing.pacing`), unless
parameters say otherwise; on any other the hop is the bundle's. When nobody watches, a few pictures a second are enough.
Sound waits in a bounded queue that drops its oldest and counts it, and comes out of it no faster than it sounds; its
source changes now and then, and not at every packet: what is asked of the engine is bounded in work, however it comes.
Parameters are merged per key, newest wins, and take effect at a frame boundary. Listeners are called on the engine's
thread and must not block.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.clock import Clock, MonotonicClock
from clavilux.runtime.control.parameters import Parameters, Range
from clavilux.runtime.frame import Frame
from clavilux.runtime.hearing.listener import HopGrid
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.playing.engine_state import EngineCounters, EngineState
from clavilux.runtime.playing.listeners import Listeners
from clavilux.runtime.playing.pacing import MAX_FRAME_RATE, FramePacer, HopPacer
from clavilux.runtime.playing.pulse_feed import MAX_TAPS, PulseFeed, PulseListener
from clavilux.runtime.playing.shape_changes import ShapeChanges
from clavilux.runtime.playing.source_changes import SourceChanges
from clavilux.runtime.queues import Chunk, OldestDroppedQueue
from clavilux.runtime.sound.samples import as_sound, checked_time

UNWATCHED_RATE = 2.0  # pictures per second when nobody watches

Subscriber = Callable[[Frame], None]


class Engine:
    """Runs an Instrument live. `hear`, `set` and `subscribe` may be called from any thread."""

    def __init__(
        self,
        instrument: Instrument,
        *,
        clock: Clock | None = None,
        turn: AbstractContextManager[object] | None = None,
        on_failure: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        """`turn` is held while the models are used: engines that share them have the same one.

        `on_failure` is called on the engine's thread with what ends it.
        """
        self.instrument = instrument
        self.clock: Clock = clock or MonotonicClock()
        self.ready = threading.Event()  # set once a first picture has been made
        self.failure: BaseException | None = None  # what ended the thread, if something did
        self._queue = OldestDroppedQueue()
        self._changes = SourceChanges()
        self._door = threading.Lock()  # sound goes into both queues in the same order
        self._feed = PulseFeed(self.clock)
        self._taps: deque[float] = deque(maxlen=MAX_TAPS)
        self._ahead = 0.0
        self._parameters = instrument.defaults
        self._shapes = ShapeChanges()
        self._listeners = Listeners[Frame]("frames")
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._turn = nullcontext() if turn is None else turn
        self._on_failure = on_failure
        self._frames = 0
        self._hop_pacer = HopPacer(instrument.bundle.audio.hop_samples)
        self._frame_pacer = FramePacer()
        self._paced = clock is None
        self._audience: int | None = None  # how many watch; None: nobody counts them
        self._thread = threading.Thread(target=self._run, name="clavilux-engine", daemon=True)

    @property
    def state(self) -> EngineState:
        """How it is doing; one that has failed does not come back."""
        if self.failure is not None:
            return EngineState.FAILED
        return EngineState.PLAYING if self.ready.is_set() else EngineState.STARTING

    @property
    def parameters(self) -> Parameters:
        """The values that hold from the next frame on."""
        return self._parameters

    @property
    def ranges(self) -> Mapping[str, Range]:
        """Ranges of the bundle's parameters, by name."""
        return self.instrument.ranges

    @property
    def defaults(self) -> Parameters:
        """Parameters that the bundle begins with."""
        return self.instrument.defaults

    @property
    def picture(self) -> tuple[int, int]:
        """Height and width of the frames, in pixels; a bundle of many sizes may change it."""
        size, parameters = self.instrument.bundle.picture, self._parameters
        return parameters.height or size.height, parameters.width or size.width

    def start(self) -> None:
        """Start the thread. An engine starts once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it; a frame in the making is finished first."""
        self._stopping.set()
        self._feed.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def hear(self, samples: NDArray[np.generic], rate: int, captured_at: float | None = None) -> None:
        """Take a chunk of sound, [n] or [n, channels] at `rate` Hz; never blocks.

        Of more than `QUEUE_SECONDS` the newest stay, and the rest counts as dropped, as does sound that changes its
        rate or channels or leaves gaps more often than `clavilux.runtime.playing.source_changes` allows.
        `captured_at` is when its first sample was captured, in seconds of `clock`; None: the last sample is from now.
        Raises SoundError as `clavilux.runtime.sound.samples.as_sound` does; then nothing is taken.
        """
        sound = as_sound(samples, rate)
        when = self.clock.now() - len(sound) / rate if captured_at is None else checked_time(captured_at)
        self.take(Chunk(sound, rate, when))

    def take(self, chunk: Chunk) -> None:
        """Take sound as `hear` does that has been checked."""
        with self._door:
            if not self._changes.admit(chunk, self.clock.now()):
                self._queue.lose(chunk.seconds)
                return
            self._queue.put(chunk)
            self._feed.put(chunk)

    def set(self, values: Mapping[str, Any]) -> Parameters:
        """Merge `values` into the parameters; return all that hold from the next frame on.

        Raises ParameterError for the first wrong value; then none is taken.
        """
        with self._lock:
            self._parameters = self._parameters.merge(values, self.ranges)
            return self._parameters

    def adopt(self, parameters: Parameters) -> None:
        """Take a whole set of parameters that has been checked."""
        with self._lock:
            self._parameters = parameters

    def watch(self, count: int | None) -> None:
        """Say how many watch; None: nobody counts them. Where nobody does, `UNWATCHED_RATE` pictures a second do."""
        self._audience = count

    def subscribe(self, listener: Subscriber) -> Callable[[], None]:
        """Call `listener` with every frame, on the engine's thread; return what ends that.

        One that raises is told of in the log, and not called again.
        """
        return self._listeners.add(listener)

    def feel(self, listener: PulseListener) -> Callable[[], None]:
        """Call `listener` with new readings of the pulse, on a thread of their own that waits for no model.

        Returns what ends that. They come with the capture time of the end of the first one, in seconds of `clock`.
        """
        return self._feed.subscribe(listener)

    def tap(self, at: float | None = None) -> None:
        """Take a beat that somebody taps, at `at` seconds of `clock`; None: now. It corrects the beat that is heard.

        Raises SoundError for a time that is not finite.
        """
        when = self.clock.now() if at is None else checked_time(at, "the beat was tapped")
        self._taps.append(when)
        self._feed.tap(when)

    def look_ahead(self, seconds: float) -> None:
        """Say how much later than it is begun a frame is seen; what is tied to the beat is moved for then."""
        self._ahead = seconds

    def counters(self) -> EngineCounters:
        """Return what has been done so far."""
        instrument = self.instrument
        return EngineCounters(self._frames, instrument.hops, instrument.heard_seconds, self._queue.dropped)

    def _run(self) -> None:
        try:
            self._play()
        except BaseException as error:
            self.failure = error
            self._on_failure(error)
            raise

    def _play(self) -> None:
        while not self._stopping.is_set():
            now = self.clock.now()
            for chunk in self._queue.take(now):
                self.instrument.push(chunk.sound, chunk.rate, chunk.captured_at)
            while self._taps:
                self.instrument.tap(self._taps.popleft())
            parameters, hops = self._shapes.hold(self._parameters, now), self.instrument.hops
            grid = HopGrid(self._hop_pacer.hop_samples, follows=self._paced)
            with self._turn:
                frame = self.instrument.step(now, parameters, grid, self._ahead)
            self._frames += 1
            self._feed.gain = self.instrument.gain
            self._listeners.tell(frame)
            self.ready.set()
            ready = self.clock.now()
            if self._paced:
                self._pace(frame, ready - now, hopped=self.instrument.hops > hops)
            self.clock.wait_until(self._due(frame, now, ready), self._stopping)

    def _pace(self, frame: Frame, seconds: float, *, hopped: bool) -> None:
        """Learn from a frame that took so long, in seconds."""
        hop = frame.stages["features"] + frame.stages["encode"] if hopped else 0.0
        if hopped:
            self._hop_pacer.note(hop)
        if frame.stages["denoise"] > 0:
            self._frame_pacer.note(seconds - hop, hop)

    def _due(self, frame: Frame, began: float, ready: float) -> float:
        """Return when the frame after this one is due, in seconds of the clock."""
        due = began + 1 / (self._parameters.frame_rate or MAX_FRAME_RATE)
        if not self._parameters.frame_rate and frame.stages["denoise"] > 0:  # what is not painted costs nothing
            due = self._frame_pacer.until(began, ready)
        return max(due, began + 1 / UNWATCHED_RATE) if self._audience == 0 else due
