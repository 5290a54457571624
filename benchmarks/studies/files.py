"""Study of sound files: some two hundred of every kind, whole and damaged, through the reader that all commands have.

    python -m clavilux.benchmarks.studies.files                  prints the table of docs/files.md
    python -m clavilux.benchmarks.studies.files --page docs/files.md    writes it there

A file counts as read right where its length is that of what was put in, within 1 %, and each channel's tone is the one
that was put into it. Needs PyAV: pip install 'clavilux[video]'.
"""

import argparse
import logging
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clavilux.benchmarks.command_line import ended
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.studies.sound_files import (
    DAMAGES,
    KINDS,
    NO_SOUND,
    SECONDS,
    Kind,
    sound,
    tones,
    write,
    write_silent_film,
)
from clavilux.runtime.errors import SoundError
from clavilux.runtime.sound.sound_file import open_sound

TOLERANCE = 0.01  # of the length
NEAR = 4.0  # Hz, from one tone to another
PADDING = 0.05  # s of silence with which coders fill their last frame where no header tells the length
HEARD = 0.25  # s, from which on a tone can be told
BEGIN, END = "<!-- files: begin -->", "<!-- files: end -->"
DAMAGED = (
    "wav", "rf64", "w64", "caf", "aiff", "au", "flac", "ogg", "mp3", "m4a", "mp4", "mkv", "webm", "ts", "wv", "aac",
)  # fmt: skip
"""Endings or containers that are damaged, too."""


@dataclass(frozen=True)
class Case:
    """One file of the study."""

    name: str  # for people
    path: Path
    channels: int
    rate: int  # Hz
    kind: Kind | None = None  # None: no sound
    damage: str = ""  # "" for a whole file


@dataclass(frozen=True)
class Outcome:
    """One file, read or refused."""

    case: Case
    reader: str = ""
    seconds: float = 0.0
    rate: int = 0  # Hz
    tones: list[float] = field(default_factory=list)  # Hz, the loudest of each channel
    refusal: str = ""
    told: str = ""  # the line that was logged

    @property
    def is_right(self) -> bool:
        """Whether a whole file came back as it was."""
        kind = self.case.kind
        padded = self.reader == "PyAV" or (kind is not None and "ADPCM" in kind.coding)
        same = abs(self.seconds - SECONDS) <= TOLERANCE * SECONDS + (PADDING if padded else 0.0)
        return not self.refusal and same and self.has_its_tones

    @property
    def has_its_tones(self) -> bool:
        """Whether each channel has its own tone, and there are as many."""
        wanted = tones(self.case.channels)
        return len(self.tones) == len(wanted) and bool(np.all(np.abs(np.subtract(self.tones, wanted)) < NEAR))


def cases(folder: Path) -> Iterator[Case]:
    """Write the files into a folder, one after the other."""
    for kind in KINDS:
        for number, channels in enumerate(kind.channels):
            rate = kind.rates[number % len(kind.rates)]
            path = folder / f"{kind.name} {channels} {rate}.{kind.ending}".replace(" ", "_")
            write(kind, path, sound(channels, rate), rate)
            yield Case(f"{kind.name}, {channels} x {rate} Hz", path, channels, rate, kind)
    yield from _damaged(folder)
    yield from _mistaken(folder)


def _damaged(folder: Path) -> Iterator[Case]:
    """Write damaged files, one of each kind of container, in stereo."""
    for ending in DAMAGED:
        kind = next(kind for kind in KINDS if ending in (kind.ending, kind.container.lower()) and 2 in kind.channels)
        whole = folder / f"whole.{kind.ending}"
        rate = kind.rates[-1]
        write(kind, whole, sound(2, rate), rate)
        for number, (damage, change) in enumerate(DAMAGES.items()):
            path = folder / f"{ending}_{number}.{kind.ending}"
            path.write_bytes(change(whole.read_bytes()))
            yield Case(f"{kind.name}, {damage}", path, 2, rate, kind, damage)
        renamed = folder / f"{ending}_renamed.{'mp3' if kind.ending != 'mp3' else 'wav'}"
        renamed.write_bytes(whole.read_bytes())
        yield Case(f"{kind.name}, with another ending", renamed, 2, rate, kind)


def _mistaken(folder: Path) -> Iterator[Case]:
    """Write what is no sound, under names of sound."""
    for number, (what, content) in enumerate(NO_SOUND.items()):
        for ending in ("wav", "mp3"):
            path = folder / f"mistaken_{number}.{ending}"
            path.write_bytes(content)
            yield Case(f"{what} as .{ending}", path, 0, 0)
    path = folder / "silent.mp4"
    write_silent_film(path)
    yield Case("a film without sound", path, 0, 0)


class _Lines(logging.Handler):
    """Lines that are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def read(case: Case) -> Outcome:
    """Read one file through the reader of all commands."""
    lines = _Lines()
    log = logging.getLogger("clavilux.sound")
    log.addHandler(lines)
    try:
        with open_sound(case.path) as found:
            samples = np.concatenate(list(found.blocks()))
            seconds = len(samples) / found.rate
            heard = _loudest(samples, found.rate) if seconds >= HEARD else []
            return Outcome(case, found.reader, seconds, found.rate, heard, told=" ".join(lines.lines))
    except SoundError as error:
        return Outcome(case, refusal=str(error))
    finally:
        log.removeHandler(lines)


def _loudest(samples: NDArray[np.float32], rate: int) -> list[float]:
    """Return the loudest tone of each channel in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))[:, None], axis=0))
    return [float(place) * rate / len(samples) for place in spectrum.argmax(axis=0)]


def table(outcomes: list[Outcome]) -> str:
    """Return the table of docs/files.md, in Markdown."""
    whole = [one for one in outcomes if one.case.kind is not None and not one.case.damage]
    lines = ["| format | codings | read by | channels tried |", "|---|---|---|---|"]
    grouped = groupby(whole, key=lambda one: one.case.kind.container if one.case.kind else "")
    merged: dict[tuple[str, str], tuple[list[str], set[int]]] = {}
    for container, some in grouped:
        for one in some:
            if one.case.kind is None or "another ending" in one.case.name:
                continue
            codings, channels = merged.setdefault((container, one.reader), ([], set()))
            codings += [one.case.kind.coding] if one.case.kind.coding not in codings else []
            channels.add(one.case.channels)
    for (container, reader), (codings, channels) in merged.items():
        lines.append(f"| {container} | {', '.join(codings)} | {reader} | {', '.join(map(str, sorted(channels)))} |")
    return "\n".join(lines)


def write_table(path: Path, outcomes: list[Outcome]) -> None:
    """Write the table into a page, between its marks. Raises BenchError when it has none."""
    page = path.read_text(encoding="utf-8")
    new, places = re.subn(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{table(outcomes)}\n{END}", page, flags=re.DOTALL)
    if places != 1:
        raise BenchError(f"{path} has no place for the table; expected {BEGIN} and {END} after it")
    path.write_text(new, encoding="utf-8")


def main() -> None:
    """Make the files, read them, and print or write the table."""
    parser = argparse.ArgumentParser(description="Sound files of every kind through the reader of all commands.")
    parser.add_argument("--page", type=Path, help="the page whose table is written anew")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = [read(case) for case in cases(Path(folder))]
    wrong = [one for one in outcomes if one.case.kind and not one.case.damage and not one.is_right]
    if wrong:
        raise BenchError(f"{len(wrong)} of {len(outcomes)} files are not read right: {wrong[0]}")
    if words.page is None:
        print(table(outcomes))
        return
    write_table(words.page, outcomes)
    print(f"{len(outcomes)} files", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(ended("files", main))
