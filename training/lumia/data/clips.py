"""Short clips, and the folder that a data set of them is: FLAC files and a manifest with one JSON object per line.

The same folder feeds `clavilux train`, which reads `audio` and `caption` of each line. The other fields say what a clip
is, who made it, under which licence, and on which side of the split it lies. Assumes that the clips fit in memory (a
thousand seconds are 64 MB).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole
from clavilux.runtime.sound.format import SAMPLE_RATE

QUIET = 0.01  # of the peak; softer ends are cut off
MARGIN = 480  # samples kept before and after the sound: 30 ms
FADE = 160  # samples over which a cut beginning comes in: 10 ms
PEAK = 0.5  # of full scale, for every clip
MAX_SPOKEN = 1.9  # seconds of one spoken clip: what a window can hold
MANIFEST = "manifest.jsonl"

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Origin:
    """Where a clip comes from."""

    voice: str  # engine and speaker, or kind and source: what the split goes by
    source: str  # package
    licence: str
    credit: str = ""  # line that the licence asks for


@dataclass(frozen=True)
class LabelledClip:
    """One sound with its meaning."""

    sound: NDArray[np.float32]  # [n] mono at SAMPLE_RATE, in -1..1
    label: str  # a concept's name, or "" for none
    origin: Origin
    text: str = ""  # what is said, for speech

    @property
    def engine(self) -> str:
        """Return the part of the voice that names the engine or the kind of sound."""
        return self.origin.voice.split("/")[0]


def write_clips(folder: Path, name: str, split: Split, clips: Iterable[LabelledClip]) -> Path:
    """Write clips as FLAC below folder/audio and their lines as folder/parts/NAME.jsonl, which appears at the end.

    Clips without samples are left out. Returns the path of the part.
    """
    part = folder / "parts" / f"{name}.jsonl"
    part.parent.mkdir(parents=True, exist_ok=True)
    (folder / "audio" / name).mkdir(parents=True, exist_ok=True)
    with written_whole(part) as partial, partial.open("w") as file:
        for i, clip in enumerate(one for one in clips if len(one.sound)):  # an empty FLAC cannot be read
            audio = f"audio/{name}/{i:05d}.flac"
            soundfile.write(folder / audio, clip.sound, SAMPLE_RATE, subtype="PCM_16")
            caption = clip.label or clip.text
            line = {"audio": audio, "caption": caption, "concept": clip.label, "split": split, "text": clip.text}
            file.write(json.dumps(line | {"seconds": len(clip.sound) / SAMPLE_RATE} | asdict(clip.origin)) + "\n")
    return part


def join_parts(folder: Path) -> Path:
    """Write the manifest: the lines of all parts in the order of their names. Returns its path."""
    manifest = folder / MANIFEST
    with written_whole(manifest) as partial:
        partial.write_text("".join(part.read_text() for part in sorted((folder / "parts").glob("*.jsonl"))))
    return manifest


def read_clips(folder: Path, split: Split) -> list[LabelledClip]:
    """Return the clips of one side of the split, in the manifest's order.

    Raises ClaviluxError when the folder has no manifest, another one than `join_parts` writes, or lacks a clip.
    """
    return list(_clips(folder, split))


def read_part(folder: Path, name: str) -> list[LabelledClip]:
    """Return the clips of the part NAME, in the order in which they were written."""
    lines = (folder / "parts" / f"{name}.jsonl").read_text().splitlines()
    return [_clip(folder, json.loads(text)) for text in lines]


def _clips(folder: Path, split: Split) -> Iterator[LabelledClip]:
    manifest = folder / MANIFEST
    if not manifest.exists():
        raise ClaviluxError(
            f"{folder} has no {MANIFEST}; make it with `python -m clavilux.training.lumia.data.build {folder}`"
        )
    for number, text in enumerate(manifest.read_text().splitlines(), start=1):
        try:
            line = json.loads(text)
            if line["split"] == split:
                yield _clip(folder, line)
        except (ValueError, KeyError, TypeError, soundfile.LibsndfileError) as error:
            what = f"has no {error}" if isinstance(error, KeyError) else f"cannot be used ({error})"
            made = "expected a set that clavilux.training.lumia.data.build made"
            raise ClaviluxError(f"{manifest} line {number} {what}; {made}") from error


def _clip(folder: Path, line: Mapping[str, str]) -> LabelledClip:
    sound, _ = soundfile.read(folder / line["audio"], dtype="float32")
    origin = Origin(line["voice"], line["source"], line["licence"], line["credit"])
    return LabelledClip(sound, line["concept"], origin, line["text"])


def of_engine(clips: Sequence[LabelledClip], *engines: str) -> list[LabelledClip]:
    """Return the clips of these engines or kinds of sound."""
    return [clip for clip in clips if clip.engine in engines]


def tidy(samples: NDArray[np.float32], rate: int, longest: float = 4.0) -> NDArray[np.float32]:
    """Return mono samples at SAMPLE_RATE without their silent ends, the first `longest` seconds, with peak PEAK.

    `samples` is [n] or [n, channels] at `rate` Hz. Silence comes back empty.
    """
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    sound: NDArray[np.float32] = soxr.resample(mono, rate, SAMPLE_RATE).astype(np.float32)
    loud = np.flatnonzero(np.abs(sound) > QUIET * np.abs(sound).max(initial=0.0))
    if not len(loud):
        return sound[:0]
    kept = sound[max(0, loud[0] - MARGIN) : loud[-1] + MARGIN][: int(longest * SAMPLE_RATE)]
    return with_peak(kept)


def last_part(sound: NDArray[np.float32], longest: float) -> NDArray[np.float32]:
    """Return the last `longest` seconds of a sound, faded in over FADE samples and with peak PEAK where it was cut."""
    length = int(longest * SAMPLE_RATE)
    if len(sound) <= length:
        return sound
    kept = sound[-length:].copy()
    kept[:FADE] *= np.linspace(0.0, 1.0, FADE, dtype=np.float32)
    return with_peak(kept)


def with_peak(sound: NDArray[np.float32], peak: float = PEAK) -> NDArray[np.float32]:
    """Return a sound scaled to a peak; silence as it is."""
    highest = float(np.abs(sound).max(initial=0.0))
    result: NDArray[np.float32] = sound * np.float32(peak / highest) if highest else sound
    return result
