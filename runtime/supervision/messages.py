"""Messages between a server and the worker that holds the models, over pipes that nobody else has an end of.

They are pickled by `multiprocessing.connection`; pictures do not travel in them, but through shared memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from clavilux.runtime.control.parameters import Parameters, Range
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.frame import Frame
from clavilux.runtime.instrument import Instrument, Position
from clavilux.runtime.playing.engine_state import EngineCounters
from clavilux.runtime.pulse import Pulse
from clavilux.runtime.queues import Chunk
from clavilux.runtime.supervision.shared_pictures import Place


@dataclass(frozen=True)
class Controls:
    """Everything that an engine is told and that holds until it is told otherwise."""

    parameters: Parameters
    watched: int | None = None  # how many watch; None: nobody counts them
    ahead: float = 0.0  # s that a frame is seen after it is begun
    feeling: bool = False  # whether readings of the pulse are wanted


@dataclass(frozen=True)
class Play:
    """To the worker: play a stage, from where it was."""

    stage: str
    controls: Controls
    position: Position


@dataclass(frozen=True)
class Control:
    """To the worker: what holds for a stage from now on."""

    stage: str
    controls: Controls


@dataclass(frozen=True)
class Hear:
    """To the worker: sound and taps of a stage, oldest first."""

    stage: str
    chunks: tuple[Chunk, ...]
    taps: tuple[float, ...]  # s of the clock


@dataclass(frozen=True)
class Leave:
    """To the worker: play a stage no more."""

    stage: str


Order = Play | Control | Hear | Leave


@dataclass(frozen=True)
class Facts:
    """Facts about the bundle that a worker has loaded."""

    bundle: str
    provider: str  # providers that really run it, in the words of its libraries
    ranges: Mapping[str, Range]
    defaults: Parameters
    height: int  # pixels, of a bundle of one size
    width: int


def facts_of(instrument: Instrument) -> Facts:
    """Return the facts about what an instrument plays."""
    size, models = instrument.bundle.picture, instrument.models
    return Facts(
        instrument.bundle.name, models.provider, instrument.ranges, instrument.defaults, size.height, size.width
    )


@dataclass(frozen=True)
class Loaded:
    """From the worker: the models are loaded."""

    facts: Facts


@dataclass(frozen=True)
class Refused:
    """From the worker: they cannot be loaded, however often it is tried."""

    error: ClaviluxError


@dataclass(frozen=True)
class Made:
    """From the worker: a frame of a stage."""

    stage: str
    frame: Frame  # its pixels are empty
    place: Place  # of its pixels
    position: Position
    counters: EngineCounters


@dataclass(frozen=True)
class Felt:
    """From the worker: readings of the pulse."""

    stage: str
    pulses: tuple[Pulse, ...]
    captured_at: float  # s of the clock, of the end of the first one


@dataclass(frozen=True)
class Fell:
    """From the worker: it ends now, for this reason."""

    line: str


Report = Loaded | Refused | Made | Felt | Fell
