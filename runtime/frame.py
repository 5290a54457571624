"""Frames: a picture with its time, its origin in the sound, and the seconds that each stage took."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.pulse import SILENCE_DB, Pulse

STAGES = ("queue", "features", "encode", "condition", "denoise", "decode")
"""Stages the engine times, in the order the sound passes them; seconds each.

`queue` is how long the newest sound waited between its capture and the features; the others are work."""


WARNINGS = ("clipped", "faint")
"""Warnings of the input: it was cut off at full scale, or is so quiet that noise may be heard as sound."""


class SourceState(StrEnum):
    """States of the source of sound."""

    PLAYING = "playing"  # it sounds
    QUIET = "quiet"  # samples come, and the gate takes them for silence
    STALLED = "stalled"  # no samples come, though nobody said that they would end
    LOST = "lost"  # the sound card is gone, and is looked for
    NONE = "none"  # nobody sounds


@dataclass(frozen=True)
class ChannelLevel:
    """Meter of one channel."""

    level: float  # dBFS, RMS of the last 100 ms without its offset; a square wave of full scale has 0
    peak: float  # dBFS, largest sample: held for 1.5 s, then 20 dB a second lower
    clipped: bool  # whether it clipped in the last 3 s


@dataclass(frozen=True)
class Listening:
    """Account of the source when a frame was made."""

    state: SourceState = SourceState.NONE
    gate: float = SILENCE_DB  # dBFS from which it is taken for sound, -120 to 0
    gain: float = 0.0  # dB, what the performer set and what the automatic one added
    warnings: tuple[str, ...] = ()  # WARNINGS that hold
    channels: tuple[ChannelLevel, ...] = ()  # of the source, before all mixing
    taken: int | None = None  # channel that is heard alone, counted from 1; None: the mean of all


@dataclass(frozen=True)
class Heard:
    """The bundle's concept nearest to the sound, and the cosine similarity of its tokens, -1 to 1."""

    name: str
    similarity: float


@dataclass(frozen=True)
class Frame:
    """One picture. Times are seconds of the engine's clock."""

    sequence: int  # counts from 0, without gaps
    pixels: NDArray[np.uint8]  # [H, W, 3], RGB, read-only
    time: float  # when work on this frame began
    heard_until: float | None  # capture time of the newest sample that shaped it; None before any sound
    level: float  # loudness of the last hop after a high-pass, dBFS, -120 to 0
    heard: Heard | None  # None while nothing sounds that the bundle has a name for
    stages: dict[str, float] = field(default_factory=dict)  # seconds by name, see STAGES
    pulses: tuple[Pulse, ...] = ()  # readings that came since the frame before
    known: float = 0.0  # how sure it is that what sounds is `heard`, 0 to 1
    values: Mapping[str, Any] = field(default_factory=dict)  # parameters by name, as the sound has moved them
    listening: Listening = Listening()  # how the source is doing
