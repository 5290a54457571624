"""Ratios to a fixed operation, and the gate that they must pass."""

import json
from pathlib import Path

import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements import machine
from clavilux.benchmarks.measurements.alternate import Ratio
from clavilux.benchmarks.studies import micro
from clavilux.benchmarks.studies.micro import Baseline, measure, read_baseline, repeats, slower, warnings


class Clock:
    """Moves only by the work that is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> micro.Operation:
        def run() -> None:
            self.now += seconds

        return run


def test_ratios_are_those_of_the_work():
    clock = Clock()
    found = measure({"decode": clock.work(0.4), "pack": clock.work(1e-6)}, clock.work(0.1), 3, clock)
    assert found["decode"].value == pytest.approx(4.0)
    assert found["pack"].value == pytest.approx(1e-5)


def test_short_operations_are_repeated_until_they_can_be_timed():
    clock = Clock()
    assert repeats(clock.work(0.0005), clock) == 4
    assert repeats(clock.work(1.0), clock) == 1


@pytest.mark.parametrize(
    ("now", "fails"),
    [
        (Ratio(1.1, 1.05, 1.2), False),  # grown, but less than is allowed
        (Ratio(1.3, 1.2, 1.4), True),
        (Ratio(1.3, 0.9, 1.7), False),  # may be chance
        (Ratio(0.5, 0.4, 0.6), False),
    ],
)
def test_the_gate_fails_where_a_stage_is_surely_slower(now: Ratio, fails: bool):
    assert bool(slower({"decode": now}, {"decode": 1.0})) is fails


def test_a_stage_without_a_baseline_is_named():
    with pytest.raises(BenchError, match="encode: not in both"):
        slower({"encode": Ratio(1, 1, 1)}, {})


@pytest.mark.parametrize(
    "text", ["", "[]", '{"ratios": {}}', '{"processor": "x", "bundle": "y", "ratios": {"a": "b"}}']
)
def test_what_is_no_baseline_is_one_line(tmp_path: Path, text: str):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(BenchError, match=r"b\.json is no baseline"):
        read_baseline(tmp_path / "b.json")


def test_a_baseline_of_zero_guards_nothing(tmp_path: Path):
    (tmp_path / "b.json").write_text('{"processor": "x", "bundle": "y", "ratios": {"a": 0}}')
    with pytest.raises(BenchError, match="not above 0"):
        read_baseline(tmp_path / "b.json")


def test_another_processor_is_a_warning_and_another_bundle_a_mistake():
    host = machine.describe()
    baseline = Baseline("another one", "lumia", {})
    assert any("another processor" in line for line in warnings(host, "lumia", baseline))
    with pytest.raises(BenchError, match="the baseline is of bundle lumia, not of mine"):
        warnings(host, "mine", baseline)


def test_the_gate_is_written_kept_and_missed(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "baseline.json"
    words = [str(tiny_bundle), "--threads", "1", "--rounds", "2"]
    assert micro.main([*words, "--write", str(path)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(told["ratios"]) == {
        "resample", "features", "encode", "denoise", "decode", "condition", "compress", "pack",
    }  # fmt: skip
    kept = json.loads(path.read_text())
    kept["ratios"] = dict.fromkeys(kept["ratios"], 1e-9)
    path.write_text(json.dumps(kept))
    assert micro.main([*words, "--gate", str(path)]) == micro.EXIT_SLOWER
    assert "decode: " in capsys.readouterr().err
