"""Interfaces of what a stage needs of others: an engine, seen from six sides, a sound card, and whoever has joined.

`clavilux.runtime.playing.engine.Engine` is an EngineLike, `clavilux.server.stage.connection.Connection` a Member; fakes
stand in tests/server/fakes.py. Whoever needs one side of the engine asks for that side alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.clock import Clock
from clavilux.runtime.control.parameters import Parameters, Range
from clavilux.runtime.frame import Frame
from clavilux.runtime.playing.engine_state import EngineState
from clavilux.runtime.pulse import Pulse
from clavilux.server.protocol.words import Role
from clavilux.server.settings import Token
from clavilux.server.stage.outbox import Outbox
from clavilux.server.stage.visitor import Visitor


class Lifecycle(Protocol):
    """An engine that is started, stopped, and may fail."""

    failure: BaseException | None  # what ended it for good, if something did

    @property
    def state(self) -> EngineState:
        """How it is doing."""

    def start(self) -> None:
        """Begin to play, in a thread of its own."""

    def stop(self) -> None:
        """End that thread and wait for it."""


class Controls(Protocol):
    """An engine whose parameters are read and set."""

    @property
    def parameters(self) -> Parameters:
        """The values that hold now."""

    @property
    def ranges(self) -> Mapping[str, Range]:
        """Ranges of the parameters by name; one that is not there, the bundle has not."""

    @property
    def defaults(self) -> Parameters:
        """Parameters that the bundle begins with."""

    @property
    def picture(self) -> tuple[int, int]:
        """Height and width of its pictures, pixels."""

    def set(self, values: Mapping[str, Any]) -> Parameters:
        """Merge values in, all or nothing; return what holds from the next frame on."""


class Counters(Protocol):
    """Counts of an engine since its start."""

    @property
    def frames(self) -> int:
        """Frames made."""

    @property
    def hops(self) -> int:
        """Times the sound was encoded."""

    @property
    def dropped_seconds(self) -> float:
        """Sound lost because it came faster than it was taken."""

    @property
    def heard_seconds(self) -> float:
        """Sound taken in."""

    @property
    def restarts(self) -> int:
        """Times that it began again after it had ended or hung."""


class Counting(Protocol):
    """An engine that counts what it does."""

    def counters(self) -> Counters:
        """Return what was counted so far."""


class Timed(Counting, Protocol):
    """An engine that counts, and tells its time and its state."""

    clock: Clock

    @property
    def state(self) -> EngineState:
        """How it is doing."""


class Hearing(Protocol):
    """An engine that takes sound."""

    def hear(self, samples: NDArray[np.float32], rate: int, captured_at: float | None = None) -> None:
        """Take samples [n, channels], -1 to 1, from any thread, without blocking."""


class Showing(Protocol):
    """An engine that gives out frames, and makes fewer of them when nobody watches."""

    def subscribe(self, listener: Callable[[Frame], None]) -> Callable[[], None]:
        """Call `listener` with every frame, on the engine's thread; return what ends that."""

    def watch(self, count: int) -> None:
        """Learn that `count` connections take the frames from now on."""

    def look_ahead(self, seconds: float) -> None:
        """Learn how much later than it is begun a frame is seen."""


class Pulsing(Protocol):
    """An engine that tells the pulse of what it hears."""

    def feel(self, listener: Callable[[Sequence[Pulse], float], None]) -> Callable[[], None]:
        """Call `listener` with new readings and the capture time of the first, on any thread; return what ends that."""

    def tap(self, at: float | None = None) -> None:
        """Take a beat that was tapped at `at` seconds of the clock, None for now."""


class EngineLike(Lifecycle, Controls, Timed, Hearing, Showing, Pulsing, Protocol):
    """A whole engine."""


class OwnSource(Protocol):
    """A sound card of the server's, which the stage hears instead of its performer."""

    @property
    def is_lost(self) -> bool:
        """Whether it is gone, and is being looked for."""


class Member(Protocol):
    """A connection that has started."""

    role: Role | None  # None until it has started
    outbox: Outbox
    visitor: Visitor
    token: Token | None  # the one that it has shown
    session: str
    heard_at: float  # when its last message came, s of the engine's clock

    @property
    def sounding(self) -> bool:
        """Whether its sound is what the stage hears."""

    @property
    def feeling(self) -> bool:
        """Whether it wants readings of the pulse."""
