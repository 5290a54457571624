"""8-bit matrix products: taken where they are faster and as good, else told why not."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from clavilux.export.graphs import convert, int8
from clavilux.export.parity import prove
from clavilux.export.parity.prove import Case, Proof, Traced, Workshop
from clavilux.export.spec import Component, Gate, Port
from clavilux.runtime.bundle.manifest import Choice
from clavilux.runtime.providers.session import open_session
from tests.export.graphs.onnx_graphs import WIDTH, node, write_graph

ROWS = Component(
    name="rows",
    file="rows.onnx",
    inputs=(Port("x", (2, WIDTH)),),
    outputs=(Port("y", (2, WIDTH)),),
    exact=(Gate("max_abs_error", 1e-3),),
    stored=(Gate("relative_l2", 0.05),),
)


class FakeClock:
    """A time that only fake sessions move."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class FakeSession:
    """A session whose every run takes as long as a test says; the first, which warms up, much longer."""

    provider = "fake"

    def __init__(
        self, clock: FakeClock, seconds: float, *outputs: NDArray[np.generic], warms_up: float = 100.0
    ) -> None:
        self.clock, self.seconds, self.outputs, self.warms_up = clock, seconds, list(outputs), warms_up
        self.runs = 0

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        self.clock.now += self.seconds if self.runs else self.warms_up
        self.runs += 1
        return self.outputs


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(int8, "time", clock)
    return clock


@pytest.mark.parametrize(("seconds", "faster"), [(0.5, True), (0.9, True), (0.97, False), (1.0, False), (2.0, False)])
def test_it_is_worth_having_when_it_is_faster_by_more_than_noise(clock: FakeClock, seconds: float, faster: bool):
    verdict = int8.compare_with(ROWS, {}, FakeSession(clock, 1.0), FakeSession(clock, seconds))
    assert verdict.faster is faster
    assert verdict.why == f"rows runs at {1 / seconds:.2f} times its float32 speed here"


def test_both_run_equally_often_and_the_first_run_does_not_count(clock: FakeClock):
    exact, smaller = FakeSession(clock, 1.0), FakeSession(clock, 0.5)
    int8.compare_with(ROWS, {}, exact, smaller)
    assert exact.runs == smaller.runs > int8.FEWEST_RUNS


def test_quick_graphs_run_until_there_is_something_to_measure(clock: FakeClock):
    exact, smaller = FakeSession(clock, 0.001, warms_up=0.001), FakeSession(clock, 0.001, warms_up=0.001)
    int8.compare_with(ROWS, {}, exact, smaller)
    assert clock.now == pytest.approx(int8.LEAST_SECONDS, rel=0.01)


def rows() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((2, WIDTH)).astype(np.float32)


@pytest.fixture
def exact(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    weight = np.random.default_rng(1).standard_normal((WIDTH, WIDTH)).astype(np.float32)
    return write_graph(tmp_path / "scratch" / "rows.onnx", [node("MatMul", ["x", "w"], "y")], {"w": weight})


def test_matrix_products_become_eight_bits_and_stay_close(exact: Path, tmp_path: Path):
    int8.quantise(exact, tmp_path / "small.onnx")
    kinds = {one.op_type for one in onnx.load(tmp_path / "small.onnx").graph.node}
    assert "MatMulInteger" in kinds
    (expected,), (found,) = (open_session(path).run({"x": rows()}) for path in (exact, tmp_path / "small.onnx"))
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_the_weights_have_a_scale_per_channel(exact: Path, tmp_path: Path):
    int8.quantise(exact, tmp_path / "small.onnx")
    weights = {one.name: list(one.dims) for one in onnx.load(tmp_path / "small.onnx").graph.initializer}
    assert weights["w_scale"] == [WIDTH]


def test_weights_beside_the_graph_go_beside_the_smaller_one(
    exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(convert, "LARGEST_SINGLE_FILE", 10)
    convert.save(ir.load(exact), tmp_path / "large.onnx")
    int8.quantise(tmp_path / "large.onnx", tmp_path / "small.onnx")
    assert open_session(tmp_path / "small.onnx").run({"x": rows()})[0].shape == (2, WIDTH)


def made(
    exact: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, faster: bool, error: float = 0.0
) -> SimpleNamespace:
    """Prove the graph in a workshop whose 8-bit graph is as fast and as far off as a test says."""
    (expected,) = open_session(exact).run({"x": rows()})
    smaller = FakeSession(FakeClock(), 0.0, expected + np.float32(error))
    opened = prove.open_session

    def open_fake(path: Path) -> object:
        quantised = path.parent == folder and "MatMulInteger" in {one.op_type for one in onnx.load(path).graph.node}
        return smaller if quantised else opened(path)

    monkeypatch.setattr(prove, "open_session", open_fake)
    verdict = int8.Verdict(faster, "rows runs at some speed")
    monkeypatch.setattr(int8, "compare_with", lambda *_: verdict)
    told: list[str] = []
    shop = Workshop(folder, folder / "scratch", "float16", "int8", told.append, Proof())
    session = shop.prove(Traced(ROWS, exact, [Case({"x": rows()}, [expected])]))
    return SimpleNamespace(session=session, proof=shop.proof, told=told, smaller=smaller, file=folder / "rows.onnx")


def test_it_is_taken_when_it_is_faster_and_as_good(exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = made(exact, tmp_path, monkeypatch, faster=True)
    assert found.session is found.smaller
    assert found.proof.choices == [Choice("rows", "int8", "rows runs at some speed")]
    assert [figure.component for figure in found.proof.figures] == ["rows", "rows, int8"]
    assert "MatMulInteger" in {one.op_type for one in onnx.load(found.file).graph.node}


def test_what_is_not_faster_is_left_with_its_reason(exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = made(exact, tmp_path, monkeypatch, faster=False)
    assert found.proof.choices == [Choice("rows", "float32", "rows runs at some speed")]
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
    monkeypatch.setattr(convert, "LARGEST_SINGLE_FILE", 200)  # float32 lies beside its graph, float16 in it
    large = tmp_path / "scratch" / "large.onnx"
    convert.save(ir.load(exact), large)
    monkeypatch.setattr(convert, "SMALLEST_STORED", 10)
    made(large, tmp_path, monkeypatch, faster=False)
    assert [path.name for path in tmp_path.glob("rows.onnx*")] == ["rows.onnx"]
