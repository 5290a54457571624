"""The study of flashes: strobes as declared, a table of verdicts, and the oracle itself where a variable names it.

python -m venv ORACLE && ORACLE/bin/pip install iris-pse-detection==1.1.2
CLAVILUX_IRIS_PYTHON=ORACLE/bin/python pytest -m peer tests/benchmarks/studies/test_flashes.py
"""

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.studies import flashes
from clavilux.benchmarks.studies.flashes import EXIT_FAILS, ORACLE, STROBES, Verdict, judge, limited, sequence

HARMLESS = ("Pass", "PassWithWarning")

oracle = pytest.mark.skipif(
    ORACLE not in os.environ, reason=f"{ORACLE} names no python with iris-pse-detection; see this file"
)


@pytest.mark.peer
@oracle
@pytest.mark.parametrize("name", STROBES)
@pytest.mark.parametrize(("hertz", "rate"), [(4, 25), (7.5, 30), (12.5, 25), (10, 60), (30, 60)])
def test_the_oracle_fails_a_strobe_and_passes_what_the_limiter_shows(name: str, hertz: float, rate: int):
    pictures = sequence(STROBES[name], hertz, rate)
    assert judge(os.environ[ORACLE], pictures, rate).verdict.endswith("Fail")
    after = judge(os.environ[ORACLE], limited(pictures, rate), rate)
    assert after.verdict in HARMLESS, after


@pytest.mark.parametrize("name", STROBES)
def test_a_strobe_has_two_pictures_a_flash_and_its_length(name: str):
    pictures = sequence(STROBES[name], 5, 30)
    assert len(pictures) == 180
    assert sum(not np.array_equal(one, two) for one, two in pairwise(pictures)) == 59


def stand_in(folder: Path, body: str) -> str:
    """A python that answers as the oracle would."""
    script = folder / "oracle"
    script.write_text(f"#!{sys.executable}\n{body}\n", encoding="utf-8")
    script.chmod(0o755)
    return str(script)


def test_verdicts_are_told_for_people_and_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    answer = 'print(\'{"verdict": "Pass", "luminance": 3, "red": 1}\')'
    monkeypatch.setenv(ORACLE, stand_in(tmp_path, answer))
    monkeypatch.setattr(flashes, "SIZES", ((8, 8),))
    monkeypatch.setattr(flashes, "STROBES", {"a quarter": STROBES["a quarter"]})
    assert flashes.main(["--rates", "25", "--hertz", "5", "20"]) == 0
    said = capsys.readouterr().out
    assert said.count("Pass (3, 1)") == 2  # 20 Hz do not fit into 25 frames
    assert [row["hertz"] for row in json.loads(said.splitlines()[-1])["rows"]] == [5]


def test_a_failure_is_told_by_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(flashes, "judge", lambda *_: Verdict("FlashFail", 8, 0))
    monkeypatch.setenv(ORACLE, "oracle")
    monkeypatch.setattr(flashes, "SIZES", ())
    assert flashes.main(["--rates", "25", "--hertz", "5"]) == EXIT_FAILS


def test_without_an_oracle_the_cost_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv(ORACLE, raising=False)
    monkeypatch.setattr(flashes, "SIZES", ((8, 8),))
    assert flashes.main([]) == 0
    said = capsys.readouterr()
    assert "8x8" in said.out
    assert ORACLE in said.err


def test_an_oracle_that_cannot_run_is_named(tmp_path: Path):
    with pytest.raises(BenchError, match="no module"):
        judge(stand_in(tmp_path, "raise SystemExit('no module')"), sequence(STROBES["a quarter"], 5, 25)[:2], 25)
