"""The measurement of the frame path, on a fake card with real graphs: figures mean nothing there, promises hold."""

import json
from pathlib import Path

import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.studies import gpu_frame_path
from clavilux.benchmarks.studies.gpu_frame_path import SETTLED, bundles, difference, main, measure, table
from clavilux.runtime.diffusion.device_pipeline import DevicePipeline
from clavilux.runtime.loading import DEFAULT_BUNDLE, open_instrument
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime, install

PROMISES = ("one wait per picture", "nothing allocated while it plays", "the host's pictures")


class Ticks:
    """A clock that moves by so many seconds whenever it is asked."""

    def __init__(self, step: float = 0.001) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.mark.usefixtures("card")
def test_the_promises_hold_on_a_fake_card(tiny_bundle: Path) -> None:
    path = measure(open_instrument(tiny_bundle, device="cuda", threads=1), "tiny", 0.2, Ticks())
    assert {goal: path.verdicts[goal] for goal in PROMISES} == dict.fromkeys(PROMISES, True)
    assert (path.size, path.steps, path.differs, path.waits) == ((64, 64), 1, 0, 1.0)
    assert path.hops > 0
    assert path.pictures > SETTLED
    assert path.picture.count == path.models.count == path.outside.count == path.pictures


@pytest.mark.usefixtures("card")
def test_an_allocation_while_it_plays_breaks_a_promise(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instrument = open_instrument(tiny_bundle, device="cuda", threads=1)
    pipeline = instrument.pipeline
    assert isinstance(pipeline, DevicePipeline)
    held, run = [], pipeline.run

    def wasteful(asked: object) -> object:
        held.append(pipeline.stream.pinned((1 << 20,), "uint8"))
        pipeline.stream.wait()
        return run(asked)

    monkeypatch.setattr(pipeline, "run", wasteful)
    verdicts = measure(instrument, "tiny", 0.05, Ticks()).verdicts
    assert (verdicts["nothing allocated while it plays"], verdicts["one wait per picture"]) == (False, False)


@pytest.mark.usefixtures("card")
def test_pictures_that_differ_from_the_host_s_are_noticed(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instrument = open_instrument(tiny_bundle, device="cuda", threads=1)
    pipeline = instrument.pipeline
    assert isinstance(pipeline, DevicePipeline)
    assert difference(instrument, pipeline) == 0
    monkeypatch.setattr(pipeline, "_begin", lambda *arguments: None)  # the first sample is that of the last picture
    assert difference(instrument, pipeline) > 1


def test_where_latents_go_through_the_host_there_is_nothing_to_measure(tiny_bundle: Path) -> None:
    with pytest.raises(BenchError, match="tiny: its latents go through the host"):
        measure(open_instrument(tiny_bundle), "tiny", 0.1)


@pytest.mark.usefixtures("card")
def test_a_table_and_a_line_of_json_come_out(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_frame_path, "check_device", lambda device: None)
    assert main(["--bundle", str(tiny_bundle), "--seconds", "0.05"]) == 0
    *rows, line = capsys.readouterr().out.strip().splitlines()
    assert any(row.startswith("  outside ") for row in rows)
    assert json.loads(line)["verdicts"]["one wait per picture"] is True


def test_without_a_card_one_line_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, FakeRuntime())
    assert main([]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("nothing to measure: this ONNX Runtime")


def test_goals_that_are_missed_stand_out(card: FakeRuntime, tiny_bundle: Path) -> None:
    lines = table(measure(open_instrument(tiny_bundle, device="cuda", threads=1), "tiny", 0.1, Ticks(0.01)))
    assert lines[0].startswith("tiny, 64x64, 1 steps, CUDAExecutionProvider")
    assert "  MISSED 200 pictures per second" in lines


def test_the_default_bundle_is_measured_where_no_other_is_given(tmp_path: Path) -> None:
    assert bundles([], None, tmp_path, print) == [DEFAULT_BUNDLE]
    assert bundles([tmp_path], None, tmp_path, print) == [tmp_path]
