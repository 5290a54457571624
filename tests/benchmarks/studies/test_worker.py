"""The models in a worker against the server's own process: medians by way and viewers, both servers by turns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from clavilux.benchmarks.bench.options import BenchOptions
from clavilux.benchmarks.measurements.percentiles import Summary
from clavilux.benchmarks.measurements.serving import Server
from clavilux.benchmarks.studies import worker
from clavilux.benchmarks.studies.scale_report import Watched
from clavilux.benchmarks.studies.worker import OWN, WORKER, Point, measure, table

TIMES = Summary(100, 100.0, 140.0, 200.0, 110.0)
SHOWN = Watched(0, 20.0, 19.0, 20.0, TIMES, 0.01, 80_000.0, 4000.0, 1.5, 0.05, 0.05, 0.01)


def test_the_table_tells_medians_and_the_worker_over_the_other() -> None:
    points = [Point(way, SHOWN, memory) for way, memory in ((WORKER, 300.0), (OWN, 200.0), (WORKER, 500.0))]
    points.append(Point(WORKER, replace(SHOWN, shown=10.0, delivered=10.0), 300.0))
    rows = [line.split() for line in table(points).splitlines()[2:]]
    assert rows == [
        ["worker", "0", "20.0", "20.0", "100", "140", "1.50", "0.05", "0.01", "300"],
        ["in", "process", "0", "20.0", "20.0", "100", "140", "1.50", "0.05", "0.01", "200"],
        ["ratio", "0", "1.00", "1.00", "1.00", "1.00", "1.00", "1.00", "1.00", "1.50"],
    ]


def test_both_servers_play_by_turns_for_every_number_of_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, ...]] = []

    @contextmanager
    def serving(words: Sequence[str], _patience: float) -> Iterator[Server]:
        started.append(tuple(words))
        yield Server("http://127.0.0.1:1/", 1, 0.0, 0.0)

    monkeypatch.setattr(worker, "serving", serving)
    monkeypatch.setattr(worker, "watch_once", lambda _server, count, _asked: replace(SHOWN, viewers=count))
    points = measure(["--threads", "1"], (0, 4), 2, BenchOptions(), lambda _line: None)
    own = ("--threads", "1", "--in-process")
    assert started == [("--threads", "1"), own, own, ("--threads", "1")]
    assert [(point.way, point.watched.viewers) for point in points[:4]] == [
        (WORKER, 0),
        (WORKER, 4),
        (OWN, 0),
        (OWN, 4),
    ]
