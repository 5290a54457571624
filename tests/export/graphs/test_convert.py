"""Tracing graphs and storing their weights."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from clavilux.export.graphs import convert
from clavilux.export.parity.prove import Case, Proof, Workshop
from clavilux.export.spec import Axis, Component, Gate, Port
from clavilux.runtime.errors import ExportError
from clavilux.runtime.providers.session import open_session

ROWS = Component(
    name="rows",
    file="rows.onnx",
    inputs=(Port("rows", ("batch", "length", 64)),),
    outputs=(Port("sums", ("batch", "length", 32)),),
    exact=(Gate("max_abs_error", 1e-3),),
    stored=(Gate("relative_l2", 0.01),),
    open_axes=(Axis("length", 2, 10),),
)


class Rows(nn.Module):
    """A linear map, with one weight to store in float16 and one bias to leave."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(64, 32)

    def forward(self, rows: Tensor) -> Tensor:
        return self.linear(rows)


def rows(length: int = 5) -> np.ndarray:
    return np.random.default_rng(length).standard_normal((1, length, 64)).astype(np.float32)


def traced(module: nn.Module) -> ir.Model:
    return convert.to_onnx(module, ROWS, {"rows": torch.from_numpy(rows())})


@pytest.fixture(scope="module")
def module() -> Rows:
    return Rows().requires_grad_(False)


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return workshop(tmp_path)


def workshop(folder: Path, storage: str = "float16", arithmetic: str = "float32") -> Workshop:
    (folder / "scratch").mkdir()
    return Workshop(folder, folder / "scratch", storage, arithmetic, lambda _: None, Proof())


def make(shop: Workshop, module: nn.Module, cases: list[Case]) -> None:
    shop.prove(shop.trace(ROWS, deepcopy(module), cases))  # tracing takes the weights


def case(module: Rows, length: int = 5) -> Case:
    return Case({"rows": rows(length)}, [module(torch.from_numpy(rows(length))).numpy()])


def test_a_traced_module_holds_no_memory(module: Rows, shop: Workshop):
    taken = deepcopy(module)
    shop.trace(ROWS, taken, [case(module)])
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


def test_large_weights_are_stored_in_half_and_small_ones_stay(module: Rows):
    graph = convert.store_half(traced(module)).graph
    sizes = {value.const_value.size: value.dtype for value in graph.initializers.values()}
    assert sizes == {64 * 32: ir.DataType.FLOAT16, 32: ir.DataType.FLOAT}


def test_a_stored_graph_is_valid_onnx(module: Rows, tmp_path: Path):
    convert.save(convert.store_half(traced(module)), tmp_path / "rows.onnx")
    onnx.checker.check_model(tmp_path / "rows.onnx", full_check=True)


def test_a_stored_graph_still_computes_in_float32(module: Rows, tmp_path: Path):
    convert.save(convert.store_half(traced(module)), tmp_path / "rows.onnx")
    (found,) = open_session(tmp_path / "rows.onnx").run({"rows": rows()})
    halved = module.linear.weight.half().float()
    expected = torch.from_numpy(rows()) @ halved.T + module.linear.bias
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_weight_beyond_halfs_range_stays(module: Rows):
    model = traced(module)
    large = next(value for value in model.graph.initializers.values() if value.const_value.size == 64 * 32)
    large.const_value = ir.tensor(np.full((64, 32), 1e6, np.float32).reshape(large.const_value.shape), name=large.name)
    assert all(value.dtype == ir.DataType.FLOAT for value in convert.store_half(model).graph.initializers.values())


def test_a_graph_without_large_weights_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, module: Rows):
    monkeypatch.setattr(convert, "SMALLEST_STORED", 10_000)
    model = traced(module)
    nodes = len(model.graph)
    assert len(convert.store_half(model).graph) == nodes


def test_weights_beyond_one_file_go_beside_it(module: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(convert, "LARGEST_SINGLE_FILE", 1000)
    convert.save(traced(module), tmp_path / "rows.onnx")
    assert (tmp_path / "rows.onnx.data").stat().st_size >= 64 * 32 * 4
    assert open_session(tmp_path / "rows.onnx").run({"rows": rows()})[0].shape == (1, 5, 32)


def test_what_cannot_be_traced_is_named_in_one_line():
    class Undecided(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            return rows if rows.sum() > 0 else -rows

    with pytest.raises(ExportError, match=r"^rows cannot be traced: (?!.*Next steps)[^\n\x1b]+$"):
        traced(Undecided())


def test_a_made_graph_lies_in_the_bundle_with_its_figures(module: Rows, shop: Workshop):
    make(shop, module, [case(module), case(module, 7)])
    assert (shop.folder / "rows.onnx").is_file()
    assert [figure.component for figure in shop.proof.figures] == ["rows", "rows, stored"]


def test_float32_storage_changes_nothing(module: Rows, tmp_path: Path):
    shop = workshop(tmp_path, "float32")
    make(shop, module, [case(module)])
    assert shop.proof.figures[-1].value == 0


def test_a_graph_that_differs_from_its_original_is_refused(module: Rows, shop: Workshop):
    wrong = Case({"rows": rows()}, [case(module).expected[0] + 1])
    with pytest.raises(ExportError, match=r"rows: max_abs_error is 1; expected at most 0.001"):
        make(shop, module, [wrong])


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
