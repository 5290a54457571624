"""The way of one component into the bundle: what is written, what is proved, and when 8 bits are taken."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from clavilux.export.finish import finish
from clavilux.export.graphs import convert, float32, int8
from clavilux.export.graphs.convert import Case, Traced, trace
from clavilux.export.options import Options
from clavilux.export.parity import prove
from clavilux.export.proof import Proof
from clavilux.export.spec import Component, Gate, Port
from clavilux.runtime.bundle.manifest import ArithmeticChoice
from clavilux.runtime.errors import ExportError
from clavilux.runtime.placement.devices import open_session
from tests.export.graphs.onnx_graphs import WIDTH, node, numbers, write_graph, write_product
from tests.export.graphs.rows import ROWS, Rows, case, rows

PRODUCT = Component(
    name="rows",
    file="rows.onnx",
    inputs=(Port("x", (2, WIDTH)),),
    outputs=(Port("y", (2, WIDTH)),),
    exact=(Gate("max_abs_error", 1e-3),),
    stored=(Gate("relative_l2", 0.05),),
)


def options(**changes: Any) -> Options:
    return Options(name="made", licence="none", **changes)


def made_of(module: Rows, cases: list[Case], folder: Path, **changes: Any) -> Proof:
    """Trace and finish a copy of the module: tracing takes the weights."""
    (folder / "scratch").mkdir()
    proof = Proof()
    traced = trace(ROWS, deepcopy(module), cases, folder / "scratch")
    finish(traced, folder, options(**changes), proof, lambda _: None)
    return proof


@pytest.fixture(scope="module")
def module() -> Rows:
    return Rows().requires_grad_(False)


def test_a_finished_graph_lies_in_the_bundle_with_its_figures(module: Rows, tmp_path: Path):
    proof = made_of(module, [case(module), case(module, 7)], tmp_path)
    assert (tmp_path / "rows.onnx").is_file()
    assert [figure.component for figure in proof.figures] == ["rows", "rows, stored"]


def test_float32_storage_changes_nothing(module: Rows, tmp_path: Path):
    assert made_of(module, [case(module)], tmp_path, storage="float32").figures[-1].value == 0


def test_a_graph_that_differs_from_its_original_is_refused(module: Rows, tmp_path: Path):
    wrong = Case({"rows": rows()}, [case(module).expected[0] + 1])
    with pytest.raises(ExportError, match=r"rows: max_abs_error is 1; expected at most 0.001"):
        made_of(module, [wrong], tmp_path)


def test_8_bits_are_not_tried_where_most_weights_are_in_no_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    weights = {"w": np.ones((WIDTH, WIDTH), np.float32), "kernel": np.ones((80, 1, 3, 3), np.float32)}
    nodes = [node("MatMul", ["x", "w"], "y"), node("Identity", ["kernel"], "k")]
    (tmp_path / "scratch").mkdir()
    exact = write_graph(tmp_path / "scratch" / "rows.onnx", nodes, weights)
    (expected,) = open_session(exact).run({"x": numbers()})
    monkeypatch.setattr(int8, "store", None)
    proof, said = Proof(), []
    traced = Traced(PRODUCT, exact, [Case({"x": numbers()}, [expected])])
    finish(traced, tmp_path, options(arithmetic="int8"), proof, said.append)
    assert proof.choices == [ArithmeticChoice("rows", "float32", "only 8% of its weights are in matrix products")]
    assert "rows: float32, for only 8% of its weights are in matrix products" in said


class FakeSession:
    """A session that gives what a test says."""

    provider = "fake"

    def __init__(self, *outputs: NDArray[np.generic]) -> None:
        self.outputs = list(outputs)

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        return self.outputs


@pytest.fixture
def exact(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return write_product(tmp_path / "scratch" / "rows.onnx")


def made(
    exact: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, faster: bool, error: float = 0.0
) -> SimpleNamespace:
    """Finish the graph where its 8-bit one is as fast and as far off as a test says."""
    (expected,) = open_session(exact).run({"x": numbers()})
    smaller = FakeSession(expected + np.float32(error))
    opened = prove.open_session

    def open_fake(path: Path) -> object:
        quantised = path.parent == folder and "MatMulInteger" in {one.op_type for one in onnx.load(path).graph.node}
        return smaller if quantised else opened(path)

    monkeypatch.setattr(prove, "open_session", open_fake)
    verdict = int8.Verdict(faster, "rows runs at some speed")
    monkeypatch.setattr(int8, "compare_with", lambda *_: verdict)
    told: list[str] = []
    proof, traced = Proof(), Traced(PRODUCT, exact, [Case({"x": numbers()}, [expected])])
    session = finish(traced, folder, options(arithmetic="int8"), proof, told.append)
    return SimpleNamespace(session=session, proof=proof, told=told, smaller=smaller, file=folder / "rows.onnx")


def test_it_is_taken_when_it_is_faster_and_as_good(exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = made(exact, tmp_path, monkeypatch, faster=True)
    assert found.session is found.smaller
    assert found.proof.choices == [ArithmeticChoice("rows", "int8", "rows runs at some speed")]
    assert [figure.component for figure in found.proof.figures] == ["rows", "rows, int8"]
    assert "MatMulInteger" in {one.op_type for one in onnx.load(found.file).graph.node}


def test_what_is_not_faster_is_left_with_its_reason(exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = made(exact, tmp_path, monkeypatch, faster=False)
    assert found.proof.choices == [ArithmeticChoice("rows", "float32", "rows runs at some speed")]
    assert [figure.component for figure in found.proof.figures] == ["rows", "rows, stored"]
    assert {one.op_type for one in onnx.load(found.file).graph.node} == {"MatMul"}
    assert "rows: float32, for int8 rows runs at some speed" in found.told


def test_what_is_faster_but_not_as_good_is_left_with_its_figure(
    exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    found = made(exact, tmp_path, monkeypatch, faster=True, error=1.0)
    (choice,) = found.proof.choices
    assert choice.arithmetic == "float32"
    assert "rows runs at some speed; rows, int8: relative_l2 is" in choice.why
    assert "\n" not in choice.why
    assert {one.op_type for one in onnx.load(found.file).graph.node} == {"MatMul"}


def test_a_refused_graph_leaves_no_weights_behind(exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(convert, "MAX_SINGLE_FILE", 200)  # float32 lies beside its graph, float16 in it
    large = tmp_path / "scratch" / "large.onnx"
    convert.save(ir.load(exact), large)
    monkeypatch.setattr(float32, "MIN_STORED", 10)
    made(large, tmp_path, monkeypatch, faster=False)
    assert [path.name for path in tmp_path.glob("rows.onnx*")] == ["rows.onnx"]
