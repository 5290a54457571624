"""The record of a two-stream training, and the comparison with the one that it was begun with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole
from clavilux.training.alignment.metrics import Alignment
from clavilux.training.alignment.options import TrainOptions
from clavilux.training.alignment.pretrained import save_encoder

RECORD = "training.json"
METRICS = "metrics.json"
ENCODER = "encoder"
FREE = (
    "out",
    "folder",
    "cache",
    "resume",
    "cpu",
    "sliding",
    "workers",
    "log_every",
    "checkpoint_every",
    "evaluate_every",
)
"""Options that do not change the weights: a training may go on with others."""

LIBRARIES = ("clavilux", "torch", "transformers", "accelerate", "numpy", "soundfile", "soxr")


@dataclass(frozen=True)
class Outcome:
    """Outcome of a training, besides its files."""

    encoder: Path
    metrics: Mapping[str, Alignment]  # "whole" and "sliding"; empty without test clips
    steps: int
    loss: float  # mean of the last steps that were logged; nan when none were
    skipped: str  # for people
    window_seconds: float


def flattened(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested options by dotted names."""
    found: dict[str, Any] = {}
    for name, one in value.items():
        found |= flattened(one, f"{prefix}{name}.") if isinstance(one, Mapping) else {f"{prefix}{name}": one}
    return found


def told(options: TrainOptions) -> dict[str, Any]:
    """Return options as the record tells them."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(options), default=str))
    return found


def refuse_others(file: Path, now: Mapping[str, Any], parts: Sequence[str]) -> None:
    """Raise ClaviluxError when the record in `file` tells another training than `now`, in one of its `parts`."""
    before = json.loads(file.read_text(encoding="utf-8"))
    old, new = (flattened({part: one.get(part) for part in parts}) for one in (before, now))
    for name in sorted(set(old) | set(new)):
        same = old.get(name, False) == new.get(name)  # an option that was not there yet was off
        if name.rpartition(".")[2] not in FREE and not same:
            raise ClaviluxError(
                f"{file.parent} was begun with {name} {old.get(name)}, not {new.get(name)}; "
                "give what it was begun with, choose another OUT, or begin anew (clavilux train --restart)"
            )


def is_record(file: Path) -> bool:
    """Return whether a training wrote `file` as its record."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return "out" in found["options"] and "clavilux" in found["versions"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


class TrainingRecord:
    """OUT/training.json: the training that is run, and, for one that goes on, whether it is the same."""

    def __init__(self, options: TrainOptions, counts: Mapping[str, Any], processes: int) -> None:
        self.file = options.out / RECORD
        self.found: dict[str, Any] = {
            "options": told(options),
            "data": dict(counts),
            "processes": processes,
            "versions": {name: version(name) for name in LIBRARIES},
        }

    def begin(self, *, resumed: bool, write: bool) -> None:
        """Compare with the record that is there, and `write` this one.

        Raises ClaviluxError when a training is to go on with other options, data or processes.
        """
        if resumed and self.file.exists():
            refuse_others(self.file, self.found, ("options", "processes", "data"))
        if write:
            self.write()

    def tell(self, name: str, value: object) -> None:
        """Add an entry; it is written with the next."""
        self.found[name] = value

    def write(self) -> None:
        """Write the file whole."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.file, self.found)


def write_json(file: Path, found: object) -> None:
    """Write a JSON file whole or not at all."""
    with written_whole(file) as part:
        part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def publish(outcome: Outcome, encoder: Any, record: TrainingRecord) -> None:
    """Write the encoder and the figures."""
    placing = record.found["options"]["placing"]
    with written_whole(outcome.encoder) as part:
        save_encoder(encoder, part, window_seconds=outcome.window_seconds, lead_in=placing["lead_in"])
    figures = {name: asdict(one) | {"norm_ratio": one.norm_ratio} for name, one in outcome.metrics.items()}
    run = {"steps": outcome.steps, "loss": outcome.loss if np.isfinite(outcome.loss) else None}
    write_json(record.file.with_name(METRICS), run | figures)
    record.tell("skipped", outcome.skipped)
    record.tell("finished", True)
    record.write()
