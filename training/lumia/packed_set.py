"""A small set for a machine without packages or network: some of the clips as log-mel frames, and the pictures.

    python -m clavilux.training.lumia.packed_set WORK PACKED     # from WORK's finished data, at most 17 MB
    python -m clavilux.training.lumia.make --set PACKED ...      # there

Windows are drawn and augmented from frames, so that a clip's frames, in float16, are all that the ear learns from. As
many clips as there is room for are taken, evenly from every concept and every kind. Fewer clips are fewer voices: how
much worse what is trained on them hears has not been measured.
"""

import argparse
import bisect
import io
import lzma
import random
import struct
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole
from clavilux.training.command_line import command
from clavilux.training.features import MEL_BINS, WINDOW_FRAMES
from clavilux.training.lumia.data import assets, phonemes
from clavilux.training.lumia.data.clips import LabelledClip, of_engine, read_clips
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES
from clavilux.training.lumia.data.phonemes import BLANK
from clavilux.training.lumia.models.augmented_windows import FrameSet, Group, frame_set

FORMAT = 1
NOISE_SEED = 20_261_123  # of the noises in windows, as `make` has it
MAX_BYTES = 17_000_000
KINDS = {
    "espeak": ("espeak",),
    "flite": ("flite",),
    "kokoro": ("kokoro",),
    "sounds": ("recording", "sample", "effect", "instrument", "drums"),
    "synthesis": ("synthesis",),
    "none": ("music", "noise", "tone", "singing"),
    "festival": ("festival",),
    "pico": ("pico",),
}
"""Kinds of clips that are drawn in shares of their own, and the engines or kinds of sound in each."""
COUNTS = ("lengths", "labels", "groups", "spoken")  # of a FrameSet: whole numbers, one for each clip

Arrays = dict[str, NDArray[Any]]
LAYOUT: dict[str, tuple[type[np.generic], tuple[int | str, ...]]] = {
    **dict.fromkeys(COUNTS, (np.int32, ("clips",))),
    "phonemes": (np.uint8, ("clips", "phonemes")),
    "frames": (np.float16, ("frames", MEL_BINS)),
    "noises": (np.float16, ("noises", "noise frames", MEL_BINS)),
    "pictures": (np.uint8, ("bytes",)),
    "picture_lengths": (np.int32, ("concepts",)),
    "header": (np.int32, (2,)),  # FORMAT, and how many phonemes there are
}
"""Types and shapes of a file's arrays; axes of one name are as long as each other. The concepts' names go with them."""
UNREADABLE = (EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
"""Errors of zipfile and numpy about content that is something else, or damaged."""


@dataclass(frozen=True)
class PackedSet:
    """A packed set, unpacked."""

    source: FrameSet  # whose groups are KINDS, in their order
    phoneme_count: int  # different ones, CTC's blank counted
    pictures: tuple[bytes, ...]  # of each concept, as a file

    def drawn(self, shares: Mapping[str, float]) -> FrameSet:
        """Return the clips of some kinds, drawn in these shares."""
        numbers = [list(KINDS).index(kind) for kind in shares]
        rows = [torch.nonzero(self.source.groups == number).flatten() for number in numbers]
        groups = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(one) for one in rows]))
        return replace(_clips_of(self.source, torch.cat(rows)), groups=groups, weights=tuple(shares.values()))


def groups_of(clips: Sequence[LabelledClip], shares: Mapping[str, float]) -> list[Group]:
    """Return the clips of each kind that has a share."""
    return [Group(of_engine(clips, *KINDS[kind]), share) for kind, share in shares.items()]


def pack(work: Path, out: Path, limit: int = MAX_BYTES) -> int:
    """Write a set of at most `limit` bytes from the data in `work`, and return how many clips it holds.

    Raises ClaviluxError when the data are not there, or nothing fits.
    """
    clips = read_clips(work, "train")
    groups = groups_of(clips, dict.fromkeys(KINDS, 1.0))
    spoken = phonemes.phonemes_of((clip.text for clip in clips), work)
    rows, count = phonemes.numbered([clip for group in groups for clip in group.clips], spoken)
    whole = PackedSet(frame_set(groups, NAMES, NOISE_SEED, rows), count, _pictures(work))
    order = evenly(whole.source, random.Random(NOISE_SEED))

    def content(number: int) -> bytes:
        chosen = torch.tensor(sorted(order[:number]), dtype=torch.long)
        return encoded(replace(whole, source=_clips_of(whole.source, chosen)))

    kept = bisect.bisect_right(range(1, len(order) + 1), limit, key=lambda number: len(content(number)))
    if not kept:
        raise ClaviluxError(f"not one clip fits into {limit} bytes beside noises and pictures; allow more")
    with written_whole(out) as part:
        part.write_bytes(content(kept))
    return kept


def evenly(source: FrameSet, dice: random.Random) -> list[int]:
    """Return all clips, those first whose kind and concept have come least often."""
    order = list(range(len(source.lengths)))
    dice.shuffle(order)
    seen: Counter[tuple[int, int]] = Counter()
    ranks = {}
    for clip in order:
        kind = int(source.groups[clip]), int(source.labels[clip])
        ranks[clip] = seen[kind]
        seen[kind] += 1
    return sorted(order, key=ranks.__getitem__)


def encoded(packed: PackedSet) -> bytes:
    """Return a packed set's file."""
    source = packed.source
    tensors = (*COUNTS, "phonemes", "frames", "noises")
    arrays: Arrays = {name: getattr(source, name).numpy().astype(LAYOUT[name][0]) for name in tensors}
    arrays["pictures"] = np.frombuffer(b"".join(packed.pictures), np.uint8)
    arrays["picture_lengths"] = np.array([len(one) for one in packed.pictures], np.int32)
    arrays["names"] = np.array(NAMES)
    arrays["header"] = np.array([FORMAT, packed.phoneme_count], np.int32)
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)  # type: ignore[arg-type,unused-ignore]
    return file.getvalue()


def read(path: Path) -> PackedSet:
    """Return the set in a file. Raises ClaviluxError when it is none, one of other concepts, or damaged."""
    try:
        arrays = _arrays(path.read_bytes())
        _check_layout(arrays)
        _check_values(arrays)
    except (OSError, ValueError) as error:
        made = "expected what clavilux.training.lumia.packed_set writes"
        raise ClaviluxError(f"{path} is no packed set ({error}); {made}") from error
    return _decoded(arrays)


def _arrays(content: bytes) -> Arrays:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            members = {name.removesuffix(".npy"): io.BytesIO(file.read(name)) for name in file.namelist()}
        return {name: np.lib.format.read_array(member, allow_pickle=False) for name, member in members.items()}
    except UNREADABLE as error:  # numpy's own words are advice to load what may do anything
        raise ValueError("it holds something else than arrays of numbers, or is damaged") from error


def _check_layout(arrays: Arrays) -> None:
    """Raise ValueError unless there are arrays as LAYOUT has them, for these concepts."""
    missing = [name for name in ("names", *LAYOUT) if name not in arrays]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    if arrays["header"].ravel()[:1].tolist() != [FORMAT] or arrays["names"].tolist() != list(NAMES):
        raise ValueError("it is of another version, or of other concepts")
    axes = {"concepts": len(NAMES)}
    for name, (dtype, shape) in LAYOUT.items():
        found = arrays[name]
        for axis, length in zip(shape, found.shape, strict=False):
            if isinstance(axis, str):
                axes.setdefault(axis, length)
        expected = [axes.get(axis, axis) if isinstance(axis, str) else axis for axis in shape]
        if found.dtype != dtype or list(found.shape) != expected:
            given = f"{found.dtype} {list(found.shape)}"
            raise ValueError(f"{name}: {given}, expected {np.dtype(dtype)} {expected}")


def _check_values(arrays: Arrays) -> None:
    """Raise ValueError unless what windows are drawn from lies within its arrays, and is numbers."""
    lengths, labels, groups, spoken = (arrays[name] for name in COUNTS)
    frames, noises, phonemes = (arrays[name] for name in ("frames", "noises", "phonemes"))
    width = phonemes.shape[1]
    rules = {
        "it holds no clips": len(lengths) > 0,
        f"its lengths are not those of {len(frames)} frames": _covers(lengths, frames),
        f"a label is not within 0 to {len(NAMES)}": _within(labels, 0, len(NAMES)),
        f"a group is not within 0 to {len(KINDS) - 1}": _within(groups, 0, len(KINDS) - 1),
        f"a clip speaks other than 0 to {width} phonemes": _within(spoken, 0, width),
        "phonemes are not as many as are spoken": ((phonemes != BLANK) == (np.arange(width) < spoken[:, None])).all(),
        f"there are more than {arrays['header'][1]} phonemes": (phonemes < arrays["header"][1]).all(),
        "frames are not finite": np.isfinite(frames).all(),
        "noises are not finite": np.isfinite(noises).all(),
        f"noises are not longer than {WINDOW_FRAMES} frames": len(noises) and noises.shape[1] > WINDOW_FRAMES,
        "its pictures are not one for each concept": _covers(arrays["picture_lengths"], arrays["pictures"]),
    }
    for fault, holds in rules.items():
        if not holds:
            raise ValueError(fault)


def _covers(lengths: NDArray[Any], whole: NDArray[Any]) -> bool:
    """Return whether pieces of these lengths, none of them empty, are all of an array."""
    return bool((lengths > 0).all()) and int(lengths.sum(dtype=np.int64)) == len(whole)


def _within(numbers: NDArray[Any], least: int, most: int) -> bool:
    return bool(((numbers >= least) & (numbers <= most)).all())


def _decoded(arrays: Arrays) -> PackedSet:
    counts = {name: torch.from_numpy(arrays[name].astype(np.int64)) for name in (*COUNTS, "phonemes")}
    frames, noises = (torch.from_numpy(arrays[name].astype(np.float32)) for name in ("frames", "noises"))
    source = FrameSet(frames=frames, noises=noises, idle=len(NAMES), weights=(1.0,) * len(KINDS), **counts)
    ends = np.cumsum(arrays["picture_lengths"]).tolist()
    content = arrays["pictures"].tobytes()
    pictures = tuple(content[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True))
    return PackedSet(source, int(arrays["header"][1]), pictures)


def _clips_of(source: FrameSet, chosen: Tensor) -> FrameSet:
    """Return the clips at some places, in that order."""
    starts = torch.cumsum(source.lengths, 0) - source.lengths
    frames = [source.frames[start : start + length] for start, length in _spans(starts[chosen], source.lengths[chosen])]
    rows = {name: getattr(source, name)[chosen] for name in (*COUNTS, "phonemes")}
    return replace(source, frames=torch.cat([source.frames[:0], *frames]), **rows)


def _spans(starts: Tensor, lengths: Tensor) -> list[tuple[int, int]]:
    return list(zip(starts.tolist(), lengths.tolist(), strict=True))


def _pictures(work: Path) -> tuple[bytes, ...]:
    folder = picture_folder(work)
    return tuple((folder / f"{concept.code}.webp").read_bytes() for concept in CONCEPTS)


def picture_folder(work: Path) -> Path:
    """Return the folder of the concepts' pictures, fetched on first use."""
    return assets.npm_package(assets.EMOJI_PACKAGE, work) / "assets"


def main() -> None:
    """Read the command line and pack."""
    parser = argparse.ArgumentParser(description="Pack a small set for a machine without packages or network.")
    parser.add_argument("work", type=Path, metavar="WORK", help="of clavilux.training.lumia.make, its data finished")
    parser.add_argument("out", type=Path, metavar="PACKED", help="file to write")
    parser.add_argument("--bytes", type=int, default=MAX_BYTES, metavar="N", help=f"at most ({MAX_BYTES})")
    options = parser.parse_args()
    kept = pack(options.work, options.out, options.bytes)
    print(f"{options.out}: {kept} clips, {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(command("packed_set", main))
