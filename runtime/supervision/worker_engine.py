"""An engine whose models are in a worker process: what `clavilux.runtime.playing.engine.Engine` does, from outside.

It keeps what must outlive a worker: parameters, listeners, counts, the position in the noise, and sound that waits.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.clock import Clock
from clavilux.runtime.control.parameters import Parameters, Range
from clavilux.runtime.errors import ParameterError
from clavilux.runtime.frame import Frame
from clavilux.runtime.instrument import Position
from clavilux.runtime.playing.engine import UNWATCHED_RATE, Subscriber
from clavilux.runtime.playing.engine_state import EngineCounters, EngineState
from clavilux.runtime.playing.listeners import Listeners
from clavilux.runtime.playing.pulse_feed import MAX_TAPS, PulseListener
from clavilux.runtime.pulse import Pulse
from clavilux.runtime.queues import Chunk, OldestDroppedQueue
from clavilux.runtime.sound.samples import as_sound, checked_time
from clavilux.runtime.supervision.messages import Control, Controls, Facts, Felt, Hear, Leave, Made, Order, Play
from clavilux.runtime.supervision.watchdog import Bounds, Watchdog

NOTHING = EngineCounters(0, 0, 0.0, 0.0)
COSTLY = ("steps", "stream_batch", "height", "width")
"""Parameters by which a picture may take many times as long as the one before it, or more memory than there is."""

log = logging.getLogger("clavilux.worker")


class Supervisor(Protocol):
    """Whoever starts workers, as their engines see it."""

    @property
    def restarts(self) -> int:
        """Workers that took over from another one."""

    def wake(self) -> None:
        """Send the orders that wait."""

    def leave(self, name: str) -> None:
        """Play a stage no more."""


class WorkerEngine:
    """An engine in a worker. All methods may be called from any thread; listeners are called on the worker's reader."""

    def __init__(self, supervisor: Supervisor, name: str, facts: Facts, clock: Clock, bounds: Bounds) -> None:
        self.name = name
        self.facts = facts
        self.clock = clock
        self.ready = threading.Event()  # set once a first picture has come
        self.failure: BaseException | None = None  # why no pictures will come any more
        self.watchdog = Watchdog(bounds)
        self._supervisor = supervisor
        self._bounds = bounds
        self._lock = threading.Lock()
        self._state = EngineState.STARTING
        self._controls = Controls(facts.defaults)
        self.position = Position()  # after the last frame
        self._queue = OldestDroppedQueue()
        self._taps: deque[float] = deque(maxlen=MAX_TAPS)
        self._frames = Listeners[Frame]("frames")
        self._pulses = Listeners[Sequence[Pulse], float]("pulse")
        self._started = False
        self._painted: dict[str, Any] = {}  # values of COSTLY that the last picture was painted with
        self._told: Controls | None = None  # what the present worker knows; None: it does not play this stage yet
        self._counts = (NOTHING, NOTHING)  # of the workers before, and of the present one
        self._given_up_at: float | None = None  # when a change of COSTLY was, s; None: none ever

    @property
    def state(self) -> EngineState:
        """How it is doing."""
        return self._state

    @property
    def parameters(self) -> Parameters:
        """The values that hold from the next frame on."""
        return self._controls.parameters

    @property
    def ranges(self) -> Mapping[str, Range]:
        """Ranges of the bundle's parameters, by name."""
        return self.facts.ranges

    @property
    def defaults(self) -> Parameters:
        """Parameters that the bundle begins with."""
        return self.facts.defaults

    @property
    def picture(self) -> tuple[int, int]:
        """Height and width of the frames, in pixels; a bundle of many sizes may change it."""
        parameters = self.parameters
        return parameters.height or self.facts.height, parameters.width or self.facts.width

    def start(self) -> None:
        """Begin to play; the worker has loaded its models already."""
        self._started = True
        self._supervisor.wake()

    def stop(self) -> None:
        """End, and with the last engine of a worker the worker; it is not waited for longer than it is given."""
        self._started = False
        self._supervisor.leave(self.name)

    def hear(self, samples: NDArray[np.generic], rate: int, captured_at: float | None = None) -> None:
        """Take a chunk of sound as `clavilux.runtime.playing.engine.Engine.hear` does; never blocks."""
        sound = as_sound(samples, rate)
        when = self.clock.now() - len(sound) / rate if captured_at is None else checked_time(captured_at)
        self._queue.put(Chunk(sound, rate, when))
        self._supervisor.wake()

    def set(self, values: Mapping[str, Any]) -> Parameters:
        """Merge `values` into the parameters; return all that hold from the next frame on.

        Raises ParameterError for the first wrong value, and for another size or number of steps soon after one that no
        worker lived with; then none is taken.
        """
        with self._lock:
            merged = self._controls.parameters.merge(values, self.ranges)
            self._check_change(merged)
            self._order(replace(self._controls, parameters=merged))
            return merged

    def watch(self, count: int | None) -> None:
        """Say how many watch; None: nobody counts them."""
        with self._lock:
            self._order(replace(self._controls, watched=count))

    def look_ahead(self, seconds: float) -> None:
        """Say how much later than it is begun a frame is seen; what is tied to the beat is moved for then."""
        with self._lock:
            self._order(replace(self._controls, ahead=seconds))

    def subscribe(self, listener: Subscriber) -> Callable[[], None]:
        """Call `listener` with every frame; return what ends that."""
        return self._frames.add(listener)

    def feel(self, listener: PulseListener) -> Callable[[], None]:
        """Call `listener` with new readings of the pulse; return what ends that."""
        leave = self._pulses.add(listener)
        self._feel()

        def unsubscribe() -> None:
            leave()
            self._feel()

        return unsubscribe

    def tap(self, at: float | None = None) -> None:
        """Take a beat that somebody taps, at `at` seconds of `clock`; None: now.

        Raises SoundError for a time that is not finite.
        """
        self._taps.append(self.clock.now() if at is None else checked_time(at, "the beat was tapped"))
        self._supervisor.wake()

    def counters(self) -> EngineCounters:
        """Return what has been done so far, by all workers."""
        done = _sum(*self._counts)
        lost = done.dropped_seconds + self._queue.dropped
        return replace(done, dropped_seconds=lost, restarts=self._supervisor.restarts)

    @property
    def has_sound(self) -> bool:
        """Whether sound waits that came faster than it sounds."""
        return self._queue.seconds > 0

    def orders(self) -> list[Order]:
        """Return the orders that wait for the worker, which has loaded its models; called by one thread alone."""
        if not self._started:
            return []
        with self._lock:
            controls, told = self._controls, self._told
            if told is None or (controls is not told and _cost(controls.parameters) != _cost(told.parameters)):
                self.watchdog.change()  # before anybody takes the worker for one that has been told
            self._told = controls
        orders: list[Order] = []
        if told is None:
            orders.append(Play(self.name, controls, self.position))
        elif controls != told:
            orders.append(Control(self.name, controls))
        chunks, taps = tuple(self._queue.take(self.clock.now())), tuple(self._taken_taps())
        if chunks or taps:
            orders.append(Hear(self.name, chunks, taps))
        return orders

    def farewell(self) -> Order:
        """Return the order to play this stage no more."""
        return Leave(self.name)

    def made(self, made: Made, pixels: NDArray[np.uint8]) -> None:
        """Hand on a frame that the worker has made."""
        self.position, self._counts = made.position, (self._counts[0], made.counters)
        if made.frame.stages.get("denoise", 0.0) > 0:  # a frozen or dark one only says what the next will be made with
            self._painted = {name: made.frame.values[name] for name in COSTLY if name in made.frame.values}
        self.watchdog.frame(self.clock.now() - made.frame.time, counts=self._is_painted_as_told())
        frame = replace(made.frame, pixels=pixels)
        self._state = EngineState.PLAYING
        self.ready.set()
        self._frames.tell(frame)

    def felt(self, felt: Felt) -> None:
        """Hand on readings of the pulse."""
        self._pulses.tell(felt.pulses, felt.captured_at)

    def forget_worker(self) -> None:
        """Take it that the worker knows nothing of this stage."""
        with self._lock:
            self._told = None

    def interrupt(self) -> None:
        """Wait for another worker: the present one has ended."""
        self.forget_worker()
        with self._lock:
            self._give_up_change()
        before, now = self._counts
        self._counts = (_sum(before, now), NOTHING)
        if self._state is EngineState.PLAYING:
            self._state = EngineState.RESTARTING

    def fail(self, failure: BaseException) -> None:
        """Have no worker any more."""
        self.failure = failure
        self._state = EngineState.FAILED

    def is_hung(self, seconds: float) -> bool:
        """Let `seconds` pass; return whether no frame has come for too long."""
        if self._told is None:
            return False
        rate = self.parameters.frame_rate or UNWATCHED_RATE
        return self.watchdog.tick(seconds, max(1 / UNWATCHED_RATE, 1 / rate))

    def _give_up_change(self) -> None:
        """Go back to the last size and steps that there was a picture of: the next worker must not end by them, too."""
        values = self.parameters.values()
        unseen = {name: values[name] for name, value in self._painted.items() if values[name] != value}
        if unseen:
            log.error(
                "no picture came with %s; going back to %s", unseen, {name: self._painted[name] for name in unseen}
            )
            back = replace(self.parameters, **{name: self._painted[name] for name in unseen})
            self._controls = replace(self._controls, parameters=back)
            self._given_up_at = self.clock.now()

    def _check_change(self, wanted: Parameters) -> None:
        """Let no worker end so soon after another by what somebody chooses that the stage would fail for good."""
        if self._given_up_at is None or _cost(wanted) == _cost(self._controls.parameters):
            return
        wait = self._given_up_at + self._bounds.rest - self.clock.now()
        if wait > 0:
            raise ParameterError(
                f"the engine has just ended by another {' or '.join(COSTLY)}, and went back; "
                f"try what takes less in {math.ceil(wait)} s"
            )

    def _is_painted_as_told(self) -> bool:
        """Whether the last picture was painted as the worker has been told to, which may hold a change back."""
        told = self._told
        return told is not None and list(self._painted.values()) == _cost(told.parameters)

    def _feel(self) -> None:
        with self._lock:
            self._order(replace(self._controls, feeling=bool(self._pulses)))

    def _order(self, controls: Controls) -> None:
        self._controls = controls
        self._supervisor.wake()

    def _taken_taps(self) -> list[float]:
        taps = []
        while self._taps:
            taps.append(self._taps.popleft())
        return taps


def _cost(parameters: Parameters) -> list[object]:
    """Return what decides how long a picture takes."""
    return [getattr(parameters, name) for name in COSTLY]


def _sum(before: EngineCounters, now: EngineCounters) -> EngineCounters:
    return EngineCounters(
        before.frames + now.frames,
        before.hops + now.hops,
        before.heard_seconds + now.heard_seconds,
        before.dropped_seconds + now.dropped_seconds,
    )
