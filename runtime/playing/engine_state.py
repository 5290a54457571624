"""State and counts of an engine, as whoever plays it sees them: light words, for a process that holds no models."""

from dataclasses import dataclass
from enum import StrEnum


class EngineState(StrEnum):
    """States of an engine."""

    STARTING = "starting"  # no picture has been made yet
    PLAYING = "playing"  # pictures come
    RESTARTING = "restarting"  # its worker has ended, or hung, and another one is on its way
    FAILED = "failed"  # no pictures will come any more


@dataclass(frozen=True)
class EngineCounters:
    """Counts since the engine's start."""

    frames: int  # pictures given out
    hops: int  # windows of sound looked at
    heard_seconds: float  # sound taken in
    dropped_seconds: float  # sound lost because the engine was behind
    restarts: int = 0  # workers that took over from one that ended or hung
