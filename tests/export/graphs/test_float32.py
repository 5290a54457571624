"""Storing weights in float16 where arithmetic is float32."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from clavilux.export.graphs import float32
from clavilux.export.graphs.convert import save, to_onnx
from clavilux.runtime.placement.devices import open_session
from tests.export.graphs.rows import ROWS, Rows, rows


def traced(module: Rows) -> ir.Model:
    return to_onnx(module, ROWS, {"rows": torch.from_numpy(rows())})


@pytest.fixture(scope="module")
def module() -> Rows:
    return Rows().requires_grad_(False)


def test_large_weights_are_stored_in_float16_and_small_ones_stay(module: Rows):
    graph = float32.store_float16(traced(module)).graph
    sizes = {value.const_value.size: value.dtype for value in graph.initializers.values()}
    assert sizes == {64 * 32: ir.DataType.FLOAT16, 32: ir.DataType.FLOAT}


def test_a_stored_graph_is_valid_onnx(module: Rows, tmp_path: Path):
    save(float32.store_float16(traced(module)), tmp_path / "rows.onnx")
    onnx.checker.check_model(tmp_path / "rows.onnx", full_check=True)


def test_a_stored_graph_still_computes_in_float32(module: Rows, tmp_path: Path):
    save(float32.store_float16(traced(module)), tmp_path / "rows.onnx")
    (found,) = open_session(tmp_path / "rows.onnx").run({"rows": rows()})
    halved = module.linear.weight.half().float()
    expected = torch.from_numpy(rows()) @ halved.T + module.linear.bias
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_weight_beyond_float16s_range_stays(module: Rows):
    model = traced(module)
    large = next(value for value in model.graph.initializers.values() if value.const_value.size == 64 * 32)
    large.const_value = ir.tensor(np.full((64, 32), 1e6, np.float32).reshape(large.const_value.shape), name=large.name)
    assert all(value.dtype == ir.DataType.FLOAT for value in float32.store_float16(model).graph.initializers.values())


def test_a_graph_without_large_weights_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, module: Rows):
    monkeypatch.setattr(float32, "MIN_STORED", 10_000)
    model = traced(module)
    nodes = len(model.graph)
    assert len(float32.store_float16(model).graph) == nodes
