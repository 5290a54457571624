"""The options of a benchmark and their words; nothing is imported here that takes torch, or long."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

PARTS = ("startup", "ceiling", "socket")
"""Parts of a benchmark that can be left out."""

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class BenchOptions:
    """Everything that is free to choose about a benchmark."""

    bundle: Path | None = None
    device: str = "cpu"
    threads: int = 0  # 0: one per core
    values: tuple[str, ...] = ()  # NAME=VALUE
    sizes: tuple[Size, ...] = ()  # (): the bundle's own
    steps: tuple[int, ...] = ()  # (): STEPS, as far as the bundle goes
    seconds: float = 5.0  # of measuring each setting, and through the socket
    without: tuple[str, ...] = ()  # of PARTS
    sound: Path | None = None
    browser: bool = False
    peers: tuple[str, ...] = ()  # names
    pythons: Mapping[str, Path] = field(default_factory=dict)
    rounds: int = 15
    checkpoints: Path | None = None
    architecture: str | None = None
    out: Path = Path("clavilux-bench")


def options_from(arguments: argparse.Namespace) -> BenchOptions:
    """Return the options that a command line has under their names here; `add_model_options` gave the first ones."""
    given = {
        **vars(arguments),
        "bundle": Path(arguments.bundle) if arguments.bundle else None,
        "values": tuple(arguments.set),
        "pythons": dict(getattr(arguments, "pythons", ())),
    }
    return BenchOptions(**{one.name: given[one.name] for one in fields(BenchOptions) if one.name in given})
