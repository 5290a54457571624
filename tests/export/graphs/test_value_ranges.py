"""How far the numbers inside a graph reach."""

from pathlib import Path

import numpy as np
import pytest

from clavilux.export.graphs.value_ranges import measure_ranges
from clavilux.runtime.placement.devices import open_session
from tests.export.graphs.onnx_graphs import WIDTH, node, write_graph


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    nodes = [
        node("Mul", ["x", "w"], "double"),
        node("Cast", ["double"], "whole", to=7),
        node("Log", ["x"], "log"),
        node("Relu", ["double"], "y"),
    ]
    return write_graph(tmp_path / "graph.onnx", nodes, {"w": np.float32(-2)})


def filled(value: float, *, first: float | None = None) -> dict[str, np.ndarray]:
    x = np.full((2, WIDTH), value, np.float32)
    if first is not None:
        x[0, 0] = first
    return {"x": x}


def test_a_peak_is_the_largest_absolute_value(graph: Path, tmp_path: Path):
    ranges = measure_ranges(graph, [filled(1, first=3)], tmp_path)
    assert (ranges["double"], ranges["y"]) == (6.0, 0.0)


def test_a_peak_is_the_largest_over_all_inputs(graph: Path, tmp_path: Path):
    assert measure_ranges(graph, [filled(1), filled(5), filled(2)], tmp_path)["double"] == 10.0


def test_every_float_value_has_its_peak_and_no_other(graph: Path, tmp_path: Path):
    assert set(measure_ranges(graph, [filled(1)], tmp_path)) == {"double", "log", "y"}


@pytest.mark.parametrize("places", [[0], [5], [2 * WIDTH - 1]])
def test_nan_anywhere_counts_as_infinity(graph: Path, tmp_path: Path, places: list[int]):
    inputs = filled(1)
    inputs["x"].reshape(-1)[places] = -1
    assert measure_ranges(graph, [inputs], tmp_path)["log"] == np.inf


def test_nan_in_one_input_is_not_hidden_by_the_next(graph: Path, tmp_path: Path):
    assert measure_ranges(graph, [filled(1), filled(-1), filled(1)], tmp_path)["log"] == np.inf


def test_minus_infinity_counts_as_infinity(graph: Path, tmp_path: Path):
    assert measure_ranges(graph, [filled(1, first=0)], tmp_path)["log"] == np.inf


def test_the_graph_itself_is_left_as_it_was(graph: Path, tmp_path: Path):
    measure_ranges(graph, [filled(1)], tmp_path)
    assert len(open_session(graph).run(filled(1))) == 1
