"""Endurance: slopes of what a server holds, and a short life with a real server, its audience and a kill."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from clavilux.benchmarks.studies import endurance
from clavilux.benchmarks.studies.endurance import Look, endure, line, slope, slopes
from clavilux.benchmarks.studies.faults import Venue


def test_a_slope_is_that_of_the_line_through_the_points() -> None:
    assert slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) == pytest.approx(2.0)
    assert slope([(0.0, 1.0), (1.0, 3.0)]) == 0.0


def test_memory_that_settles_at_first_is_no_growth_and_each_worker_counts_from_its_own_beginning() -> None:
    looks = [
        Look(
            hour=k / 10,
            worker=k // 20,
            server_mb=40.0 + min(k, 2),
            worker_mb=60.0 + 5 * (k // 20),
            descriptors=37,
            threads=7,
        )
        for k in range(40)
    ]
    found = slopes(looks)
    assert found == pytest.approx({"server_mb": 0.0, "worker_mb": 0.0, "descriptors": 0.0, "threads": 0.0}, abs=0.02)


def test_what_grows_is_told_by_the_hour() -> None:
    looks = [Look(k / 10, 0, 40.0 + k, 60.0 + 2 * k, 37 + k, 7) for k in range(20)]
    assert slopes(looks) == pytest.approx({"server_mb": 10.0, "worker_mb": 20.0, "descriptors": 10.0, "threads": 0.0})


def test_a_short_life_with_an_audience_and_a_kill(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"VIEWERS": 2, "STAY": (0.1, 0.3), "KILLS": 1000.0, "LOOKS": 2000.0}.items():
        monkeypatch.setattr(endurance, name, value)
    words = ["--bundle", str(tiny_bundle), "--threads", "1", "--set", "frame_rate=120"]
    with closing(Venue(words)) as venue:
        venue.start()
        looks = asyncio.run(endure(venue, hours=0.0015, seed=0))
    assert looks[-1].worker == 1
    assert "MB, worker 1 " in line(looks[-1])
    assert min(looks[-1].server_mb, looks[-1].worker_mb, looks[-1].descriptors, looks[-1].threads) > 0
