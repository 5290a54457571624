"""The run: each step in a process of its own, and whatever becomes of one, the next goes on."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clavilux.benchmarks.on_card import run as running
from clavilux.benchmarks.on_card.plan import Step
from clavilux.benchmarks.on_card.run import DONE, FAILED, HUNG, KILLED, LEFT_OUT, Outcome, main, outcomes, perform, run
from tests.paths import ROOT

PROGRAMS = {
    "good": "print('a line'); print('{\"x\": 1}'); print('another')",
    "grows": "import sys; print('{\"x\": 1}'); print('{\"x\": 2}', flush=True); sys.exit('it ends early')",
    "raises": "raise ValueError('no such thing')",
    "silent": "import sys; sys.exit(3)",
    "nothing": "pass",
    "dies": "import os, signal; print('{\"x\": 1}', flush=True); os.kill(os.getpid(), signal.SIGSEGV)",
    "hangs": "import subprocess, sys; print('{\"x\": 1}', flush=True); "
    "subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])",
}


@pytest.fixture(autouse=True)
def _programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in PROGRAMS.items():
        (tmp_path / f"card_{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def step(name: str, limit: float = 60.0) -> Step:
    return Step(name, limit, (f"card_{name}",), lambda found: f"x is {found['x']}")


def test_the_last_object_is_the_result() -> None:
    found = perform(step("good"), 60)
    assert (found.state, found.line, found.result) == (DONE, "x is 1", {"x": 1})


@pytest.mark.parametrize(
    ("name", "state", "line", "result"),
    [
        ("grows", FAILED, "it ends early", {"x": 2}),
        ("raises", FAILED, "ValueError: no such thing", None),
        ("silent", FAILED, "exit code 3", None),
        ("nothing", FAILED, "exit code 0", None),
        ("dies", KILLED, "SIGSEGV", {"x": 1}),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(name: str, state: str, line: str, result: dict | None) -> None:
    found = perform(step(name), 60)
    assert (found.state, found.line, found.result) == (state, line, result)


def test_a_step_that_hangs_is_ended_with_all_that_it_started_and_what_it_found_stays() -> None:
    since = time.monotonic()
    found = perform(step("hangs"), 1)
    assert (found.state, found.line, found.result) == (HUNG, "ended after 1 s", {"x": 1})
    assert time.monotonic() - since < 60  # the pipes were closed: nobody holds them any more


def test_a_result_that_lacks_something_is_told() -> None:
    wants_more = Step("good", 60.0, ("card_good",), lambda found: str(found["y"]))
    assert perform(wants_more, 60).line == "its result has no 'y'"


def test_after_each_failure_the_next_step_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = [step("raises"), step("dies"), step("hangs", 1.0), step("good")]
    assert run(plan, 200.0, tmp_path / "out") is False
    rows = capsys.readouterr().out.splitlines()[: len(plan)]
    assert [row.split()[1] for row in rows] == [FAILED, KILLED, HUNG, DONE]
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines] == [FAILED, KILLED, HUNG, DONE]
    assert (tmp_path / "out" / "table.txt").read_text().splitlines() == rows


def test_results_are_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    file = tmp_path / "out" / "results.jsonl"

    def noting(one: Step, limit: float) -> Outcome:
        seen.append(len(file.read_text().splitlines()))
        return Outcome(one.name, DONE, 0.0, "")

    monkeypatch.setattr(running, "perform", noting)
    assert run([step("good")] * 3, 100.0, tmp_path / "out") is True
    assert seen == [0, 1, 2]


def test_when_time_is_up_nothing_is_begun() -> None:
    assert [(one.state, one.line) for one in outcomes([step("good")], 1.0)] == [(LEFT_OUT, "time is up")]


def test_a_step_without_words_says_why_it_is_left_out() -> None:
    left = Step("large", 9.0, (), lambda found: "", "no bundle")
    assert [(one.state, one.line) for one in outcomes([left], 100.0)] == [(LEFT_OUT, "no bundle")]


def test_a_step_that_is_not_there_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "machine,nothing"]) == 2
    assert capsys.readouterr().err.startswith("on_card: no step 'nothing'; there are machine, copies, doctor, ")


def test_skeletons_are_filled_where_the_bundles_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        running, "perform", lambda one, limit: asked.append(one.words) or Outcome(one.name, DONE, 0.0, "")
    )
    for name in ("lumia", "large"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bundle.json").touch()
    words = ["--skeletons", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert [one[-1] for one in asked if "fill" in one] == [str(tmp_path / "large")]
    assert any("gpu_frame_path" in one[0] and str(tmp_path / "large") in one for one in asked)
    monkeypatch.setattr(running, "DEFAULT_BUNDLE", tmp_path / "left behind")
    asked.clear()
    assert main([*words, "--large", str(tmp_path)]) == 0
    assert [one[-1] for one in asked if "fill" in one] == [str(tmp_path / "lumia")]


@pytest.mark.skipif(sys.platform != "linux", reason="a stand-in for the driver of Linux")
def test_without_a_card_every_step_says_so_in_a_line_and_the_table_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here, which compiles the stand-in for NVIDIA's driver")
    stub = ["gcc", "-shared", "-fPIC", "-o", str(tmp_path / "libcuda.so.1"), Path(__file__).with_name("stub_driver.c")]
    subprocess.run(stub, check=True)
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    command = ["bash", "benchmarks/on_card/run.sh", "--out", str(tmp_path / "out"), "--seconds", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("Traceback")) == (1, 0)
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    states = {line["step"]: line["state"] for line in lines}
    assert states.pop("machine") == DONE
    assert set(states.values()) == {FAILED, LEFT_OUT}
    assert {name for name, state in states.items() if state == LEFT_OUT} == {
        "large graphs", "large frames", "large options"
    }  # fmt: skip
    assert all("\n" not in line["line"] and line["line"] for line in lines)
    assert len(done.stdout.splitlines()) == len(lines) + 2  # and where the results are
