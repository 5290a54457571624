"""Which levers pay: the sums behind the verdicts, and whole runs on real graphs and a real engine."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.alternate import Ratio
from clavilux.benchmarks.measurements.energy import Counter
from clavilux.benchmarks.peers import weights
from clavilux.benchmarks.studies import levers, skipping
from clavilux.benchmarks.studies.levers import (
    DECODE,
    DENOISE,
    SKIP,
    STREAM,
    TOGETHER,
    Calls,
    Gain,
    gains,
    main,
    savings,
    summed_up,
)
from clavilux.benchmarks.studies.skipping import DEFEATED, PLAYING, SKIPPING, STATES, UNWATCHED, Player, Spent, middle
from clavilux.runtime.loading import open_engine
from clavilux.runtime.playing.engine import Engine

ROUNDS = 3


def calls(denoise: dict[int, float], decode: dict[int, float]) -> Calls:
    """Return calls that take so many seconds in each round."""
    parts = {DENOISE: denoise, DECODE: decode}
    return {
        part: {batch: np.full(ROUNDS, seconds) for batch, seconds in times.items()} for part, times in parts.items()
    }


FREE = calls({1: 0.02, 2: 0.02, 4: 0.02}, {1: 0.01, 2: 0.01, 4: 0.01})
"""A device on which more rows cost nothing."""

DEAR = calls({1: 0.02, 2: 0.04, 4: 0.08}, {1: 0.01, 2: 0.02, 4: 0.04})
"""One on which each row costs as much as the first."""


def test_where_rows_cost_nothing_stream_batch_saves_all_steps_but_one_and_nothing_of_the_decoder():
    stream, _ = gains(FREE)
    assert (stream.lever, stream.batch, stream.pays) == (STREAM, 4, True)
    assert stream.faster.value == pytest.approx((4 * 0.02 + 0.01) / (0.02 + 0.01))
    assert stream.later_ms == pytest.approx(4 * 30 - 90)  # four calls with their decoders, instead of one picture


def test_where_rows_cost_nothing_pictures_made_together_are_free():
    _, together = gains(FREE)
    assert (together.lever, together.batch, together.pays) == (TOGETHER, 4, True)
    assert (together.faster.value, together.later_ms) == (pytest.approx(4.0), 0.0)


def test_where_each_row_costs_as_much_nothing_pays():
    assert [(gain.pays, gain.faster.value) for gain in gains(DEAR)] == [(False, 1.0), (False, 1.0)]
    assert gains(DEAR)[1].later_ms == pytest.approx(30.0)


def test_a_smaller_batch_in_time_is_better_than_a_larger_one_too_late():
    slow = calls({1: 1.0, 2: 1.1, 4: 1.3}, {1: 0.001, 2: 0.002, 4: 0.003})
    assert (gains(slow)[1].batch, gains(slow)[1].pays) == (2, True)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (
            Gain(STREAM, Ratio(1.3, 1.2, 1.4), 4, 20.4),
            "stream batch: helps here, 1.30 (1.20-1.40) times as much at batch",
        ),
        (Gain(STREAM, Ratio(1.3, 0.9, 1.7), 4, 20.4), "stream batch: does not pay here"),  # may be chance
        (Gain(STREAM, Ratio(1.05, 1.04, 1.06), 4, 20.4), "stream batch: does not pay here"),
        (
            Gain(STREAM, Ratio(1.3, 1.2, 1.4), 4, 250.0),
            "does not pay here, 1.30 (1.20-1.40) times as much at batch 4, and",
        ),
        (Gain(SKIP, Ratio(20, 19, 21)), "skipping what is the same: helps here, 20.00 (19.00-21.00) times as much"),
    ],
)
def test_a_verdict_tells_the_figure_and_its_price(gain: Gain, said: str):
    assert said in str(gain)
    assert ("ms later" in str(gain)) is (gain.batch > 1)


def test_the_table_compares_pictures_not_calls():
    rows = {(one.part, one.batch): one for one in summed_up(DEAR)}
    assert (rows[DENOISE, 4].call_ms, rows[DENOISE, 4].faster.value) == (80.0, 1.0)
    assert {one.faster.value for one in summed_up(FREE) if one.batch == 2} == {2.0}


def spent(processor: float, watts: float | None = None) -> Spent:
    return Spent(processor, 30.0, 30.0, watts)


def test_what_is_saved_is_told_of_processor_time():
    taken = {PLAYING: [spent(0.8)], UNWATCHED: [spent(0.1)], DEFEATED: [spent(0.6)], SKIPPING: [spent(0.02)]}
    skip, alone = savings(taken)
    assert (skip.faster.value, skip.pays) == (pytest.approx(30.0), True)
    assert (alone.faster.value, alone.pays) == (pytest.approx(8.0), True)


def test_the_middle_of_the_rounds_is_told_and_energy_only_where_it_was():
    assert middle({PLAYING: [spent(0.1), spent(0.3, 9.0), spent(0.2, 7.0)]}) == {PLAYING: spent(0.2, 8.0)}
    assert middle({PLAYING: [spent(0.1)]})[PLAYING].watts is None


@pytest.fixture
def engine(tiny_bundle: Path) -> Iterator[Engine]:
    with open_engine(tiny_bundle, threads=1) as running:
        yield running


def test_in_silence_nothing_is_painted_unless_noise_walks(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    joules = iter(range(100))
    monkeypatch.setattr(skipping, "read_counters", lambda: {"package": Counter(float(next(joules)))})
    monkeypatch.setattr(skipping, "SETTLED_SECONDS", 0.5)
    player = Player(engine, seconds=0.2)
    found = {name: player.play(STATES[name]) for name in (PLAYING, SKIPPING, DEFEATED)}
    assert found[SKIPPING].painted == 0
    assert all(found[name].painted == found[name].frames for name in (PLAYING, DEFEATED))
    assert all(one.watts is not None and one.watts > 0 for one in found.values())


def test_an_engine_that_has_stopped_is_named(tiny_bundle: Path):
    stopped = open_engine(tiny_bundle, threads=1)
    stopped.failure = RuntimeError("out of paint")
    with pytest.raises(BenchError, match="the engine has stopped: out of paint"):
        Player(stopped, 0.1).play(STATES[PLAYING])


def test_an_engine_that_never_settles_is_named(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(skipping, "PATIENCE", 0.01)
    with pytest.raises(BenchError, match="does not keep up"):
        Player(open_engine(tiny_bundle, threads=1), 0.1).play(STATES[PLAYING])


def test_a_whole_run_prints_a_table_and_writes_json(
    flexible_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(skipping, "SETTLED_SECONDS", 0.1)
    words = ["--bundle", str(flexible_bundle), "--threads", "1", "--rounds", "1", "--seconds", "0.05"]
    assert main([*words, "--out", str(tmp_path / "new")]) == 0
    told = capsys.readouterr().out
    assert "stream batch: " in told
    assert "skipping what is the same: " in told
    report = json.loads((tmp_path / "new" / "levers.json").read_text())
    assert [(row["part"], row["batch"]) for row in report["rows"]] == [
        (part, batch) for part in (DENOISE, DECODE) for batch in (1, 2, 4)
    ]
    assert set(report["states"]) == set(STATES)
    assert [set(gain) for gain in report["gains"]] == [{"lever", "faster", "batch", "later_ms", "pays"}] * 4


def test_energy_is_in_the_table_where_it_is_told():
    host = replace(levers.machine.describe(), load=None)
    states = dict.fromkeys(STATES, spent(0.5, 12.34))
    found = levers.Levers(host, "mine", "here", 0, summed_up(FREE), states, gains(FREE))
    assert "12.3" in found.table()
    assert "Energy is that of whole packages" in found.table()
    assert "BUSY" not in found.table()
    assert "BUSY" in replace(found, machine=replace(host, load=99.0)).table()


def test_a_bundle_of_one_picture_at_a_time_is_named(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["--bundle", str(tiny_bundle), "--out", str(tmp_path)]) == levers.EXIT_USAGE
    error = capsys.readouterr().err
    assert "takes 1 picture at a time, expected more; export it with --batch 8" in error


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--seconds", "0"], ["--seconds", "nan"], ["--threads", "x"]])
def test_numbers_that_measure_nothing_are_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([*words, "--out", str(tmp_path)]) == levers.EXIT_USAGE
    assert "expected" in capsys.readouterr().err


def test_without_a_bundle_an_architecture_is_exported_for_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wanted: list[tuple[object, ...]] = []

    def refuse(*found: object) -> None:
        wanted.append(found[:2])
        raise BenchError("enough")

    monkeypatch.setattr(levers, "make", refuse)
    assert main(["--out", str(tmp_path)]) == levers.EXIT_USAGE
    assert wanted == [("lumia", weights.Wanted(batch=8))]
