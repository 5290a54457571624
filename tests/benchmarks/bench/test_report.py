"""A report for people, for programs, and as pictures."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from clavilux.benchmarks.bench.plots import draw_all
from clavilux.benchmarks.bench.report import BenchReport, columns
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.alternate import Ratio
from clavilux.benchmarks.measurements.ceiling import Ceiling, reached
from clavilux.benchmarks.measurements.in_process import WORK, Setting, StageTimes
from clavilux.benchmarks.measurements.machine import Machine
from clavilux.benchmarks.measurements.operations import Work
from clavilux.benchmarks.measurements.percentiles import Summary, WarmUp
from clavilux.benchmarks.measurements.rhythm import Pacing
from clavilux.benchmarks.measurements.startup import StartUp
from clavilux.benchmarks.measurements.through_the_socket import WATERFALL, Shown
from clavilux.benchmarks.peers.compare import Compared, Comparison
from clavilux.benchmarks.peers.process import Loaded

WARMED = WarmUp(12, 1.0, stable=True)
TIMES = Summary(100, 10.0, 14.0, 20.0, 11.0)
FAST, SLOW = Setting(64, 64, 1), Setting(128, 128, 4)


def compared(peer: str, value: float, psnr: float = 70.0, setting: Setting = FAST) -> Compared:
    ratio = Ratio(value, value - 0.2, value + 0.3)
    stages = dict.fromkeys(("features", "encode", "denoise", "decode"), ratio)
    times = dict.fromkeys(stages, 10.0)
    return Compared(setting, peer, TIMES, TIMES, ratio, ratio, stages, times, times, psnr, 0.5, WARMED)


def report(**changes: object) -> BenchReport:
    """Return a report with everything in it."""
    ceiling = Ceiling(100.0, 10.0, "float32")
    whole = BenchReport(
        machine=Machine("A processor", 2, 8.0, (), "Linux", "3.11", {"onnxruntime": "1.32"}, 0.1),
        bundle="tiny",
        provider="CPUExecutionProvider",
        threads=0,
        stages=tuple(StageTimes(one, dict.fromkeys(WORK, TIMES), TIMES, 22.5, WARMED) for one in (FAST, SLOW)),
        ceiling=ceiling,
        reached=(reached("decode", Work(1.0, 1.0, 0), 20.0, ceiling),),
        start_up=StartUp(3, 0.5, 0.7, 226.0),
        socket=Shown(
            TIMES, TIMES, dict.fromkeys(WATERFALL, 9.0), Pacing(29.0, TIMES, 4.0, 0.01), 2, 255.0, 256.0, None, {}, 5.0
        ),
        browser={"frame_rate": 16.0, "p50": 199.0, "p95": 297.0},
        comparison=Comparison(
            (compared("PyTorch eager", 2.5), compared("Other", 1.5, psnr=20.0)),
            {"PyTorch eager": Loaded(4.0, 400.0, {"torch": "2"}, ("a note",))},
            {"Clavilux": 250.0, "PyTorch eager": 500.0, "Other": None},
            {"optimum, ONNX Runtime": "no environment of its own"},
        ),
    )
    return replace(whole, **changes)


@pytest.mark.parametrize(
    "line",
    [
        "A processor, 2 cores, 8 GB; no NVIDIA card",
        "first picture after 0.70 s; it holds 226 MB then",
        "128x128, 4 steps",
        "100 Gop/s of float32 products, 10.0 GB/s",
        "50%",
        "p95 is within the budget of 200 ms",
        "jitter 4.00 ms, 1.0% late, 2 skipped",
        "energy: the machine does not tell",
        "In Chromium, heard to shown: 199 ms p50, 297 ms p95",
        "2.50 (2.30-2.80)",
        "20 DIFFERENT",
        "torch 2; loads in 4.0 s; a note",
        "optimum, ONNX Runtime is left out: no environment of its own",
    ],
)
def test_people_read(line: str):
    assert line in report().table()


def test_a_busy_machine_is_told_loudly():
    busy = replace(report().machine, load=5.0)
    assert "*** THIS MACHINE IS BUSY" in report(machine=busy).table()


def test_a_budget_that_is_missed_is_told():
    socket = report().socket
    assert socket
    assert "OVER the budget" in report(socket=replace(socket, heard_to_shown=replace(TIMES, p95=300.0))).table()


def test_energy_is_told_per_picture():
    socket = report().socket
    assert socket
    told = report(socket=replace(socket, energy_j={"package-0": 145.0})).table()
    assert "energy: package-0 29.0 W, 1.000 J per picture" in told


def test_times_that_did_not_settle_are_told():
    moving = replace(report().stages[0], warm_up=replace(WARMED, stable=False))
    assert "still moved after the warm-up: 64x64, 1 step" in report(stages=(moving,)).table()


def test_what_was_not_asked_for_is_not_there():
    told = report(ceiling=None, reached=(), start_up=None, socket=None, browser=None, comparison=None).table()
    assert not any(word in told for word in ("Ceiling", "Start-up", "socket", "Chromium", "Against"))


def test_programs_read_json(tmp_path: Path):
    report().write(tmp_path / "report.json")
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["format"] == 1
    assert found["reached"][0]["fraction"] == 0.5
    assert found["budgets"]["heard_to_shown_ms"] == 200.0
    assert found["machine"]["versions"] == {"onnxruntime": "1.32"}
    assert found["comparison"]["compared"][0]["ratio"] == {"value": 2.5, "low": 2.3, "high": 2.8}


def test_columns_stand_under_their_heads():
    assert columns([("a", "bb"), ("ccc", "d")]).splitlines() == ["a    bb", "-------", "ccc   d"]


def test_every_part_has_a_picture(tmp_path: Path):
    names = draw_all(report(), tmp_path)
    assert names == ("waterfall.png", "comparison.png", "cost.png", "ceiling.png")
    for name in names:
        with Image.open(tmp_path / name) as picture:
            assert picture.width == 1280


def test_several_settings_share_a_picture(tmp_path: Path):
    found = report().comparison
    assert found
    several = (compared("PyTorch eager", 2.5), compared("PyTorch eager", 2.0, setting=SLOW))
    assert "comparison.png" in draw_all(report(comparison=replace(found, compared=several)), tmp_path)


def test_no_picture_of_what_was_not_measured(tmp_path: Path):
    assert draw_all(report(ceiling=None, reached=(), socket=None, comparison=None), tmp_path) == ("cost.png",)


def test_pictures_without_matplotlib_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BenchError, match="matplotlib is not installed"):
        draw_all(report(), tmp_path)
