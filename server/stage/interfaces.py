"""What the server needs of others, each a small interface: an engine, and whoever has joined a stage.

`clavilux.runtime.playing.engine.Engine` is an EngineLike, `clavilux.server.stage.session.Session` a Member; fakes stand
in tests/server/fakes.py.
"""

from collections.abc import Callable, Mapping
from threading import Event
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.clock import Clock
from clavilux.runtime.control.parameters import Parameters, Range
from clavilux.runtime.frame import Frame
from clavilux.server.stage.metrics import Counters
from clavilux.server.stage.outbox import Outbox


class EngineLike(Protocol):
    """What a stage needs of an engine."""

    clock: Clock
    ready: Event
    failure: BaseException | None
    audience: int | None  # how many watch, written by the stage

    @property
    def parameters(self) -> Parameters:
        """The values that hold now."""

    @property
    def ranges(self) -> Mapping[str, Range]:
        """What the parameters may be; one that is not there, the bundle has not."""

    @property
    def defaults(self) -> Parameters:
        """What the bundle begins with."""

    @property
    def picture(self) -> tuple[int, int]:
        """Height and width of its pictures, pixels."""

    def start(self) -> None:
        """Begin to play, in a thread of its own."""

    def stop(self) -> None:
        """End that thread and wait for it."""

    def hear(self, samples: NDArray[np.float32], rate: int, captured_at: float | None = None) -> None:
        """Take samples [n, channels], -1 to 1, from any thread, without blocking."""

    def set(self, values: Mapping[str, Any]) -> Parameters:
        """Merge values in, all or nothing; return what holds from the next frame on."""

    def subscribe(self, listener: Callable[[Frame], None]) -> Callable[[], None]:
        """Call `listener` with every frame, on the engine's thread; return what ends that."""

    def counters(self) -> Counters:
        """Return what was counted so far."""


class Member(Protocol):
    """A connection that has started."""

    role: str
    outbox: Outbox

    @property
    def sounding(self) -> bool:
        """Whether its sound is what the stage hears."""
