"""Attacks: each is met by a real server on this machine, and what it did is told."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.serving import Server
from clavilux.benchmarks.studies import attacks
from clavilux.benchmarks.studies.attackers import ATTACKS, PRIMES, attacked
from clavilux.benchmarks.studies.attacks import Footprint, Outcome, Play, Watch, footprint, played, table
from clavilux.benchmarks.studies.audience import Received, Tally
from clavilux.server.settings import Settings
from tests.server.fakes import FakeEngine, serving

SECONDS = 0.4
HERE = Server("http://127.0.0.1:1/", os.getpid(), 0.1, 0.2)


def process(folder: Path, number: int, parent: int, *, memory: int = 1000) -> None:
    """Write a process as Linux tells it: two descriptors, one thread."""
    own = folder / str(number)
    (own / "task" / str(number)).mkdir(parents=True)
    (own / "stat").write_text(f"{number} (a) S {parent} 0")
    (own / "status").write_text(f"VmHWM: 9 kB\nVmRSS: {memory} kB\n")
    for descriptor in range(2):
        (own / "fd" / str(descriptor)).mkdir(parents=True)


def test_all_processes_of_a_server_count(tmp_path: Path) -> None:
    process(tmp_path, 1, parent=0)
    process(tmp_path, 2, parent=1, memory=2000)
    process(tmp_path, 4, parent=2)
    process(tmp_path, 5, parent=9)
    assert footprint(1, tmp_path) == Footprint(pytest.approx(4.0, rel=0.05), 6, 3)


def test_the_most_of_each_is_kept() -> None:
    assert Footprint(1.0, 20, 3).most(Footprint(2.0, 10, 4)) == Footprint(2.0, 20, 4)


def test_a_watch_sees_what_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = threading.Event()
    found = iter([Footprint(1.0, 1, 1), Footprint(5.0, 9, 2)])

    def look(_: int) -> Footprint:
        footprint = next(found, None)
        if footprint is None:
            seen.set()
        return footprint or Footprint(2.0, 2, 1)

    monkeypatch.setattr(attacks, "footprint", look)
    monkeypatch.setattr(attacks, "LOOKING", 0.001)
    with Watch(os.getpid()) as watch:
        assert seen.wait(20)
    assert watch.most == Footprint(5.0, 9, 2)


def test_a_client_that_is_gone_plays_nothing() -> None:
    def gone() -> Tally:
        raise BenchError("the server said goodbye")

    assert played(gone, HERE, 0.0) == Play(0.0, None)


def test_a_stage_plays_so_often_so_late_and_takes_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([1.0, 1.5, 2.0, 2.0])
    monkeypatch.setattr(attacks.machine, "cpu_seconds", lambda _process, *, main_thread: next(taken))
    assert played(lambda: Tally(2.0, 0.1, (Received(40),), (0.05, 0.06, 0.09)), HERE, 0.0) == Play(20.0, 60.0, 0.25)
    assert played(lambda: Tally(2.0, 0.1, (Received(40),)), HERE, 0.0) == Play(20.0, None, 0.0)


def test_the_table_tells_each_before_during_and_after() -> None:
    plays = (Play(18.0, 60.0, 0.1), Play(2.5, None, 0.95), Play(17.9, 61.2, 0.1))
    prints = (Footprint(287.0, 12, 8), Footprint(518.2, 40, 9), Footprint(290.4, 12, 8))
    (line,) = table([Outcome("pings", plays, prints, {"reset": 2, "closed 1008": 1}, 0.5)]).splitlines()[2:]
    assert " ".join(line.split()) == (
        "pings 18.0 2.5 17.9 60 - 61 0.10 0.95 0.10 0.50 287 518 290 12 40 12 8 9 8 1 closed 1008, 2 reset"
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(FakeEngine(), Settings(port=0, token="secret-enough-for-this")) as here:
        yield here.url.replace("http", "ws") + "ws"


@pytest.mark.parametrize(
    ("name", "ending"),
    [("bad text", "closed 1007"), ("guesses", "closed 1008"), ("pings", "open"), ("silent connections", "open")],
)
def test_strangers_meet_what_the_protocol_says(url: str, name: str, ending: str) -> None:
    assert asyncio.run(attacked(ATTACKS[name], url, SECONDS))[ending] > 0


@pytest.mark.parametrize("name", ["single samples", "long packets", "prime rates"])
def test_who_plays_badly_reaches_the_engine(name: str) -> None:
    engine = FakeEngine()
    with serving(engine) as here:
        asyncio.run(attacked(ATTACKS[name], here.url.replace("http", "ws") + "ws", SECONDS))
    assert engine.heard


def test_rates_that_nobody_uses_are_primes() -> None:
    assert len(PRIMES) > 100
    assert all(rate % k for rate in PRIMES for k in range(2, 440))


@contextmanager
def performing(*_: str) -> Iterator[Callable[[], Tally]]:
    yield lambda: Tally(1.0, 0.1, (Received(18),), (0.06,))


def test_the_study_prints_a_table_and_a_line_of_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens: list[str | None] = []

    @contextmanager
    def served(words: list[str]) -> Iterator[Server]:
        assert words[-2:] == ["--set", "frame_rate=6"]
        tokens.append(os.environ.get(attacks.TOKEN_VARIABLE))
        yield HERE

    @contextmanager
    def attacking(*_: object) -> Iterator[Callable[[], dict[str, Any]]]:
        yield lambda: {"met": {"closed 1008": 3}, "processors": 0.5}

    monkeypatch.setattr(attacks, "serving", served)
    monkeypatch.setattr(attacks, "taking_part", performing)
    monkeypatch.setattr(attacks, "attacking", attacking)
    monkeypatch.setattr(attacks, "SETTLING", 0.0)
    monkeypatch.setattr(attacks, "footprint", lambda _: Footprint(300.0, 12, 8))
    words = ["--seconds", "0.001", "--only", "guesses,single samples", "--set", "frame_rate=6"]
    assert attacks.main(words) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [one["met"] for one in json.loads(last)] == [{"closed 1008": 3}] * 2
    assert [line.split()[0] for line in lines[2:]] == ["guesses", "single"]
    assert tokens == [attacks.TOKEN, None]


def test_an_attack_that_nobody_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert attacks.main(["--only", "bribes"]) == 2
    assert "'bribes'; expected some of pings, fragments" in capsys.readouterr().err
