"""Fuzz: mutations are seeded, every reader is asked, and what is not declared is found."""

import asyncio
import importlib.util
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import IO, Any

import pytest

from clavilux.benchmarks.measurements.serving import Server
from clavilux.benchmarks.studies import fuzz, fuzz_decoders, fuzz_guided, fuzz_wire
from clavilux.benchmarks.studies.attacks import Footprint
from clavilux.benchmarks.studies.audience import Received, Tally
from clavilux.benchmarks.studies.fuzz_decoders import (
    Case,
    Decoder,
    Findings,
    connections,
    decoders,
    fault_of,
    tried,
)
from clavilux.benchmarks.studies.fuzz_inputs import CLIENT_MESSAGES, Shaker
from clavilux.benchmarks.studies.fuzz_wire import FAULTS, LIVES, Siege, beset, wire_frame
from clavilux.runtime.errors import DeviceError, ParameterError, ProtocolError
from tests.server.fakes import DEADLINE, FakeEngine, serving

ENOUGH = 130  # messages of a test
NAMES = [decoder.name for decoder in decoders(Path())]


def seeded(seed: int = 7) -> Random:
    return Random(seed)


def forget(_: str, __: Case) -> None:
    """Keep no input."""


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_every_reader_takes_the_inputs_that_mutations_begin_with(number: int, tmp_path: Path) -> None:
    decoder = decoders(tmp_path)[number]
    assert [list(decoder.take(case)) for case in decoder.corpus] == [["taken"]] * len(decoder.corpus)


def test_connections_take_the_messages_that_mutations_begin_with() -> None:
    with connections(FakeEngine()) as decoder:
        told = decoder.take(decoder.corpus[0])
    assert {*told} == {"taken", "not_performer", "bad_message"}  # of a viewer who starts three times, and plays


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_the_same_seed_gives_the_same_inputs_and_another_one_others(number: int, tmp_path: Path) -> None:
    make = decoders(tmp_path)[number].make
    first, again, other = (
        [make(shaker) for _ in range(20)] for shaker in map(Shaker, (seeded(1), seeded(1), seeded(2)))
    )
    assert first == again
    assert first != other


def test_mutations_reach_what_is_taken_and_most_of_what_is_refused(tmp_path: Path) -> None:
    found = tried(decoders(tmp_path)[0], 2000, seeded(), forget)
    assert {"taken", "bad_message", "bad_sound", "unknown_type", "too_large"} == set(found.declared)
    assert found.undeclared == {}


def test_connections_meet_every_state() -> None:
    with connections(FakeEngine()) as decoder:
        found = tried(decoder, 3000, seeded(), forget)
    assert {"not_started", "not_performer", "stage_taken", "unauthorized", "bad_sound", "taken"} <= set(found.declared)
    assert found.undeclared == {}


def test_an_error_of_the_engine_in_the_midst_of_a_session_is_found() -> None:
    def broken() -> None:
        raise RuntimeError("of the test")

    with connections(FakeEngine(on_hear=broken)) as decoder:
        found = tried(decoder, 2000, seeded(), forget)
    assert set(found.undeclared) == {"RuntimeError"}


def raising(error: Exception) -> Decoder:
    def take(_: Case) -> Sequence[str]:
        raise error

    return Decoder("broken", ("{}",), lambda shaker: "{}", take, (DeviceError,))


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (KeyError("x"), "KeyError"),
        (RecursionError(), "RecursionError"),
        (DeviceError("two\nlines"), "DeviceError that is not one line"),
        (DeviceError(""), "DeviceError that is not one line"),
        (DeviceError("x" * 501), "DeviceError of more than 500 characters"),
        (DeviceError("\ud800"), "DeviceError that is no text"),
    ],
)
def test_what_is_not_declared_is_found_and_its_input_kept(error: Exception, word: str) -> None:
    kept: list[tuple[str, Case]] = []
    found = tried(raising(error), 2, seeded(), lambda name, case: kept.append((name, case)))
    assert found.undeclared == {word: 2}
    assert kept == [(f"broken-{word}", "{}")] * 2


def test_a_good_line_is_none() -> None:
    found = tried(raising(DeviceError("no card é; expected one")), 3, seeded(), forget)
    assert (found.undeclared, found.declared) == ({}, {"DeviceError": 3})


def test_lines_are_judged_as_they_travel() -> None:
    """The server cuts them, and writes lone surrogates as JSON does."""
    assert fault_of(ProtocolError("bad_message", "x" * 900)) is None
    assert fault_of(ParameterError("two\nlines")) is None


def test_the_slowest_input_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(fuzz_decoders, "MAX_MS", 5000.0)
    monkeypatch.setattr(fuzz_decoders, "time", SimpleNamespace(thread_time=lambda: clock[0], perf_counter=float))

    def take(case: Case) -> Sequence[str]:
        clock[0] += 2.0 if case == "slow" else 1.0
        return ("taken",)

    cases = iter(["fast", "slow", "fast"])
    found = tried(Decoder("uneven", (), lambda _: next(cases), take), 3, seeded(), forget)
    assert found.slowest == "slow"
    assert found.slowest_ms == 2000.0
    assert found.undeclared == {}


def test_an_input_that_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_decoders, "MAX_MS", 200.0)
    times = iter([0.0, 0.5, 0.5, 0.75])
    monkeypatch.setattr(fuzz_decoders, "time", SimpleNamespace(thread_time=lambda: next(times), perf_counter=float))
    found = tried(Decoder("slow", (), lambda _: "{}", lambda _: ["taken"]), 1, seeded(), forget)
    assert found.slowest_ms == 250.0
    assert found.undeclared == {"more than a second": 1}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "open_engine", FakeEngine)


@pytest.mark.usefixtures("small")
def test_the_command_counts_and_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--only", "decoders", "--messages", str(ENOUGH), "--out", str(tmp_path)]
    assert fuzz.main(words) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [one["part"] for one in json.loads(last)] == [*NAMES, "connections"]
    assert sum(one["messages"] for one in json.loads(last)) >= ENOUGH
    assert lines[2].split()[0] == "parse_text"


@pytest.mark.usefixtures("small")
def test_the_command_ends_with_1_where_a_reader_raises_what_it_does_not_declare(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(line: str) -> None:
        raise KeyError(line)

    monkeypatch.setattr(fuzz_decoders, "parse_route", broken)
    words = ["--only", "decoders", "--messages", str(ENOUGH), "--out", str(tmp_path)]
    assert fuzz.main(words) == fuzz.EXIT_FOUND
    assert len(list(tmp_path.glob("route-KeyError-*"))) == fuzz.KEPT
    assert "KeyError" in capsys.readouterr().out


def test_inputs_are_kept_as_they_are(tmp_path: Path) -> None:
    keep = fuzz.kept_in(tmp_path)
    keep("a name/../of it", b"\xff")
    keep("b", "\ud800")
    assert {path.name[:-13]: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a-name----of-it": b"\xff",
        "b": b"'\\ud800'",
    }


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have hostile clients wait for no end that does not come at once."""
    monkeypatch.setattr(fuzz_wire, "PATIENCE", 1.0)


def besetting(engine: FakeEngine, part: str, messages: int) -> Siege:
    with serving(engine) as here:
        url = here.url.replace("http", "ws") + "ws"
        return asyncio.run(beset(url, LIVES[part], messages, DEADLINE, seeded()))


@pytest.mark.usefixtures("hurried")
def test_a_real_server_bears_hostile_frames() -> None:
    engine = FakeEngine()
    siege = besetting(engine, "socket", ENOUGH)
    assert siege.sent >= ENOUGH
    assert any(ending.startswith("closed") for ending in siege.endings)
    assert not set(FAULTS) & set(siege.endings)
    assert engine.heard


@pytest.mark.usefixtures("hurried")
def test_a_real_server_bears_hostile_requests() -> None:
    siege = besetting(FakeEngine(), "http", 60)
    assert siege.endings["HTTP 400"] > 0
    assert not set(FAULTS) & set(siege.endings)


@pytest.mark.usefixtures("hurried")
def test_a_fault_of_the_server_is_met() -> None:
    def broken() -> None:
        raise RuntimeError("of the test")

    assert besetting(FakeEngine(on_hear=broken), "socket", ENOUGH).endings["closed 1011"] > 0


def test_most_frames_are_right() -> None:
    frames = [wire_frame(Shaker(seeded(seed)), json.dumps(CLIENT_MESSAGES[0])) for seed in range(200)]
    right = [frame for frame in frames if frame[0] == 0x81 and frame[1] & 0x80 and _unmasked(frame)]
    assert 100 < len(right) < 200


def _unmasked(frame: bytes) -> bool:
    length = frame[1] & 0x7F
    start = 4 if length == 126 else 2
    body = bytes(byte ^ frame[start + k % 4] for k, byte in enumerate(frame[start + 4 :]))
    return body == json.dumps(CLIENT_MESSAGES[0]).encode()


@pytest.mark.parametrize(
    ("part", "said", "frames", "code"),
    [("socket", "", 90, 0), ("sounding", "Traceback (most recent call last):\n", 90, 1), ("http", "", 0, 1)],
)
@pytest.mark.usefixtures("small")
def test_a_part_on_a_wire_is_told_with_who_played_beside_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    part: str,
    said: str,
    frames: int,
    code: int,
) -> None:
    beside: list[tuple[str, ...]] = []

    @contextmanager
    def served(_: list[str], log: IO[str]) -> Iterator[Server]:
        log.write(said)
        yield Server("http://127.0.0.1:1/", os.getpid(), 0.1, 0.2)

    @contextmanager
    def taking_part(_: str, *words: str) -> Iterator[Callable[[], Tally]]:
        beside.append(words)
        yield lambda: Tally(1.0, 0.1, (Received(frames),))

    async def besieging(*_: object) -> Siege:
        return SimpleNamespace(sent=5, endings=Counter({"closed 1000": 2}))  # type: ignore[return-value]

    for name, fake in (("serving", served), ("taking_part", taking_part), ("beset", besieging), ("WATCHING", 0.0)):
        monkeypatch.setattr(fuzz, name, fake)
    monkeypatch.setattr(fuzz, "footprint", lambda _: Footprint(300.0, 12, 8))
    assert fuzz.main(["--only", part, "--out", str(tmp_path)]) == code
    out = capsys.readouterr().out
    assert f"{part}: {frames:.1f}, {frames:.1f}, {frames:.1f} pictures/s" in out
    assert "2 closed 1000" in out
    assert ("1 a traceback in the log" in out) is bool(said)
    assert beside == [*fuzz.BESIDE[part], fuzz.VIEWER]


def test_atheris_is_asked_for_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert fuzz.main(["--atheris", "--out", str(tmp_path)]) == 2
    assert fuzz_guided.main(["--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("atheris is not installed") == 2


@pytest.mark.parametrize(("code", "ended"), [(0, 0), (77, 1)])
def test_atheris_runs_in_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, ended: int
) -> None:
    monkeypatch.setattr(fuzz, "require", lambda names: None)
    monkeypatch.setattr(fuzz.subprocess, "run", lambda words, check: SimpleNamespace(returncode=code))
    assert fuzz.main(["--atheris", "--out", str(tmp_path)]) == ended


def test_a_guided_input_goes_to_the_reader_of_its_first_byte(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[list[str]] = []

    def fuzzing(words: list[str], one_input: Callable[[bytes], None]) -> None:
        given.append(words)
        for path in sorted((tmp_path / "corpus").iterdir()):
            one_input(path.read_bytes())
        one_input(b"")
        with pytest.raises(AssertionError, match="broken: KeyError"):
            one_input(bytes([len(NAMES)]))

    atheris: Any = SimpleNamespace(Setup=fuzzing, Fuzz=lambda: None)
    every = (*decoders(tmp_path), raising(KeyError("x")))
    begun = every[:-1]
    study = SimpleNamespace(decoders=lambda _: every, Findings=Findings, try_one=fuzz_decoders.try_one)
    monkeypatch.setattr(fuzz_guided, "counted", lambda: (atheris, study))
    monkeypatch.setattr(fuzz_guided, "begin", lambda corpus, _: BEGIN(corpus, begun))
    with pytest.raises(SystemExit) as ended:
        fuzz_guided.main(["--messages", "9", "--out", str(tmp_path)])
    assert ended.value.code == 0
    assert "-runs=9" in given[0]
    assert sys.argv[0] == given[0][0]


BEGIN = fuzz_guided.begin
