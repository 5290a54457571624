"""The weights that a comparison asks for, and gets; no torch here, so that the command line can offer the words."""

from dataclasses import dataclass
from pathlib import Path

LUMIA, SD_TURBO, TINY = ARCHITECTURES = ("lumia", "sd-turbo", "tiny")
"""Names in `clavilux.benchmarks.peers.architectures`, which builds them."""


@dataclass(frozen=True)
class SharedWeights:
    """Weights twice: PyTorch checkpoints, and the bundle that was exported from them."""

    checkpoints: Path  # folder of encoder/, unet/, vae/, scheduler/
    bundle: Path


@dataclass(frozen=True)
class Wanted:
    """Abilities that the bundle must have."""

    sizes: tuple[tuple[int, int], ...] = ()  # height, width; (): the usual one
    steps: int = 1  # at most
    layout: bool = False  # the parts as plain graphs as well
    batch: int = 1  # pictures that one run of the graphs can make, at most
