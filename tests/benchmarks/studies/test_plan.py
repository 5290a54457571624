"""Arithmetic from a scale.json: stages, machines, networks and relays."""

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.studies import plan
from clavilux.benchmarks.studies.plan import Measured, Wish, relayed
from clavilux.benchmarks.studies.plan import plan as planned
from clavilux.benchmarks.studies.plan import read as read_measured

FIGURES = Measured(
    machine="A processor, 16 cores",
    bundle="tiny",
    rate=20.0,
    frame_bytes=10_000.0,
    frame_cpu=0.0001,
    fixed_cpu=0.02,
    pictures=100.0,
    at_least=False,
    memory_mb=250.0,
)


def scale_json(folder: Path, **changes: Any) -> Path:
    found: dict[str, Any] = {
        "format": 1,
        "machine": {"processor": "A processor", "cores": 16},
        "bundle": "tiny",
        "frame_rate": 20.0,
        "viewers": [{"frame_bytes": 9000.0}, {"frame_bytes": 10_000.0}],
        "stages": [
            {"together": 20.0, "each": [20.0], "resident_mb": 240.0},
            {"together": 100.0, "each": [12.5] * 8, "resident_mb": 250.0},
        ],
        "per_frame": {"fixed": 0.02, "slopes": {"frames": 0.0001}, "points": 3, "worst": 0.1},
    }
    path = folder / "scale.json"
    path.write_text(json.dumps(found | changes))
    return path


def test_the_figures_are_those_of_the_best_point(tmp_path: Path):
    assert read_measured(scale_json(tmp_path)) == FIGURES


def test_stages_that_did_all_that_was_asked_might_do_more(tmp_path: Path):
    all_there = [{"together": 39.5, "each": [20.0, 19.5], "resident_mb": None}]
    found = read_measured(scale_json(tmp_path, stages=all_there))
    assert (found.at_least, found.memory_mb) == (True, 0.0)


def test_a_machine_carries_as_many_stages_as_its_pictures_and_the_headroom_allow():
    found = planned(FIGURES, Wish(stages=10))
    assert (found.stages_per_machine, found.machines, found.memory_mb) == (3, 4, 750.0)
    assert planned(FIGURES, Wish(stages=10, rate=10.0)).stages_per_machine == 7
    assert planned(FIGURES, Wish(stages=14, pictures=400.0)).machines == 1


def test_a_rate_beyond_the_machine_is_no_stage_at_all():
    assert planned(FIGURES, Wish(rate=80.0)).machines is None


def test_viewers_take_frames_times_rate():
    found = planned(FIGURES, Wish(stages=10, viewers=10_000, rate=15.0))
    assert (found.mbit_per_viewer, found.gbit, found.links) == (1.2, 12.0, 2)
    assert (found.viewers_per_stage, found.per_process, found.relays_per_stage, found.tiers) == (1000, 466, 3, 1)


def test_frames_of_another_size_take_another_network():
    assert planned(FIGURES, Wish(viewers=100, rate=15.0, frame=59.0)).mbit_per_viewer == pytest.approx(7.08)


def test_few_viewers_need_no_relay():
    found = planned(FIGURES, Wish(viewers=64))
    assert (found.direct, found.relays_per_stage, found.tiers) == (64, 0, 0)


def test_a_stage_takes_fewer_viewers_itself_where_its_event_loop_is_slow():
    assert planned(FIGURES, Wish(rate=400.0)).direct == 17


def test_relays_of_relays_stand_in_tiers():
    assert relayed(1000, 10, 50) == (20 + 1, 2)
    assert relayed(10, 10, 50) == (0, 0)


@pytest.mark.parametrize(("direct", "per_process"), [(1, 1), (0, 100)])
def test_a_tree_that_cannot_grow_is_one_line(direct: int, per_process: int):
    with pytest.raises(BenchError, match="plan for a lower --rate"):
        relayed(1000, direct, per_process)


def told(*words: str) -> str:
    with redirect_stdout(StringIO()) as out:
        assert plan.main(list(words)) == 0
    return out.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        "tiny on A processor, 16 cores: 10 stages, 10000 viewers, 15 frames per second",
        "* a machine carries 4 stages (1000 MB of servers): 3 machines",
        "* a viewer takes 1.20 Mbit/s, all of them 12.00 Gbit/s: 2 networks of 10 Gbit/s at 70%",
        "* a stage has 1000 viewers; its own process takes 64 (at most 64), an event loop of its own 466",
        "* that takes 3 relays per stage in 1 tier, 30 in all, a core each; Clavilux has no relay today",
    ],
)
def test_people_read(line: str, tmp_path: Path):
    path = str(scale_json(tmp_path))
    assert line in told(path, "--stages", "10", "--viewers", "10000", "--rate", "15")


def test_without_viewers_nothing_is_told_of_networks(tmp_path: Path):
    assert "Mbit" not in told(str(scale_json(tmp_path)))


def test_a_stage_that_no_machine_carries_is_told(tmp_path: Path):
    assert "does not carry one stage at 80 frames per second" in told(str(scale_json(tmp_path)), "--rate", "80")


def test_programs_read_json(tmp_path: Path):
    found = json.loads(told(str(scale_json(tmp_path)), "--pictures", "240", "--json"))
    assert (found["plan"]["stages_per_machine"], found["wish"]["pictures"]) == (8, 240.0)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--stages", "0"), "--stages 0; expected 1 or more"),
        (("--viewers", "-1"), "expected a whole number"),
        (("--rate", "x"), "'x'; expected a number above 0"),
        (("--headroom", "1.5"), "'1.5'; expected a share"),
        (("--link", "0"), "'0'; expected a number above 0"),
        (("--pictures", "nan"), "'nan'; expected a number above 0"),
        (("--viewers", "10000", "--rate", "9999"), "plan for a lower --rate"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], complaint: str, tmp_path: Path):
    with redirect_stderr(StringIO()) as said:
        assert plan.main([str(scale_json(tmp_path)), *words]) == 2
    (line,) = said.getvalue().splitlines()
    assert line.startswith("plan: ")
    assert complaint in line


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": 2}, "has format 2; expected 1"),
        ({"stages": []}, "holds no stages; measure them"),
        ({"per_frame": None}, "holds no two numbers of viewers"),
        ({"viewers": [{"frame_bytes": 0.0}]}, "frame_bytes was measured as 0.0"),
        ({"per_frame": {"fixed": 0.0, "slopes": {"frames": -1e-6}}}, "measure longer, on an idle machine"),
        ({"machine": 7}, "is no scale.json (TypeError)"),
    ],
)
def test_a_file_that_does_not_do_is_named(changes: dict[str, Any], complaint: str, tmp_path: Path):
    with pytest.raises(BenchError) as met:
        read_measured(scale_json(tmp_path, **changes))
    assert complaint in str(met.value)


def test_no_file_at_all_is_one_line(tmp_path: Path):
    with pytest.raises(BenchError, match=r"none\.json is no scale\.json \(FileNotFoundError\)"):
        read_measured(tmp_path / "none.json")
