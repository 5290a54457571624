"""All steps of the plan, each in a process of its own: results as lines of JSON, and a table at the end.

    bash benchmarks/on_card/run.sh                     # the default bundle, with what is installed
    bash benchmarks/on_card/run.sh --large my-bundle   # and a bundle of the size that cards are for
    python -m clavilux.benchmarks.on_card.run          # the same without a checkout

A step that fails, hangs or takes its process down says so in its line, and the next one goes on; nothing that was found
is lost, as FOLDER/results.jsonl grows at once. The exit code is 0 where every step that was begun is done, else 1.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from clavilux.benchmarks.command_line import ended, make_folder
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.on_card.plan import Step, steps
from clavilux.runtime.bundle.bundle import MANIFEST
from clavilux.runtime.bundle.graphs import DENOISER
from clavilux.runtime.loading import DEFAULT_BUNDLE

SECONDS = 900.0  # of all steps together
SHORTEST = 5.0  # s: with less left nothing is begun
MAX_LINE = 400  # characters of the table
RESULTS, TABLE = "results.jsonl", "table.txt"
DONE, FAILED, HUNG, KILLED, LEFT_OUT = "done", "failed", "hung", "killed", "left out"
EXIT_FAILED = 1
LUMIA, LARGE = "lumia", "large"  # folders of skeletons


@dataclass(frozen=True)
class Outcome:
    """Outcome of a step."""

    step: str
    state: str  # DONE, FAILED, HUNG, KILLED or LEFT_OUT
    seconds: float
    line: str  # its result, or what went wrong
    result: dict[str, Any] | None = None  # as far as it was found

    @property
    def row(self) -> str:
        """Row of the table."""
        return f"{self.step:14} {self.state:8} {self.seconds:6.1f} s  {self.line[:MAX_LINE]}"


def perform(step: Step, limit: float) -> Outcome:
    """Run a step for at most `limit` seconds and return what became of it; nothing of it goes on running."""
    since = time.monotonic()
    command = [sys.executable, "-m", *step.words]
    process = subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
    )
    hung = False
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        hung = True
        os.killpg(process.pid, signal.SIGKILL)  # what it started, too
        out, err = process.communicate()
    took, result = round(time.monotonic() - since, 1), _last_object(out)
    if hung:
        return Outcome(step.name, HUNG, took, f"ended after {limit:.0f} s", result)
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return Outcome(step.name, KILLED, took, f"{name}; {_last_line(err, out)}".removesuffix("; "), result)
    if process.returncode or result is None:
        return Outcome(step.name, FAILED, took, _last_line(err, out) or f"exit code {process.returncode}", result)
    try:
        return Outcome(step.name, DONE, took, step.told(result), result)
    except KeyError as error:
        return Outcome(step.name, FAILED, took, f"its result has no {error}", result)


def _last_object(text: str) -> dict[str, Any] | None:
    """Return the last line that is a whole JSON object."""
    for line in reversed(text.splitlines()):
        try:
            found = json.loads(line) if line.startswith("{") else None
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return None


def _last_line(*texts: str) -> str:
    """Return the last line of the first text that has one, results aside."""
    for text in texts:
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("{")]
        if lines:
            return lines[-1]
    return ""


def outcomes(plan: Sequence[Step], seconds: float) -> Iterator[Outcome]:
    """Yield what becomes of each step, all of them within `seconds`."""
    ends = time.monotonic() + seconds
    for step in plan:
        left = ends - time.monotonic()
        if not step.words:
            yield Outcome(step.name, LEFT_OUT, 0.0, step.why)
        elif left < SHORTEST:
            yield Outcome(step.name, LEFT_OUT, 0.0, "time is up")
        else:
            yield perform(step, min(step.limit, left))


def run(plan: Sequence[Step], seconds: float, out: Path) -> bool:
    """Run the plan, write what becomes of it into the folder `out`, and return whether all that was begun is done."""
    make_folder(out)
    rows, good = [], True
    with (out / RESULTS).open("w") as results:
        for one in outcomes(plan, seconds):
            _note(one, results)
            rows.append(one.row)
            good &= one.state in (DONE, LEFT_OUT)
            print(f"{one.step}: {one.state}, {one.seconds} s", file=sys.stderr, flush=True)
    table = "\n".join(rows)
    (out / TABLE).write_text(table + "\n")
    print(table)
    print(f"\nresults: {out / RESULTS}")
    return good


def _note(one: Outcome, results: IO[str]) -> None:
    results.write(json.dumps(asdict(one)) + "\n")
    results.flush()


def chosen(asked: argparse.Namespace) -> tuple[Step, ...]:
    """Return the steps that are asked for. Raises BenchError for a name that no step has."""
    whole = (DEFAULT_BUNDLE / DENOISER).is_file()  # it may have been left behind, where room is short
    lumia = None if whole else _packed(asked.skeletons, LUMIA)
    large = None if asked.large else _packed(asked.skeletons, LARGE)
    found = steps(lumia or DEFAULT_BUNDLE, asked.large or large, tuple(filter(None, (lumia, large))))
    names = asked.only.split(",") if asked.only else [step.name for step in found]
    unknown = set(names) - {step.name for step in found}
    if unknown:
        raise BenchError(f"no step {min(unknown)!r}; there are {', '.join(step.name for step in found)}")
    return tuple(step for step in found if step.name in names)


def _packed(skeletons: Path | None, name: str) -> Path | None:
    """Return the skeleton of a name, None where none was packed."""
    return skeletons / name if skeletons and (skeletons / name / MANIFEST).is_file() else None


def main(words: Sequence[str] | None = None) -> int:
    """Run the plan; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("on-card"), metavar="FOLDER", help="for the results (on-card)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of everything, at most ({SECONDS:.0f})")
    parser.add_argument("--large", type=Path, metavar="BUNDLE", help="a bundle of sd-turbo's size, or one's own")
    parser.add_argument("--only", metavar="A,B", help="these steps alone")
    parser.add_argument("--skeletons", type=Path, metavar="FOLDER", help="of bundles without weights, as `pack` packs")
    asked = parser.parse_args(words)
    good = False

    def everything() -> None:
        nonlocal good
        good = run(chosen(asked), asked.seconds, asked.out)

    return ended("on_card", everything) or (0 if good else EXIT_FAILED)


if __name__ == "__main__":
    sys.exit(main())
