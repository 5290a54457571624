"""Stand-ins for what the server talks to: an engine, a member, a client's channel. And a real server in a thread."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.clock import Clock, ManualClock, MonotonicClock
from clavilux.runtime.control.parameters import RANGES, Parameters, Range
from clavilux.runtime.errors import SoundError
from clavilux.runtime.frame import STAGES, Frame, Heard
from clavilux.runtime.playing.engine_state import EngineState
from clavilux.runtime.pulse import Pulse
from clavilux.server.protocol.words import Role
from clavilux.server.settings import Settings, Token
from clavilux.server.stage.interfaces import EngineLike
from clavilux.server.stage.message_pump import GoneError
from clavilux.server.stage.outbox import Outbox
from clavilux.server.stage.visitor import Visitor
from clavilux.server.web.limits import Limits
from clavilux.server.web.run import LIMITS, Listening, serve

NOW = 100.0  # s, where a fake engine's clock stands
USUAL_RANGES = {
    name: spec for name, spec in RANGES.items() if name not in ("guidance", "height", "stream_batch", "width")
}
USUAL_RANGES["steps"] = replace(RANGES["steps"], high=4)
"""Those of a bundle of one size, four steps at most and no guidance."""

DEADLINE = 20.0  # s, after which a test that waits has failed


@dataclass
class FakeCounters:
    frames: int = 0
    hops: int = 0
    dropped_seconds: float = 0.0
    heard_seconds: float = 0.0
    restarts: int = 0


@dataclass
class FakeEngine:
    """Does what a test tells it, on a clock that stands still."""

    clock: Clock = field(default_factory=lambda: ManualClock(NOW))
    ready: threading.Event = field(default_factory=threading.Event)
    failure: BaseException | None = None
    parameters: Parameters = field(default_factory=Parameters)
    picture: tuple[int, int] = (4, 6)
    defaults: Parameters = field(default_factory=Parameters)
    ranges: Mapping[str, Range] = field(default_factory=lambda: USUAL_RANGES)
    heard: list[tuple[NDArray[np.float32], int, float | None]] = field(default_factory=list)
    watched: list[int] = field(default_factory=list)  # every count that it was told
    counted: FakeCounters = field(default_factory=FakeCounters)
    running: bool = False
    restarting: bool = False
    on_hear: Callable[[], None] = lambda: None
    ahead: float = 0.0
    taps: list[float | None] = field(default_factory=list)
    _listeners: list[Callable[[Frame], None]] = field(default_factory=list)
    _feeling: list[Callable[[Sequence[Pulse], float], None]] = field(default_factory=list)

    @property
    def state(self) -> EngineState:
        if self.failure is not None:
            return EngineState.FAILED
        if self.restarting:
            return EngineState.RESTARTING
        return EngineState.PLAYING if self.ready.is_set() else EngineState.STARTING

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def hear(self, samples: NDArray[np.float32], rate: int, captured_at: float | None = None) -> None:
        if samples.max() > 50:
            raise SoundError("too loud for the fake")
        self.heard.append((samples, rate, captured_at))
        self.on_hear()

    def set(self, values: Mapping[str, Any]) -> Parameters:
        self.parameters = self.parameters.merge(values, self.ranges)
        return self.parameters

    def subscribe(self, listener: Callable[[Frame], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def watch(self, count: int) -> None:
        self.watched.append(count)

    def look_ahead(self, seconds: float) -> None:
        self.ahead = seconds

    def feel(self, listener: Callable[[Sequence[Pulse], float], None]) -> Callable[[], None]:
        self._feeling.append(listener)
        return lambda: self._feeling.remove(listener)

    def tap(self, at: float | None = None) -> None:
        self.taps.append(at)

    def beat(self, *pulses: Pulse, captured_at: float = NOW) -> None:
        """Give out readings, as the feed's thread does."""
        for listener in self._feeling:
            listener(pulses, captured_at)

    @property
    def felt(self) -> int:
        """How many want readings of the pulse."""
        return len(self._feeling)

    def counters(self) -> FakeCounters:
        return self.counted

    @property
    def listened_to(self) -> bool:
        return bool(self._listeners)

    def emit(self, sequence: int, heard_until: float | None = None, heard: Heard | None = None) -> Frame:
        """Give out one frame, as the engine's thread does."""
        return self.give(make_frame(sequence, heard_until, heard))

    def give(self, frame: Frame) -> Frame:
        """Give out this one."""
        for listener in self._listeners:
            listener(frame)
        return frame


@dataclass
class HangingEngine(FakeEngine):
    """Makes white pictures on a thread of its own, and hangs when `hang` is called; what it is told it still takes."""

    clock: Clock = field(default_factory=MonotonicClock)
    rate: float = 15.0  # pictures per second
    hanging: threading.Event = field(default_factory=threading.Event)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        super().start()
        self.ready.set()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        super().stop()
        self._over.set()
        if self._thread:
            self._thread.join(DEADLINE)

    def hang(self) -> None:
        """Make no pictures until it is stopped, as a thread does that waits for a device."""
        self.hanging.set()

    def _run(self) -> None:
        sequence = 0
        while not self._over.wait(1 / self.rate):
            if self.hanging.is_set():
                self._over.wait()
                return
            level = 0 if self.parameters.blackout or self.parameters.panic else 255
            pixels = np.full((4, 6, 3), level, np.uint8)
            frame = Frame(sequence, pixels, self.clock.now(), None, -20.0, None, dict.fromkeys(STAGES, 0.001))
            for listener in list(self._listeners):
                listener(frame)
            sequence += 1


def make_frame(sequence: int = 0, heard_until: float | None = None, heard: Heard | None = None) -> Frame:
    """Return a frame of 4 x 6 pixels whose colour tells its sequence."""
    pixels = np.full((4, 6, 3), sequence % 256, np.uint8)
    return Frame(sequence, pixels, NOW, heard_until, -20.0, heard, dict.fromkeys(STAGES, 0.001))


class Guest:
    """A member that does nothing."""

    def __init__(self, role: Role = Role.VIEWER, *, sounding: bool = False, feeling: bool = False) -> None:
        self.role = role
        self.sounding = sounding
        self.feeling = feeling
        self.outbox = Outbox()
        self.visitor = Visitor()
        self.token: Token | None = None
        self.session = ""
        self.heard_at = NOW


class FakeChannel:
    """A client that a test plays by hand: `say` to the server, `said` by the server."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self.flowing = asyncio.Event()  # cleared: the network takes nothing
        self.flowing.set()
        self.broken = False  # sending fails
        self._incoming: asyncio.Queue[str | bytes | None] = asyncio.Queue()

    def say(self, message: str | bytes) -> None:
        self._incoming.put_nowait(message)

    def hang_up(self) -> None:
        self._incoming.put_nowait(None)

    async def receive(self) -> str | bytes | None:
        return await self._incoming.get()

    async def send(self, message: str | bytes) -> None:
        await self.flowing.wait()
        if self.broken:
            raise GoneError("broken")
        self.said.put_nowait(message)

    async def close(self, code: int, reason: str) -> None:
        await self.flowing.wait()
        self.closed.set_result((code, reason))
        self.hang_up()


@contextmanager
def serving(engine: EngineLike, settings: Settings | None = None, limits: Limits = LIMITS) -> Iterator[Listening]:
    """Serve `engine` on a free port of this machine, in a thread, until the block ends."""
    listening: queue.Queue[Listening] = queue.Queue()
    chosen = settings or Settings(port=0)
    options = {"limits": limits, "on_listening": listening.put}
    thread = threading.Thread(target=serve, args=(engine, chosen), kwargs=options)
    thread.start()
    here = listening.get(timeout=DEADLINE)
    try:
        yield here
    finally:
        here.stop()
        thread.join(DEADLINE)
        assert not thread.is_alive()
