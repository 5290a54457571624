"""Ablations of each step beyond the reference: one small encoder, trained once per variation, measured alike.

    python -m clavilux.training.studies.ablations DATA OUT --text CHECKPOINT       (DATA as for `clavilux train --data`)

Every variation trains the same encoder from nothing, with the same seed, steps and batches, and changes one thing; the
last takes all that are cheap. All are measured on the test clips, whole and through windows that slide over them.
OUT/ablations.md and OUT/ablations.json are written anew after each; a variation that is finished is not done again, and
one that was stopped goes on. Retrieval is among the test's distinct captions; its chance stands in the table.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clavilux.export.options import Progress
from clavilux.runtime.errors import ClaviluxError
from clavilux.training.alignment.data.captioned import DataOptions
from clavilux.training.alignment.data.excerpts import Placing
from clavilux.training.alignment.options import Initialisation, TrainOptions
from clavilux.training.alignment.pretrained import Scratch
from clavilux.training.alignment.record import METRICS, RECORD, is_record, refuse_others, told, write_json
from clavilux.training.alignment.run import run_training
from clavilux.training.alignment.trainer import Hyperparameters
from clavilux.training.command_line import command

NEGATIVES = 512  # captions remembered
REGRESSION = 0.3
NORMS = 0.3
SHARE = 0.4  # of shifted and of partial windows
ALL_PLACES = 76  # CLIP's 77 without BOS
TEMPLATES = ("{}", "a sound of {}", "a picture of {}", "a drawing of {}")
TESTS = ("whole", "sliding")
COLUMNS = ("R@1 to text", "R@5 to text", "R@1 to audio", "cosine", "norm ratio")


@dataclass(frozen=True)
class Variation:
    """One change to the reference."""

    name: str
    what: str  # for the table
    change: Callable[[TrainOptions], TrainOptions]


def changed(**objective: Any) -> Callable[[TrainOptions], TrainOptions]:
    """Return a change of the objective."""
    return lambda options: replace(options, objective=replace(options.objective, **objective))


def _moved(options: TrainOptions) -> TrainOptions:
    return replace(options, placing=Placing(SHARE, SHARE, options.placing.lead_in))


def _together(options: TrainOptions) -> TrainOptions:
    change = changed(negatives=NEGATIVES, mask_duplicates=True, regression=REGRESSION)
    return replace(_moved(change(options)), templates=TEMPLATES)


VARIATIONS = (
    Variation("reference", "the reference's loss and windows", lambda options: options),
    Variation("masked", "clips with the same caption are no negatives", changed(mask_duplicates=True)),
    Variation(
        "negatives", f"{NEGATIVES} negatives from earlier batches", changed(negatives=NEGATIVES, mask_duplicates=True)
    ),
    Variation("symmetric", "contrast both ways", changed(symmetric=1.0, mask_duplicates=True)),
    Variation("regression", f"{REGRESSION} x squared distance", changed(regression=REGRESSION)),
    Variation("norms", f"{NORMS} x difference of log norms", changed(norms=NORMS)),
    Variation("windows", f"{SHARE:.0%} shifted, {SHARE:.0%} partial windows", _moved),
    Variation("places", f"{ALL_PLACES + 1} places", lambda options: replace(options, tokens=ALL_PLACES)),
    Variation("captions", f"{len(TEMPLATES)} caption templates", lambda options: replace(options, templates=TEMPLATES)),
    Variation("together", "negatives, regression, windows, templates", _together),
)


def run_ablations(base: TrainOptions, names: Sequence[str], say: Progress) -> list[dict[str, Any]]:
    """Train those of `names` (none: all) that are not finished below base.out; return a row for each that is.

    Raises ClaviluxError for a name that is none of VARIATIONS, for a finished one that was made with another base, and
    for what `run_training` refuses.
    """
    known = {one.name: one for one in VARIATIONS}
    if unknown := [name for name in names if name not in known]:
        raise ClaviluxError(f"no variation {unknown[0]!r}; expected {', '.join(known)}")
    for one in finished(base.out):
        made = {"options": told(one.change(replace(base, out=base.out / one.name)))}
        refuse_others(base.out / one.name / RECORD, made, ("options",))
    rows: list[dict[str, Any]] = []
    for name in names or known:
        if known[name] not in finished(base.out):
            _train(known[name], base, say)
        rows = [_row(one, base.out / one.name) for one in finished(base.out)]
        write_json(base.out / "ablations.json", rows)
        (base.out / "ablations.md").write_text(markdown(rows, base), encoding="utf-8")
    return rows


def finished(out: Path) -> list[Variation]:
    """Return the variations that have their figures below `out`, in the table's order."""
    folders = {one: out / one.name for one in VARIATIONS}
    return [one for one, folder in folders.items() if is_record(folder / RECORD) and (folder / METRICS).exists()]


def _train(variation: Variation, base: TrainOptions, say: Progress) -> None:
    out = base.out / variation.name
    say(f"{variation.name}: {variation.what}")
    began = time.monotonic()
    run_training(variation.change(replace(base, out=out)), lambda line: say(f"{variation.name}: {line}"))
    write_json(out / "seconds.json", time.monotonic() - began)


def _row(variation: Variation, out: Path) -> dict[str, Any]:
    figures = json.loads((out / METRICS).read_text(encoding="utf-8"))
    if not all(test in figures for test in TESTS):
        raise ClaviluxError(f"{out} was measured without test clips; expected some in the manifest, with split test")
    seconds = json.loads((out / "seconds.json").read_text()) if (out / "seconds.json").exists() else None
    return {"name": variation.name, "what": variation.what, "seconds": seconds, "figures": figures}


def markdown(rows: Sequence[Mapping[str, Any]], base: TrainOptions) -> str:
    """Return the table, one line per variation, and what it was made with."""
    head = ["variation", *(f"{test}: {column}" for test in TESTS for column in COLUMNS), "s"]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in rows:
        cells = [cell for test in TESTS for cell in _cells(row["figures"][test])]
        lines.append(_line([row["what"], *cells, f"{row['seconds']:.0f}" if row["seconds"] else ""]))
    tested, schedule, scratch = rows[0]["figures"]["whole"], base.schedule, base.start.scratch or Scratch()
    footer = (
        f"{tested['clips']} test clips, {tested['captions']} captions (chance {1 / tested['captions']:.1%}); encoder "
        f"{scratch.layers} x {scratch.width} from nothing, {schedule.steps} steps of {schedule.batch} clips, "
        f"seed {schedule.seed}."
    )
    return "\n".join([*lines, "", footer, ""])


def _cells(figures: Mapping[str, Any]) -> list[str]:
    to_text, to_audio = figures["audio_to_text"], figures["text_to_audio"]
    shares = [f"{share:.1%}" for share in (to_text[0], to_text[1], to_audio[0])]
    return [*shares, f"{figures['cosine']:.3f}", f"{figures['norm_ratio']:.2f}"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    found = argparse.ArgumentParser(
        prog="python -m clavilux.training.studies.ablations", description=(__doc__ or "").splitlines()[0]
    )
    found.add_argument("data", type=Path, metavar="DATA", help="folder with a manifest")
    found.add_argument("out", type=Path, metavar="OUT", help="folder for all trainings and the table")
    found.add_argument("--text", required=True, metavar="CHECKPOINT", help="as for `clavilux train`")
    found.add_argument("--caption-column", default="caption", metavar="NAME", help="of the manifest (caption)")
    found.add_argument("--only", default="", metavar="A,B", help=f"of {', '.join(one.name for one in VARIATIONS)}")
    found.add_argument("--steps", type=int, default=600, metavar="N", help="of each training (600)")
    found.add_argument("--batch", type=int, default=32, metavar="N", help="clips per step (32)")
    found.add_argument("--rate", type=float, default=1e-3, metavar="X", help="highest learning rate (1e-3)")
    found.add_argument("--layers", type=int, default=4, metavar="N", help="of the encoder (4)")
    found.add_argument("--width", type=int, default=96, metavar="N", help="of the encoder (96)")
    found.add_argument("--tokens", type=int, default=47, metavar="N", help="of all but the variation `places` (47)")
    found.add_argument("--lead-in", default="nothing", metavar="KIND", help="nothing or silence (nothing)")
    found.add_argument("--seed", type=int, default=0, metavar="N", help="of all trainings (0)")
    return found


def base_options(arguments: argparse.Namespace) -> TrainOptions:
    """Return the reference at a small size."""
    return TrainOptions(
        out=arguments.out,
        text=arguments.text,
        data=DataOptions(folder=arguments.data, caption_column=arguments.caption_column),
        start=Initialisation(scratch=Scratch(arguments.layers, arguments.width)),
        tokens=arguments.tokens,
        placing=Placing(lead_in=arguments.lead_in),
        schedule=Hyperparameters(
            batch=arguments.batch,
            accumulation=1,
            steps=arguments.steps,
            rate=arguments.rate,
            warmup=max(1, arguments.steps // 10),
            seed=arguments.seed,
        ),
        gradient_checkpointing=False,
        sliding=True,
        cache=arguments.out,
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; return 0. Raises ClaviluxError for a mistake."""
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr)

    arguments = parser().parse_args(words)
    run_ablations(base_options(arguments), [name for name in arguments.only.split(",") if name], say)
    print((arguments.out / "ablations.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(command("ablations", main))
