"""Tracing graphs and writing them."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from clavilux.export.graphs import convert
from clavilux.runtime.errors import ExportError
from clavilux.runtime.placement.devices import open_session
from tests.export.graphs.rows import ROWS, Rows, case, rows


def traced(module: nn.Module) -> ir.Model:
    return convert.to_onnx(module, ROWS, {"rows": torch.from_numpy(rows())})


@pytest.fixture(scope="module")
def module() -> Rows:
    return Rows().requires_grad_(False)


def test_a_traced_module_holds_no_memory(module: Rows, tmp_path: Path):
    taken = deepcopy(module)
    convert.trace(ROWS, taken, [case(module)], tmp_path)
    assert sum(weight.numel() for weight in taken.parameters()) == 0


def test_a_graph_has_the_declared_names_and_open_axes(module: Rows):
    graph = traced(module).graph
    assert [value.name for value in (*graph.inputs, *graph.outputs)] == ["rows", "sums"]
    assert graph.inputs[0].shape[0] == 1
    assert isinstance(graph.inputs[0].shape[1], ir.SymbolicDim)


def test_an_open_axis_takes_other_lengths(module: Rows, tmp_path: Path):
    convert.save(traced(module), tmp_path / "rows.onnx")
    (found,) = open_session(tmp_path / "rows.onnx").run({"rows": rows(9)})
    np.testing.assert_allclose(found, module(torch.from_numpy(rows(9))), atol=1e-5)


def test_weights_beyond_one_file_go_beside_it(module: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(convert, "MAX_SINGLE_FILE", 1000)
    convert.save(traced(module), tmp_path / "rows.onnx")
    assert (tmp_path / "rows.onnx.data").stat().st_size >= 64 * 32 * 4
    assert open_session(tmp_path / "rows.onnx").run({"rows": rows()})[0].shape == (1, 5, 32)


def test_what_cannot_be_traced_is_named_in_one_line():
    class Undecided(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            return rows if rows.sum() > 0 else -rows

    with pytest.raises(ExportError, match=r"^rows cannot be traced: (?!.*Next steps)[^\n\x1b]+$"):
        traced(Undecided())


def test_arrays_must_have_the_declared_axes():
    with pytest.raises(ExportError, match=r"rows: sums is float32 \[1, 4, 32\]; expected float32"):
        ROWS.check([rows(5), np.zeros((1, 4, 32), np.float32)])


def test_arrays_must_have_the_declared_type():
    with pytest.raises(ExportError, match="rows: rows is float64"):
        ROWS.check([rows().astype(np.float64), np.zeros((1, 5, 32), np.float32)])


def test_arrays_must_have_as_many_axes_as_declared():
    with pytest.raises(ExportError, match=r"rows: rows is float32 \[5, 64\]"):
        ROWS.check([rows()[0], np.zeros((1, 5, 32), np.float32)])


def test_an_axis_that_the_trace_has_fixed_is_named(module: Rows):
    class Fixed(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            return rows.reshape(1, 5, 64)[:, :, :32]

    with pytest.raises(ExportError, match=r"^rows: the axis length of rows is fixed in the trace$"):
        traced(Fixed())


def test_only_declared_axes_may_be_open(module: Rows):
    graph = traced(module).graph
    with pytest.raises(ExportError, match="rows: the axis length of rows is open in the trace"):
        convert._check_axes(graph, replace(ROWS, open_axes=()))
