"""Curves over viewers, stages and steps: the figures of one point, lines through several, and a real run."""

import json
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements import machine
from clavilux.benchmarks.measurements.in_process import WORK, Setting, StageTimes
from clavilux.benchmarks.measurements.machine import Machine
from clavilux.benchmarks.measurements.percentiles import Summary, WarmUp
from clavilux.benchmarks.measurements.serving import serving
from clavilux.benchmarks.studies import scale
from clavilux.benchmarks.studies.audience import Client, Received, Tally, taking_part
from clavilux.benchmarks.studies.scale_plot import draw
from clavilux.benchmarks.studies.scale_report import Scale, Together, Watched, fitted
from clavilux.server.client.frame import ReceivedFrame
from clavilux.server.protocol.binary import FRAME_HEADER, PackedFrame

TIMES = Summary(100, 100.0, 140.0, 200.0, 110.0)
LATE = Summary(100, 190.0, 240.0, 300.0, 200.0)


def watched(viewers: int, loop_cpu: float) -> Watched:
    return Watched(viewers, 20.0, 19.0, 20.0, TIMES, 0.01, 80_000.0, 4000.0, 1.5, loop_cpu, 0.05, 0.01)


def priced(side: int, steps: int) -> StageTimes:
    """Return what a picture takes at 10 ms, 20 ms per megapixel, and 30 ms per megapixel and step."""
    size = side * side / 1e6
    times = replace(TIMES, p50=10 + 20 * size + 30 * size * steps)
    warmed = WarmUp(10, 1.0, stable=True)
    return StageTimes(Setting(side, side, steps), dict.fromkeys(WORK, TIMES), times, 20.0, warmed)


def measured(**changes: object) -> Scale:
    whole = Scale(
        machine=Machine("A processor", 2, 8.0, (), "Linux", "3.11", {"onnxruntime": "1.32"}, 0.1),
        bundle="tiny",
        provider="CPUExecutionProvider",
        frame_rate=30.0,
        seconds=10.0,
        viewers=(watched(1, 0.024), watched(4, 0.03), watched(16, 0.054)),
        stages=(Together(1, 0, (20.0,), TIMES, 1.9, 250.0, None), Together(2, 1, (14.0, 12.0), LATE, 2.0, 255.0, None)),
        cost=tuple(priced(256, steps) for steps in (1, 2, 4)),
    )
    return replace(whole, **changes)


def frame(sequence: int) -> ReceivedFrame:
    packed = PackedFrame(sequence, "jpeg", (64, 64), 0, 1, 1, (10, 20), b"twelve bytes")
    return ReceivedFrame(packed, 1, ("encode", "compress"))


def test_a_client_counts_frames_their_bytes_and_the_gaps_between_them():
    client = Client()
    for sequence in (7, 8, 11):
        client.take(frame(sequence))
    assert client.empty() == Received(frames=3, bytes=3 * (FRAME_HEADER.size + 2 * 4 + 12), skipped=2)
    client.take(frame(12))
    assert client.empty() == Received(frames=1, bytes=FRAME_HEADER.size + 20, skipped=0)


def test_a_point_tells_rates_bytes_and_where_the_cpu_time_goes():
    performer = Tally(2.0, 0.4, (Received(40, 160_000, 0),), (0.1, 0.2), (0.002, 0.004))
    audience = Tally(2.0, 0.1, (Received(40, 160_000, 0), Received(30, 120_000, 10)))
    told = scale.digest(2, performer, audience, server_cpu=1.5, loop_cpu=0.04)
    assert (told.delivered, told.slowest, told.shown, told.sent) == (17.5, 15.0, 20.0, 55.0)
    assert (told.bytes_per_second, told.frame_bytes) == (70_000.0, 4000.0)
    assert told.skipped == pytest.approx(10 / 80)
    assert (told.compress_cpu, told.clients_cpu) == (0.06, 0.05)
    assert told.serving == pytest.approx(0.1 / 1.5)
    assert told.heard_to_shown.p50 == pytest.approx(150.0)


def test_without_viewers_a_point_is_the_performers():
    performer = Tally(2.0, 0.4, (Received(40, 160_000, 0),), (0.1,), ())
    told = scale.digest(0, performer, performer, server_cpu=0.0, loop_cpu=0.0)
    assert (told.delivered, told.sent, told.clients_cpu, told.compress_cpu, told.serving) == (20.0, 20.0, 0.0, 0.0, 0.0)


def test_a_line_goes_through_points_that_lie_on_one():
    line = fitted({"viewers": [1, 4, 16]}, [12.0, 18.0, 42.0])
    assert line
    assert (line.fixed, line.slopes["viewers"], line.points, line.worst) == (10.0, 2.0, 3, 0.0)
    assert line.at(viewers=64) == pytest.approx(138.0)


def test_a_line_says_how_far_off_its_worst_point_is():
    line = fitted({"viewers": [0, 1, 2]}, [1.0, 4.0, 1.0])
    assert line
    assert (line.fixed, line.worst) == (2.0, 1.0)


def test_relative_errors_hold_a_line_near_its_small_values():
    xs, values = {"work": [0.0, 1.0, 2.0]}, [1.0, 100.0, 400.0]
    plain, relative = fitted(xs, values), fitted(xs, values, relative=True)
    assert plain
    assert relative
    assert relative.worst < 1 < plain.worst


@pytest.mark.parametrize("xs", [[], [4], [4, 4]])
def test_points_at_one_place_have_no_line(xs: list[float]):
    assert fitted({"viewers": xs}, [1.0] * len(xs)) is None


def test_the_cost_of_a_viewer_is_told_per_second_and_per_frame():
    found = measured()
    assert found.per_viewer
    assert found.per_frame
    assert found.per_viewer.slopes["viewers"] == pytest.approx(0.002)
    assert found.per_frame.slopes["frames"] == pytest.approx(0.0001)


def test_one_size_is_told_against_steps_and_several_against_size_as_well():
    one, several = measured(), measured(cost=tuple(priced(side, steps) for side in (128, 512) for steps in (1, 4)))
    assert one.per_picture
    assert several.per_picture
    assert one.per_picture.fixed == pytest.approx(10 + 20 * 0.065536, rel=1e-4)
    assert one.per_picture.slopes == {"megapixel_steps": 30.0}
    assert several.per_picture.fixed == pytest.approx(10)
    assert several.per_picture.slopes == pytest.approx({"megapixels": 20.0, "megapixel_steps": 30.0})


@pytest.mark.parametrize(
    "line",
    [
        "A processor, 2 cores; no NVIDIA card; tiny on CPUExecutionProvider, 30 pictures per second asked, 10 s each",
        "one more viewer: 2.00 ms of the event loop per second, 100 µs per frame sent",
        "through 1, 4, 16 viewers",
        "26.0",
        "256x256, 4 steps",
        "a picture: 11.3 ms fixed, 30.0 ms per megapixel and step",
    ],
)
def test_people_read(line: str):
    assert line in measured().table()


def test_what_was_left_out_is_not_told():
    told = measured(viewers=(), stages=()).table()
    assert "viewers" not in told
    assert "stages" not in told
    assert "pictures/s" not in measured(cost=()).table()


def test_a_single_point_is_told_without_a_line():
    found = measured(viewers=(watched(4, 0.03),), cost=(priced(256, 1),))
    assert "least squares" not in found.table()
    assert json.loads(found.json())["per_frame"] is None


def test_a_busy_machine_is_told_loudly():
    assert "*** THIS MACHINE IS BUSY" in measured(machine=replace(measured().machine, load=5.0)).table()


def test_programs_read_json(tmp_path: Path):
    measured().write(tmp_path / "scale.json")
    found = json.loads((tmp_path / "scale.json").read_text())
    assert (found["format"], found["machine"]["versions"]) == (1, {"onnxruntime": "1.32"})
    assert found["stages"][1]["together"] == 26.0
    assert found["viewers"][2]["sent"] == 340.0
    assert found["per_frame"]["points"] == 3


@pytest.mark.parametrize(
    ("changes", "width"),
    [
        ({}, 3200),
        ({"stages": (), "cost": ()}, 1600),
        ({"viewers": (watched(0, 0.02),), "cost": (priced(128, 1), priced(256, 1))}, 3200),
        ({"viewers": (), "stages": ()}, 800),
    ],
)
def test_every_part_is_drawn_on_one_sheet(tmp_path: Path, changes: dict[str, object], width: int):
    draw(measured(**changes), tmp_path / "scale.png")
    with Image.open(tmp_path / "scale.png") as picture:
        assert picture.width == width


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--viewers", "1,4097"), "'1,4097'; expected numbers from 0 to 4096, for example 1,4,16,64"),
        (("--viewers", "few"), "'few'; expected numbers"),
        (("--stages", "0"), "'0'; expected numbers from 1 to 64"),
        (("--steps", "0"), "'0' are no steps"),
        (("--steps", "99"), "has no 99 steps"),
        (("--sizes", "big"), "'big' is no size"),
        (("--sizes", "999"), "height is 999; expected a multiple of 64"),
        (("--sizes", "2048"), "height is 2048; expected"),
        (("--seconds", "nan"), "expected seconds"),
        (("--without", "sleep"), "'sleep'; expected some of cost, viewers, stages"),
        (("--without", "cost,viewers,stages"), "nothing is left to measure"),
        (("--threads", "many"), "--threads many; expected 0 to"),
        (("--bundle", "none"), "none"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], complaint: str, tmp_path: Path):
    with redirect_stderr(StringIO()) as told:
        assert scale.main([*words, "--out", str(tmp_path)]) == 2
    last = told.getvalue().splitlines()[-1]
    assert last.startswith("scale: ")
    assert complaint in last


def test_another_size_than_the_one_that_a_bundle_paints_is_one_line(tiny_bundle: Path, tmp_path: Path):
    with redirect_stderr(StringIO()) as told:
        assert scale.main(["--bundle", str(tiny_bundle), "--sizes", "128", "--out", str(tmp_path)]) == 2
    assert "bundle tiny paints 64x64 alone" in told.getvalue().splitlines()[-1]


def test_a_system_that_does_not_tell_cpu_time_is_one_line(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "cpu_seconds", lambda *_, **__: None)
    monkeypatch.setattr(scale, "WARM_UP", 0.0)
    words = ["--bundle", str(tiny_bundle), "--without", "cost,stages", "--viewers", "0", "--seconds", "0.1"]
    with redirect_stderr(StringIO()) as told:
        assert scale.main([*words, "--threads", "1", "--no-plots", "--out", str(tiny_bundle.parent / "unused")]) == 2
    assert "does not tell the CPU time of a server; expected Linux" in told.getvalue()


def test_a_tiny_bundle_is_measured_told_written_and_drawn(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(scale, "WARM_UP", 0.0)
    words = ["--bundle", str(tiny_bundle), "--threads", "1", "--viewers", "2,0", "--stages", "2", "--steps", "1,2"]
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as progress:
        assert scale.main([*words, "--seconds", "0.3", "--out", str(tmp_path)]) == 0
    assert [line[10:] for line in progress.getvalue().splitlines() if "BUSY" not in line] == [
        "cost: 64x64, 1 step",
        "cost: 64x64, 2 steps",
        "viewers: 0",
        "viewers: 2",
        "stages: 2",
    ]
    assert out.getvalue().rstrip().endswith("scale.json, scale.png")
    found = json.loads((tmp_path / "scale.json").read_text())
    alone, two = found["viewers"]
    assert (alone["viewers"], two["viewers"]) == (0, 2)
    assert two["slowest"] <= two["delivered"]
    assert two["sent"] == pytest.approx(two["shown"] + 2 * two["delivered"])
    assert two["bytes_per_second"] == pytest.approx(two["delivered"] * two["frame_bytes"], rel=0.01)
    assert 0 <= two["loop_cpu"] <= two["server_cpu"]
    (both,) = found["stages"]
    assert (both["threads"], len(both["each"])) == (1, 2)
    assert both["resident_mb"] > 0
    assert [one["setting"]["steps"] for one in found["cost"]] == [1, 2]
    assert (tmp_path / "scale.png").is_file()


def test_clients_say_in_one_line_why_they_cannot_go_on(tiny_bundle: Path):
    stack = ExitStack()
    with serving(["--bundle", str(tiny_bundle), "--threads", "1"]) as server:
        audience = stack.enter_context(taking_part(server.socket, "--viewers", "1"))
        (first,) = audience().clients
        assert first.frames > 0
        assert first.bytes > first.frames * FRAME_HEADER.size
    with stack, pytest.raises(BenchError, match="the connection ended"):
        audience()
    with taking_part("ws://127.0.0.1:1/ws", "--performer") as nobody, pytest.raises(BenchError, match="cannot reach"):
        nobody()
