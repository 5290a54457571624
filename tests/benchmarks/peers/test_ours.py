"""Clavilux as a worker of the comparison: orders in, a picture and the seconds of every stage out."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from clavilux.benchmarks.measurements.in_process import Setting
from clavilux.benchmarks.peers.compare import write_inputs
from clavilux.benchmarks.peers.ours import Clavilux
from clavilux.benchmarks.peers.worker import STAGES, answer_to
from clavilux.runtime.bundle.bundle import Bundle


def ordered(stack: Clavilux, **order: object) -> Any:
    answers = io.StringIO()
    answer_to(stack, order, answers)
    (line,) = answers.getvalue().splitlines()
    return json.loads(line)


def load(stack: Clavilux, bundle: Path) -> Any:
    return ordered(stack, do="load", checkpoints="unused", bundle=str(bundle), device="cpu", threads=1)


def paint(stack: Clavilux, inputs: Path, steps: int, out: Path) -> tuple[Any, Any]:
    found = ordered(stack, do="paint", inputs=str(inputs), steps=steps, out=str(out))
    return found, np.load(out)


def test_a_picture_comes_with_the_seconds_of_every_stage(tiny_bundle: Path, tmp_path: Path):
    stack = Clavilux()
    loaded = load(stack, tiny_bundle)
    assert loaded["seconds"] > 0
    assert {"clavilux", "numpy", "onnxruntime"} <= set(loaded["versions"])
    inputs = write_inputs(Bundle.open(tiny_bundle), Setting(64, 64, 1), tmp_path)
    found, picture = paint(stack, inputs, 1, tmp_path / "one.npy")
    assert set(found["stages"]) == set(STAGES)
    assert min(found["stages"].values()) > 0
    assert (picture.shape, picture.dtype) == ((64, 64, 3), np.uint8)


def test_the_same_inputs_give_the_same_picture_and_more_steps_another(tiny_bundle: Path, tmp_path: Path):
    stack = Clavilux()
    load(stack, tiny_bundle)
    inputs = write_inputs(Bundle.open(tiny_bundle), Setting(64, 64, 1), tmp_path)
    (_, first), (_, more), (_, again) = (paint(stack, inputs, steps, tmp_path / "it.npy") for steps in (1, 2, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != more).any()


def test_a_bundle_that_is_not_there_is_the_answer(tmp_path: Path):
    assert str(tmp_path / "none") in load(Clavilux(), tmp_path / "none")["why"]
