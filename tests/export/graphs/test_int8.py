"""8-bit matrix products, and whether they are faster."""

import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic

from clavilux.export.graphs import convert, int8
from clavilux.export.spec import Component, Gate, Port
from clavilux.runtime.placement.devices import open_session
from tests.export.graphs.onnx_graphs import WIDTH, node, numbers, write_graph, write_product

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
        self.runs, self.cold = 0, True

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        self.clock.now += self.warms_up if self.cold else self.seconds
        self.runs, self.cold = self.runs + 1, False
        return self.outputs


def loading(*sessions: FakeSession) -> list[Callable[[], FakeSession]]:
    """Return what gives these sessions, each of which warms up anew when it is loaded."""

    def loader(session: FakeSession) -> Callable[[], FakeSession]:
        def load() -> FakeSession:
            session.cold = True
            return session

        return load

    return [loader(session) for session in sessions]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(int8, "time", clock)
    return clock


@pytest.mark.parametrize(("seconds", "faster"), [(0.5, True), (0.9, True), (0.97, False), (1.0, False), (2.0, False)])
def test_it_is_worth_having_when_it_is_faster_by_more_than_noise(clock: FakeClock, seconds: float, faster: bool):
    verdict = int8.compare_with(ROWS, {}, *loading(FakeSession(clock, 1.0), FakeSession(clock, seconds)))
    assert verdict.faster is faster
    assert verdict.why == f"rows runs at {1 / seconds:.2f} times its float32 speed here"


def test_both_run_equally_often_and_the_first_run_does_not_count(clock: FakeClock):
    exact, smaller = FakeSession(clock, 1.0), FakeSession(clock, 0.5)
    int8.compare_with(ROWS, {}, *loading(exact, smaller))
    assert exact.runs == smaller.runs == int8.TURNS * (1 + int8.MIN_RUNS)


def test_quick_graphs_run_until_there_is_something_to_measure(clock: FakeClock):
    exact, smaller = FakeSession(clock, 0.001, warms_up=0.001), FakeSession(clock, 0.001, warms_up=0.001)
    int8.compare_with(ROWS, {}, *loading(exact, smaller))
    assert clock.now == pytest.approx(2 * int8.TURNS * int8.MIN_SECONDS, rel=0.01)


def test_one_graph_is_in_memory_at_a_time(clock: FakeClock):
    loaded: list[weakref.ref[FakeSession]] = []

    def load() -> FakeSession:
        assert not any(one() for one in loaded), "the one before is still there"
        session = FakeSession(clock, 1.0)
        loaded.append(weakref.ref(session))
        return session

    int8.compare_with(ROWS, {}, lambda: load(), lambda: load())
    assert len(loaded) == 2 * int8.TURNS


@pytest.fixture
def exact(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return write_product(tmp_path / "scratch" / "rows.onnx")


def test_matrix_products_become_eight_bits_and_stay_close(exact: Path, tmp_path: Path):
    int8.quantise(exact, tmp_path / "small.onnx")
    kinds = {one.op_type for one in onnx.load(tmp_path / "small.onnx").graph.node}
    assert "MatMulInteger" in kinds
    (expected,), (found,) = (open_session(path).run({"x": numbers()}) for path in (exact, tmp_path / "small.onnx"))
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_the_weights_have_a_scale_per_channel(exact: Path, tmp_path: Path):
    int8.quantise(exact, tmp_path / "small.onnx")
    weights = {one.name: list(one.dims) for one in onnx.load(tmp_path / "small.onnx").graph.initializer}
    assert weights["w_scale"] == [WIDTH]


def weight(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((WIDTH, WIDTH)).astype(np.float32)


WEIGHTS = {"w": weight(1), "v": weight(2) * np.geomspace(1e-6, 1e3, WIDTH, dtype=np.float32), "b": weight(3)[0]}
PRODUCTS = {
    "one": [node("MatMul", ["x", "w"], "y")],
    "channels of all sizes": [node("MatMul", ["x", "v"], "y")],
    "one activation, two weights": [
        node("MatMul", ["x", "w"], "a"),
        node("MatMul", ["x", "v"], "c"),
        node("Add", ["a", "c"], "y"),
    ],
    "one weight twice": [node("MatMul", ["x", "w"], "a"), node("MatMul", ["a", "w"], "y")],
    "Gemm": [node("Gemm", ["x", "w", "b"], "y")],
    "Gemm, transposed": [node("Gemm", ["x", "w", "b"], "y", transB=1)],
    "Gemm without a bias": [node("Gemm", ["x", "w"], "y", transB=1)],
    "a weight both ways": [node("Gemm", ["x", "w"], "a", transB=1), node("MatMul", ["a", "w"], "y")],
}


@pytest.mark.parametrize("nodes", PRODUCTS.values(), ids=PRODUCTS)
def test_products_are_those_of_onnx_runtimes_own_quantiser(nodes: list[onnx.NodeProto], tmp_path: Path):
    used = {name for one in nodes for name in one.input}
    exact = write_graph(tmp_path / "exact.onnx", nodes, {name: WEIGHTS[name] for name in used & set(WEIGHTS)})
    int8.quantise(exact, tmp_path / "ours.onnx")
    how = {"op_types_to_quantize": ["MatMul", "Gemm"], "per_channel": True, "weight_type": QuantType.QInt8}
    quantize_dynamic(exact, tmp_path / "theirs.onnx", **how)
    ours, theirs = (open_session(tmp_path / f"{which}.onnx").run({"x": numbers()})[0] for which in ("ours", "theirs"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "left",
    [
        node("Gemm", ["x", "w", "b"], "y", alpha=0.5),
        node("Gemm", ["x", "w", "b"], "y", beta=2.0),
        node("MatMul", ["w", "v"], "y"),
        node("MatMul", ["x", "r"], "y"),
    ],
    ids=["alpha", "beta", "two weights", "an activation"],
)
def test_another_product_stays_as_it_is(left: onnx.NodeProto, tmp_path: Path):
    nodes = [node("Reshape", ["x", "shape"], "r"), left]
    exact = write_graph(tmp_path / "exact.onnx", nodes, WEIGHTS | {"shape": np.array([WIDTH, 2])})
    int8.quantise(exact, tmp_path / "small.onnx")
    (expected,), (found,) = (open_session(path).run({"x": numbers()}) for path in (exact, tmp_path / "small.onnx"))
    np.testing.assert_array_equal(found, expected)


def test_an_activation_is_measured_once_for_all_its_products(tmp_path: Path):
    exact = write_graph(tmp_path / "exact.onnx", PRODUCTS["one activation, two weights"], WEIGHTS)
    int8.quantise(exact, tmp_path / "small.onnx")
    found = [one.op_type for one in onnx.load(tmp_path / "small.onnx").graph.node]
    assert (found.count("DynamicQuantizeLinear"), found.count("MatMulInteger")) == (1, 2)


def test_a_weight_that_is_also_a_result_stays(tmp_path: Path):
    nodes = [node("MatMul", ["x", "w"], "y")]
    exact = write_graph(tmp_path / "exact.onnx", nodes, {"w": WEIGHTS["w"]})
    model = onnx.load(exact)
    model.graph.output.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [WIDTH, WIDTH]))
    onnx.save(model, exact)
    int8.quantise(exact, tmp_path / "small.onnx")
    np.testing.assert_array_equal(open_session(tmp_path / "small.onnx").run({"x": numbers()})[1], WEIGHTS["w"])


def test_a_weight_that_may_be_given_is_not_quantised(tmp_path: Path):
    exact = write_graph(tmp_path / "exact.onnx", [node("MatMul", ["x", "w"], "y")], {"w": WEIGHTS["w"]})
    model = onnx.load(exact)
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [WIDTH, WIDTH]))
    onnx.save(model, exact)
    int8.quantise(exact, tmp_path / "small.onnx")
    assert [one.op_type for one in onnx.load(tmp_path / "small.onnx").graph.node] == ["MatMul"]


def test_names_that_are_taken_are_not_taken_again(tmp_path: Path):
    nodes = [node("MatMul", ["x", "w"], "a"), node("Add", ["a", "w_scale"], "y")]
    exact = write_graph(tmp_path / "exact.onnx", nodes, {"w": WEIGHTS["w"], "w_scale": WEIGHTS["b"]})
    int8.quantise(exact, tmp_path / "small.onnx")
    (expected,), (found,) = (open_session(path).run({"x": numbers()}) for path in (exact, tmp_path / "small.onnx"))
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_a_channel_of_zeros_stays_zero(tmp_path: Path):
    zeros = weight(1) * (np.arange(WIDTH) > 0).astype(np.float32)
    exact = write_graph(tmp_path / "exact.onnx", [node("MatMul", ["x", "w"], "y")], {"w": zeros})
    int8.quantise(exact, tmp_path / "small.onnx")
    found = open_session(tmp_path / "small.onnx").run({"x": numbers()})[0]
    np.testing.assert_array_equal(found[:, 0], 0)
    assert np.isfinite(found).all()


def test_weights_beside_the_graph_go_beside_the_smaller_one(
    exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(convert, "MAX_SINGLE_FILE", 10)
    convert.save(ir.load(exact), tmp_path / "large.onnx")
    int8.quantise(tmp_path / "large.onnx", tmp_path / "small.onnx")
    assert open_session(tmp_path / "small.onnx").run({"x": numbers()})[0].shape == (2, WIDTH)
