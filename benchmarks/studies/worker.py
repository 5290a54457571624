"""The models in a worker process against the server's own: rate, heard to shown, and memory, by turns in one run.

    python -m clavilux.benchmarks.studies.worker                        # lumia, alone and with 64 viewers
    python -m clavilux.benchmarks.studies.worker --viewers 0,16 --rounds 3 --bundle mine --device cuda

Each round starts both servers, one after the other and the other way round in the next, with one performer who sounds
and so many viewers, in processes of their own. Told are medians over the rounds, and the worker's over the other's.
Processor time and memory are those of the server and of all processes that it has started; `clients` is what those who
watch take of the same processors.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from clavilux.benchmarks.bench.options import BenchOptions, options_from
from clavilux.benchmarks.bench.report import columns
from clavilux.benchmarks.bench.run import MAX_START_SECONDS
from clavilux.benchmarks.command_line import ended, model_words, parse_rounds, parse_seconds, stopwatch
from clavilux.benchmarks.measurements import machine
from clavilux.benchmarks.measurements.serving import serving
from clavilux.benchmarks.studies.scale import parse_viewers, room_for, watch_once
from clavilux.benchmarks.studies.scale_report import Watched
from clavilux.command import Parser
from clavilux.export.options import Progress
from clavilux.runtime.commands.options import add_model_options

WORKER, OWN = "worker", "in process"
WAYS: dict[str, tuple[str, ...]] = {WORKER: (), OWN: ("--in-process",)}
HEADS = ("models", "viewers", "pictures", "each viewer", "p50", "p95", "CPU", "event loop", "clients", "memory")
DIGITS = (1, 1, 0, 0, 2, 2, 2, 0)


@dataclass(frozen=True)
class Point:
    """One server, with so many viewers."""

    way: str
    watched: Watched
    memory_mb: float


def measure(
    words: Sequence[str], viewers: Sequence[int], rounds: int, asked: BenchOptions, progress: Progress
) -> list[Point]:
    """Return all points. Raises BenchError."""
    found = []
    for number in range(rounds):
        for way in WAYS if number % 2 == 0 else reversed(WAYS):
            progress(f"round {number + 1} of {rounds}: models {way}")
            with serving([*words, *WAYS[way], *room_for(viewers)], MAX_START_SECONDS) as server:
                for count in viewers:
                    watched = watch_once(server, count, asked)
                    found.append(Point(way, watched, machine.resident_mb(server.process_id) or 0.0))
    return found


def table(points: Sequence[Point]) -> str:
    """Return medians over the rounds: a row for each number of viewers and way, and one for how they compare."""
    rows: list[tuple[str, ...]] = [HEADS]
    for count in dict.fromkeys(point.watched.viewers for point in points):
        those = [point for point in points if point.watched.viewers == count]
        medians = [_medians([point for point in those if point.way == way]) for way in WAYS]
        ratios = [f"{ours / theirs:.2f}" if theirs else "-" for ours, theirs in zip(*medians, strict=True)]
        told = [[f"{value:.{digits}f}" for value, digits in zip(one, DIGITS, strict=True)] for one in medians]
        for name, row in zip((*WAYS, "ratio"), (*told, ratios), strict=True):
            rows.append((name, str(count), *row))
    return columns(rows)


def _medians(points: Sequence[Point]) -> list[float]:
    values = [
        (
            *(one.shown, one.delivered, one.heard_to_shown.p50, one.heard_to_shown.p95),
            *(one.server_cpu, one.loop_cpu, one.clients_cpu, memory),
        )
        for one, memory in ((point.watched, point.memory_mb) for point in points)
    ]
    return [median(column) for column in zip(*values, strict=True)]


def run(arguments: argparse.Namespace) -> None:
    """Measure and print the table. Raises ClaviluxError."""
    asked = options_from(arguments)
    points = measure(model_words(arguments), arguments.viewers, asked.rounds, asked, stopwatch())
    print(f"{table(points)}\n\npictures a second, ms, processor seconds a second, MB; ratio: worker over in process")


def main(words: list[str] | None = None) -> int:
    """Run the study; a mistake is one line, and exit code 2."""
    parser = Parser(prog="python -m clavilux.benchmarks.studies.worker", description=__doc__)
    add_model_options(parser)
    add = parser.add_argument
    add("--viewers", type=parse_viewers, default=(0, 64), metavar="N,...", help="who watch (0,64)")
    add("--rounds", type=parse_rounds, default=5, metavar="N", help="of both servers (5)")
    add("--seconds", type=parse_seconds, default=10.0, metavar="S", help="to measure each point for (10)")
    return ended("worker", lambda: run(parser.parse_args(words)))


if __name__ == "__main__":
    sys.exit(main())
