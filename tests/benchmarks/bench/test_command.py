"""`clavilux bench` as its users meet it."""

import importlib.util
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from clavilux import command
from clavilux.benchmarks.bench import run as bench_run
from clavilux.benchmarks.bench.options import BenchOptions
from clavilux.benchmarks.bench.run import serve_words, settings_for
from clavilux.benchmarks.command_line import require
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.ceiling import Ceiling
from clavilux.benchmarks.measurements.in_process import WORK, Setting, summed_up
from clavilux.benchmarks.measurements.percentiles import WarmUp
from clavilux.benchmarks.peers.wanted import ARCHITECTURES
from clavilux.runtime.bundle.bundle import Bundle


def run(*words: str | Path) -> tuple[int, str, str]:
    """Run `clavilux bench` in this process; return its code, its output, and what it told on standard error."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = command.main(["bench", *map(str, words)])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything be measured for a moment only."""
    monkeypatch.setattr("clavilux.benchmarks.measurements.ceiling.SIDES", (16,))
    monkeypatch.setattr("clavilux.benchmarks.measurements.ceiling.COPIED", 1024)
    monkeypatch.setattr("clavilux.benchmarks.measurements.through_the_socket.WARM_UP", 0.0)
    monkeypatch.setattr("clavilux.benchmarks.measurements.startup.measure.__defaults__", (1,))


def test_a_bundle_is_measured_told_written_and_drawn(tiny_bundle: Path, tmp_path: Path):
    out = tmp_path / "results"
    code, told, progress = run(
        "--bundle", tiny_bundle, "--threads", 1, "--seconds", 0.1, "--steps", "1,2", "--out", out
    )
    assert code == 0
    assert all(line in told for line in ("Start-up", "64x64, 2 steps", "Ceiling", "heard to shown, every picture"))
    assert told.rstrip().endswith("report.json, waterfall.png, cost.png, ceiling.png")
    assert "through the socket" in progress
    found = json.loads((out / "report.json").read_text())
    assert [one["setting"]["steps"] for one in found["stages"]] == [1, 2]
    assert all((out / name).is_file() for name in found["files"])


def test_another_size_than_the_one_that_a_bundle_paints_is_one_line(tiny_bundle: Path, tmp_path: Path):
    code, _, told = run("--bundle", tiny_bundle, "--sizes", "128", "--out", tmp_path)
    assert (code, "bundle tiny paints 64x64 alone" in told.splitlines()[-1]) == (2, True)


def test_json_alone_is_printed_when_it_is_asked_for(tiny_bundle: Path, tmp_path: Path):
    words = ("--without", "startup,ceiling,socket", "--no-plots", "--json", "--steps", "1", "--seconds", 0.01)
    _, told, _ = run("--bundle", tiny_bundle, *words, "--out", tmp_path)
    found = json.loads(told)
    assert (found["bundle"], found["socket"], found["ceiling"], found["start_up"]) == ("tiny", None, None, None)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--sizes", "big"), "'big' is no size"),
        (("--steps", "0"), "'0' are no steps"),
        (("--seconds", "0"), "expected seconds"),
        (("--seconds", "nan"), "expected seconds"),
        (("--rounds", "0"), "expected a whole number"),
        (("--compare", "keras"), "'keras'; expected some of torch"),
        (("--without", "sleep"), "'sleep'; expected some of startup"),
        (("--peer-python", "optimum"), "expected PEER=PATH"),
        (("--architecture", "tiny", "--checkpoints", "x"), "are both given"),
        (("--bundle", "x", "--compare", "torch"), "--bundle alone holds no weights for peers"),
        (("--checkpoints", "none"), "hold no encoder/"),
        (("--sizes", "999"), "height is 999; expected a multiple of 64"),
        (("--sizes", "2048"), "height is 2048; expected"),
        (("--steps", "99"), "has no 99 steps"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], complaint: str, tmp_path: Path):
    code, _, told = run(*words, "--out", tmp_path)
    assert code == 2
    assert complaint in told.splitlines()[-1]
    assert told.splitlines()[-1].startswith("clavilux bench: ")


def test_a_folder_that_cannot_be_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    assert "cannot be a folder" in run("--out", tmp_path / "file")[2]


def test_a_browser_needs_something_to_hear(tiny_bundle: Path, tmp_path: Path):
    words = ("--without", "startup,ceiling,socket", "--steps", "1", "--seconds", 0.01, "--browser")
    assert "--browser needs --sound" in run("--bundle", tiny_bundle, *words, "--out", tmp_path)[2]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"onnx is not installed; run: pip install 'clavilux\[bench,cpu\]'"):
        require(["onnx"])


def test_every_architecture_that_is_offered_can_be_built():
    from clavilux.benchmarks.peers.architectures import BUILDERS

    assert tuple(BUILDERS) == ARCHITECTURES


def test_all_sizes_are_measured_with_all_steps(flexible_bundle: Path):
    asked = BenchOptions(sizes=((32, 32), (64, 128)), steps=(1, 4))
    found = settings_for(Bundle.open(flexible_bundle), asked)
    assert found == (Setting(32, 32, 1), Setting(32, 32, 4), Setting(64, 128, 1), Setting(64, 128, 4))


@pytest.mark.parametrize(("device", "bare"), [("auto", "cpu"), ("AUTO:again", "cpu"), ("cuda", "cuda")])
def test_the_ceiling_is_that_of_the_device_and_of_the_processor_for_auto(
    device: str, bare: str, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []
    limits = Ceiling(1.0, 1.0, "float32")
    monkeypatch.setattr(
        "clavilux.benchmarks.measurements.ceiling.measure_ceiling", lambda where, *_: (asked.append(where), limits)[1]
    )
    monkeypatch.setattr("clavilux.benchmarks.measurements.ceiling.works", lambda *_: {})
    first = summed_up(Setting(64, 64, 1), [dict.fromkeys(WORK, 0.01)], 0.1, WarmUp(1, 0.0, stable=True))
    assert bench_run._ceiling(Bundle.open(tiny_bundle), first, BenchOptions(device=device), print) == (limits, ())
    assert asked == [bare]


def test_the_server_plays_the_first_setting(flexible_bundle: Path):
    words = serve_words(
        flexible_bundle, Setting(32, 64, 2), Bundle.open(flexible_bundle), BenchOptions(values=("glide=0",))
    )
    assert words[-8:] == ["--set", "glide=0", "--set", "steps=2", "--set", "height=32", "--set", "width=64"]


def test_without_checkpoints_a_comparison_makes_weights_of_the_default_bundles_shape(monkeypatch: pytest.MonkeyPatch):
    made: list[str] = []
    monkeypatch.setattr("clavilux.benchmarks.bench.run.make", lambda name, *_: made.append(name))
    bench_run.find_weights(BenchOptions(peers=("torch",)), print)
    assert made == ["lumia"]
