"""Faults on a stage that plays: what a viewer saw, summed up; and a real worker that is killed."""

import asyncio
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.studies import faults
from clavilux.benchmarks.studies.faults import (
    GLIDE,
    MEMORY_LEFT,
    Outcome,
    Seen,
    Venue,
    Viewer,
    half_open,
    outcome,
    starve,
    suffer,
    table,
)


def viewer(*seen: Seen, glide: float = GLIDE) -> Viewer:
    return Viewer("ws://nowhere", list(seen), {"glide": glide})


def pictures(*times: float, first: int = 0) -> list[Seen]:
    return [Seen(at, first + number) for number, at in enumerate(times)]


def test_the_longest_time_without_a_picture_is_told_and_when_it_ended() -> None:
    seen = [*pictures(0.9, 1.0, 1.1, 3.6, 3.7), Seen(2.0, told="restarting"), Seen(3.6, told="playing")]
    found = outcome("a fault", viewer(*seen), began=1.05)
    assert (found.back, found.gap) == pytest.approx((2.55, 2.5))
    assert found.told == ("restarting", "playing")
    assert found.goes_on
    assert found.kept


def test_a_server_that_begins_anew_is_told() -> None:
    seen = [*pictures(0.9, 1.0, first=50), Seen(1.2, told="closed 1012"), *pictures(4.0, 4.1)]
    found = outcome("a fault", viewer(*seen, glide=0.35), began=1.1)
    assert (found.told, found.goes_on, found.kept) == (("closed 1012",), False, False)


def test_no_picture_afterwards_is_an_error() -> None:
    with pytest.raises(BenchError, match="2 pictures before, 0 after"):
        outcome("a fault", viewer(*pictures(0.9, 1.0)), began=1.1)


def test_the_table_has_a_row_for_each() -> None:
    found = [Outcome("worker killed", 1.04, 1.14, ("restarting", "playing"), goes_on=True, kept=True)]
    found.append(Outcome("server stopped", 5.0, 5.0, (), goes_on=True, kept=False))
    rows = table(found).splitlines()
    assert rows[2].split("  ")[0] == "worker killed"
    assert rows[2].split() == ["worker", "killed", "1.0", "1.1", "yes", "yes", "restarting,", "playing"]
    assert rows[3].split()[2:] == ["5.0", "5.0", "yes", "no", "nothing"]


def test_the_network_of_the_machine_itself_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo"), (2, "eth0")])
    with pytest.raises(BenchError, match="unshare -rn"):
        asyncio.run(Venue([]).network())


def test_a_process_without_memory_is_put_where_there_is_none_until_it_has_gone(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    starve(gone.pid, {tmp_path / "nowhere": "first", tmp_path: "second"})
    group = tmp_path / f"clavilux-{gone.pid}"
    assert (group / "second").read_text() == str(MEMORY_LEFT)
    assert (group / "cgroup.procs").read_text() == str(gone.pid)


def test_without_the_rights_to_take_memory_away_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"cannot hold a process .*; expected Linux, and the rights of root"):
        starve(1, {tmp_path: "nowhere/limit"})
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_is_killed_is_back_with_the_parameters_that_held_and_a_broken_performer_has_his_place_again(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "QUIET", 0.4)
    with closing(Venue(["--bundle", str(tiny_bundle), "--threads", "1"])) as venue:
        venue.start()
        found = asyncio.run(suffer(venue, "killed"))
        assert 0 <= asyncio.run(half_open(venue.url, own=True)) < faults.PATIENCE
    assert found.goes_on
    assert found.kept
    assert found.gap > 0
