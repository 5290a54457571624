"""Decoded sound as decoders hand it over: blocks, read once, with what the header says of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]  # [n, channels], as the file has it: not checked yet

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
"""FFmpeg's names for what a number of channels means where nothing else is said, in WAV's order."""
NO_SOUND = "it has no sound"  # the reason where a film has none
NOTHING = "it holds no samples"  # the reason where a file is sound, but empty


class UnreadableError(Exception):
    """A decoder cannot read a file, or cannot read on; the message is its reason, without a stop."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A file that a decoder has begun to read."""

    rate: int  # Hz
    channels: int
    blocks: Iterator[Block]  # raises UnreadableError where nothing more can be read
    reader: str  # the library
    promised: int | None = None  # samples by the header; None where it does not say
    layout: str = ""  # FFmpeg's name of what the channels mean; "" where nobody knows
