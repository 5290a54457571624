"""Frames: a picture with its time, its origin in the sound, and the seconds that each stage took."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.pulse import Pulse

STAGES = ("queue", "features", "encode", "condition", "denoise", "decode")
"""Stages the engine times, in the order the sound passes them; seconds each.

`queue` is how long the newest sound waited between its capture and the features; the others are work."""


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
    level: float  # loudness of the last hop, dBFS, -120 to 0
    heard: Heard | None  # None when the bundle names no concepts, or nothing has sounded yet
    stages: dict[str, float] = field(default_factory=dict)  # seconds by name, see STAGES
    pulses: tuple[Pulse, ...] = ()  # readings that came since the frame before
    known: float = 0.0  # how sure it is that what sounds is `heard`, 0 to 1
    values: Mapping[str, Any] = field(default_factory=dict)  # parameters by name, as the sound has moved them
