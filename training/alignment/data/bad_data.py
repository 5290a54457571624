"""Faults of clips, each said in one line; and the clips of a set that are fit to train on, looked at once.

The result is kept beside the checkpoints (`checked.json`): a resumed training, and every process of one that runs on
several, takes the same clips. Sound is looked at in pieces, never whole.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
import soundfile

from clavilux.export.options import Progress
from clavilux.runtime.errors import SoundError
from clavilux.runtime.files import Record
from clavilux.training.alignment.data.captioned import Captioned, DataError, Example, is_file, is_folder
from clavilux.training.alignment.data.excerpts import (
    CHECK_FRAMES,
    LOUDEST,
    MIN_SAMPLES,
    EncodedSound,
    bytes_missing,
    length,
    open_sound,
)

CHECKED = "checked.json"
SKIPPED = "skipped.jsonl"
ON_BAD = ("skip", "refuse")
MILLISECONDS = 1000


@dataclass(frozen=True)
class Fault:
    """Why a clip cannot be trained on."""

    name: str  # of the clip
    kind: str  # for counting: "unreadable", "empty caption", ...
    line: str  # what was found and what was expected


@dataclass(frozen=True)
class Policy:
    """Policy for bad data."""

    on_bad: str = ON_BAD[0]
    expect_rate: int | None = None  # Hz; None: others are resampled


def find_fault(example: Example, policy: Policy) -> Fault | None:
    """Return what is wrong with a clip, or None."""
    if not example.caption:
        where = f" (manifest line {example.line})" if example.line else ""
        return Fault(example.name, "empty caption", f"has an empty caption{where}; expected words")
    try:
        return _sound_fault(example.name, example.read(), policy)
    except (SoundError, DataError) as error:
        return Fault(example.name, "unreadable", f"cannot be read ({error}); expected a sound file")


def _sound_fault(name: str, sound: EncodedSound, policy: Policy) -> Fault | None:
    if isinstance(sound, Path) and not is_file(sound):
        found = "is a folder" if is_folder(sound) else "is not there"
        return Fault(name, "unreadable", f"{found}; expected a sound file")
    with open_sound(sound) as file:
        if policy.expect_rate is not None and file.samplerate != policy.expect_rate:
            return Fault(name, "wrong rate", f"has {file.samplerate} Hz; expected {policy.expect_rate}")
        if missing := bytes_missing(sound):
            return Fault(name, "unreadable", f"breaks off, {missing} bytes are missing; expected a whole file")
        samples = length(file)
        if samples < MIN_SAMPLES:
            milliseconds = MILLISECONDS * samples / 16_000
            return Fault(name, "no sound", f"lasts {milliseconds:.0f} ms; expected 35 or more")
        return _value_fault(name, file)


def _value_fault(name: str, file: soundfile.SoundFile) -> Fault | None:
    """Look at every sample: is it a number, none too large, and is any of them not zero?"""
    peak, read = 0.0, 0
    try:
        for block in file.blocks(CHECK_FRAMES, dtype="float32"):
            read += len(block)
            if not np.isfinite(block).all():
                return Fault(name, "not finite", "holds samples that are no numbers; expected -1 to 1")
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            if peak > LOUDEST:
                return Fault(name, "too large", f"holds samples as large as {peak:.0e}; expected -1 to 1")
    except soundfile.LibsndfileError as error:
        return Fault(name, "unreadable", f"breaks off ({error.error_string.strip()}); expected a whole file")
    if read < file.frames:
        return Fault(name, "unreadable", f"breaks off after {read} of {file.frames} frames; expected a whole file")
    return None if peak > 0 else Fault(name, "silent", "is digital silence; expected a sound")


@dataclass(frozen=True)
class Checked:
    """The clips that are fit, and what is wrong with the others."""

    examples: Sequence[Example]
    faults: Sequence[Fault]

    def summary(self) -> str:
        """Return the count for people."""
        return count_faults(self.faults, len(self.examples) + len(self.faults))


def count_faults(faults: Sequence[Fault], total: int) -> str:
    """Return for example "skipped 3 of 120 clips: 2 unreadable, 1 empty caption"."""
    kinds = Counter(fault.kind for fault in faults)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda one: (-one[1], one[0])))
    return f"skipped {len(faults)} of {total} clips" + (f": {told}" if told else "")


def check(data: Captioned, folder: Path, policy: Policy, report: Progress) -> Checked:
    """Return what of `data` can be trained on; `report` hears a line for each clip that cannot.

    What `folder` already holds about the same data is taken from there, but for bad clips, which may have been mended.
    Raises DataError at the first bad clip when the policy refuses, and when nothing is left.
    """
    file = folder / CHECKED
    key = {"data": data.fingerprint, "clips": len(data.examples), "expect_rate": policy.expect_rate}
    kept = _kept(file, key)
    suspects = range(len(data.examples)) if kept is None else kept
    bad = {i: fault for i in suspects if (fault := find_fault(data.examples[i], policy))}
    if kept is None:
        Record(key, data=bad).write(file)
    for fault in bad.values():
        refuse_or_report(fault, policy, report)
    good = [one for i, one in enumerate(data.examples) if i not in bad]
    if not good:
        raise DataError(
            f"no clip of {len(data.examples)} can be trained on; {count_faults(list(bad.values()), len(bad))}"
        )
    return Checked(good, list(bad.values()))


def refuse_or_report(fault: Fault, policy: Policy, report: Progress) -> None:
    """Raise DataError or tell, as the policy has it."""
    line = f"{fault.name} {fault.line}"
    if policy.on_bad == "refuse":
        raise DataError(f"{line}, or --on-bad skip")
    report(f"skipped: {line}")


def _kept(file: Path, key: dict[str, object]) -> dict[int, Fault] | None:
    record = Record.trusted(file, key)
    try:
        return msgspec.convert(record.data, dict[int, Fault], str_keys=True) if record else None
    except msgspec.ValidationError:
        return None


def note_skipped(folder: Path, fault: Fault) -> None:
    """Append a fault met in a stream, where nothing can be looked at beforehand; any process may."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / SKIPPED).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(fault)) + "\n")


def read_skipped(folder: Path) -> list[Fault]:
    """Return the faults that streams met, each clip once, however often it came by."""
    file = folder / SKIPPED
    lines: Iterable[str] = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    found = {fault.name: fault for line in lines if (fault := Fault(**json.loads(line)))}
    return list(found.values())
