"""Float16, operator by operator: what stays in float32, and what the rest gives."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import NodeProto

from clavilux.export.graphs.convert import save
from clavilux.export.graphs.float16 import HALF, Rules, keep, rounded, to_float16
from clavilux.export.graphs.value_ranges import measure_ranges
from clavilux.runtime.placement.devices import open_session
from tests.export.graphs.onnx_graphs import WIDTH, loaded, node, types, write_graph

FLOAT = ir.DataType.FLOAT
PLAIN = Rules((), {})


def numbers(seed: int = 0, scale: float = 1.0) -> NDArray[np.float32]:
    return (scale * np.random.default_rng(seed).standard_normal((2, WIDTH))).astype(np.float32)


def weight(seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((WIDTH, WIDTH)).astype(np.float32)


def halved(path: Path, rules: Rules = PLAIN) -> ir.Model:
    model = loaded(path)
    return to_float16(model, {one.node for one in keep(model.graph, rules)})


def run(model: ir.Model, path: Path, x: NDArray[np.float32]) -> NDArray[np.generic]:
    """Write, check and run `model`."""
    save(model, path)
    onnx.checker.check_model(path, full_check=True)
    return open_session(path).run({"x": x})[0]


def why(path: Path, rules: Rules = PLAIN) -> dict[str, str]:
    """Return the reason by name of every operator that stays."""
    return {one.node: one.why for one in keep(loaded(path).graph, rules)}


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    nodes = [node("MatMul", ["x", "w"], "m"), node("Tanh", ["m"], "t"), node("Mul", ["t", "t"], "y")]
    return write_graph(tmp_path / "linear.onnx", nodes, {"w": weight()})


def test_nothing_stays_without_a_reason(linear: Path):
    assert why(linear) == {}


def test_inputs_and_outputs_keep_their_names_and_types(linear: Path):
    graph = halved(linear).graph
    assert [(value.name, value.dtype) for value in (*graph.inputs, *graph.outputs)] == [("x", FLOAT), ("y", FLOAT)]


def test_what_lies_between_is_float16(linear: Path):
    found = types(halved(linear))
    assert {found["m"], found["t"]} == {HALF}


def test_weights_are_stored_in_float16_once_and_the_float32_ones_go(linear: Path):
    graph = halved(linear).graph
    assert {name: value.dtype for name, value in graph.initializers.items()} == {"w_float16": HALF}


def test_a_value_that_two_operators_take_passes_one_cast(tmp_path: Path):
    nodes = [node("Tanh", ["x"], "a"), node("Neg", ["x"], "b"), node("Add", ["a", "b"], "y")]
    graph = halved(write_graph(tmp_path / "g.onnx", nodes)).graph
    assert [one.op_type for one in graph].count("Cast") == 2


def test_a_graph_converts_to_valid_onnx_that_runs(linear: Path, tmp_path: Path):
    exact = open_session(linear).run({"x": numbers()})[0]
    found = run(halved(linear), tmp_path / "half.onnx", numbers())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=5e-3)


def test_an_output_that_the_graph_itself_goes_on_with_keeps_its_name(tmp_path: Path):
    nodes = [node("Tanh", ["x"], "first"), node("Mul", ["first", "first"], "y")]
    path = write_graph(tmp_path / "g.onnx", nodes, outputs=("first", "y"))
    model = halved(path)
    save(model, tmp_path / "half.onnx")
    onnx.checker.check_model(tmp_path / "half.onnx", full_check=True)
    assert [value.name for value in model.graph.outputs] == ["first", "y"]
    first, second = open_session(tmp_path / "half.onnx").run({"x": numbers()})
    np.testing.assert_allclose(second, first**2, atol=2e-3)


@pytest.fixture
def loud(tmp_path: Path) -> Path:
    """A square that overflows float16, and a root that brings it back: 300 in, 300 out."""
    nodes = [
        node("Mul", ["x", "x"], "square"),
        node("Sqrt", ["square"], "root"),
        node("Mul", ["root", "w"], "y"),
    ]
    return write_graph(tmp_path / "loud.onnx", nodes, {"w": np.float32(0.5)})


LOUD = np.full((2, WIDTH), 300, np.float32)


def test_what_reaches_beyond_float16_stays_as_measured(loud: Path, tmp_path: Path):
    ranges = measure_ranges(loud, [{"x": LOUD}], tmp_path)
    reasons = why(loud, Rules((), ranges))
    assert reasons == dict.fromkeys(("square", "root"), "reaches 9e+04; float16 ends at 65504")


def test_what_stays_gives_the_right_numbers_where_all_of_float16_would_overflow(loud: Path, tmp_path: Path):
    ranges = measure_ranges(loud, [{"x": LOUD}], tmp_path)
    found = run(rounded(halved(loud, Rules((), ranges))), tmp_path / "half.onnx", LOUD)
    np.testing.assert_array_equal(found, 150)


def test_the_rounded_twin_shows_an_overflow_that_the_cpu_hides(loud: Path, tmp_path: Path):
    plain = run(halved(loud), tmp_path / "half.onnx", LOUD)
    twin = run(rounded(halved(loud)), tmp_path / "twin.onnx", LOUD)
    assert np.isfinite(plain).all()
    assert np.isinf(twin).all()


@pytest.mark.parametrize(("peak", "stays"), [(8000.0, False), (9000.0, True), (np.inf, True)])
def test_there_is_headroom_below_the_end_of_float16(linear: Path, peak: float, stays: bool):
    assert ("m" in why(linear, Rules((), {"m": peak}))) is stays


def test_a_weight_beyond_float16_keeps_its_operator(tmp_path: Path):
    path = write_graph(tmp_path / "g.onnx", [node("Mul", ["x", "w"], "y")], {"w": np.float32([1e5])})
    assert why(path) == {"y": "reaches 1e+05; float16 ends at 65504"}
    assert {value.dtype for value in halved(path).graph.initializers.values()} == {FLOAT}


@pytest.mark.parametrize("operator", ["Sin", "Cos"])
def test_the_phases_before_a_sine_stay_with_all_they_come_from(tmp_path: Path, operator: str):
    nodes = [
        node("Mul", ["x", "w"], "phase"),
        node("Neg", ["phase"], "turned"),
        node(operator, ["turned"], "wave"),
        node("Mul", ["wave", "w"], "y"),
    ]
    path = write_graph(tmp_path / "g.onnx", nodes, {"w": np.float32(1.5)})
    assert list(why(path)) == ["phase", "turned", "wave"]
    assert all(reason.startswith("phases") for reason in why(path).values())


def test_a_timesteps_wave_is_exact_although_the_rest_is_float16(tmp_path: Path):
    path = write_graph(tmp_path / "g.onnx", [node("Sin", ["x"], "wave"), node("Neg", ["wave"], "y")])
    times = np.arange(2 * WIDTH, dtype=np.float32).reshape(2, WIDTH) + 983.3
    found = run(rounded(halved(path)), tmp_path / "half.onnx", times)
    np.testing.assert_allclose(found, -np.sin(times), atol=6e-4)
    assert np.abs(np.sin(times) - np.sin(times.astype(np.float16).astype(np.float32))).max() > 0.1


def test_pre_and_post_processing_stay(linear: Path):
    assert why(linear, Rules({"t"}, {})) == {"t": "pre- and post-processing around the model"}


def test_sums_over_many_elements_stay(tmp_path: Path):
    axes = np.array([1])
    path = write_graph(tmp_path / "g.onnx", [node("ReduceMean", ["x", "axes"], "y")], {"axes": axes})
    assert why(path) == {"y": "sums over many elements"}


def attention(path: Path) -> Path:
    nodes = [
        node("MatMul", ["x", "w"], "query"),
        node("Transpose", ["x"], "key", perm=[1, 0]),
        node("MatMul", ["query", "key"], "product"),
        node("Mul", ["product", "scale"], "scores"),
        node("Softmax", ["scores"], "shares", axis=-1),
        node("MatMul", ["shares", "x"], "y"),
    ]
    return write_graph(path, nodes, {"w": weight(), "scale": np.float32(0.35)})


def test_attention_scores_stay_where_the_model_asks_for_it(tmp_path: Path):
    path = attention(tmp_path / "g.onnx")
    assert list(why(path, Rules((), {}, upcast_attention=True))) == ["product", "scores", "shares"]
    assert why(path) == {}


def test_kept_scores_give_valid_onnx(tmp_path: Path):
    path = attention(tmp_path / "g.onnx")
    exact = open_session(path).run({"x": numbers()})[0]
    found = run(halved(path, Rules((), {}, upcast_attention=True)), tmp_path / "half.onnx", numbers())
    np.testing.assert_allclose(found, exact, atol=5e-3)


def picture_nodes() -> list[NodeProto]:
    return [
        node("Reshape", ["x", "shape"], "planes"),
        node("Resize", ["planes", "", "scales"], "large", mode="nearest"),
        node("Tanh", ["large"], "y"),
    ]


SHAPE = np.array([1, 1, 2, WIDTH])


def test_the_scales_of_a_resize_stay_float32(tmp_path: Path):
    weights = {"shape": SHAPE, "scales": np.float32([1, 1, 2, 2])}
    path = write_graph(tmp_path / "g.onnx", picture_nodes(), weights)
    model = halved(path)
    resize = next(one for one in model.graph if one.op_type == "Resize")
    assert [value.dtype for value in (resize.inputs[0], resize.inputs[2], resize.outputs[0])] == [HALF, FLOAT, HALF]
    assert run(model, tmp_path / "half.onnx", numbers()).shape == (1, 1, 4, 2 * WIDTH)


def test_scales_that_are_computed_reach_a_resize_in_float32(tmp_path: Path):
    weights = {"shape": SHAPE, "base": np.float32([1, 1, 1, 1]), "more": np.float32([0, 0, 1, 1])}
    path = write_graph(tmp_path / "g.onnx", [node("Add", ["base", "more"], "scales"), *picture_nodes()], weights)
    assert run(halved(path), tmp_path / "half.onnx", numbers()).shape == (1, 1, 4, 2 * WIDTH)


@pytest.mark.parametrize("rules", [PLAIN, Rules({"y"}, {})], ids=["converted", "kept"])
@pytest.mark.parametrize("value", [np.float32([0.25]), np.float32([[3.0]])])
def test_constants_among_the_nodes_give_valid_onnx(tmp_path: Path, rules: Rules, value: NDArray[np.float32]):
    constant = node("Constant", [], "c", value=onnx.numpy_helper.from_array(value))
    path = write_graph(tmp_path / "g.onnx", [constant, node("Mul", ["x", "c"], "y")])
    found = run(halved(path, rules), tmp_path / "half.onnx", numbers())
    np.testing.assert_allclose(found, numbers() * value, atol=5e-3)


def test_a_constant_of_a_shape_gives_valid_onnx(tmp_path: Path):
    filled = node("ConstantOfShape", ["shape"], "c", value=onnx.numpy_helper.from_array(np.float32([0.5])))
    path = write_graph(tmp_path / "g.onnx", [filled, node("Add", ["x", "c"], "y")], {"shape": np.array([2, 1])})
    found = run(halved(path), tmp_path / "half.onnx", numbers())
    np.testing.assert_allclose(found, numbers() + 0.5, atol=5e-3)


def test_whole_numbers_are_not_rounded_on_their_way_to_an_index(tmp_path: Path):
    nodes = [node("Cast", ["x"], "i", to=ir.DataType.INT64.value), node("Cast", ["i"], "y", to=FLOAT.value)]
    path = write_graph(tmp_path / "g.onnx", nodes)
    odd = np.arange(2 * WIDTH, dtype=np.float32).reshape(2, WIDTH) + 4097
    np.testing.assert_array_equal(run(halved(path), tmp_path / "half.onnx", odd), odd)


def test_a_comparison_gives_valid_onnx(tmp_path: Path):
    nodes = [
        node("Greater", ["x", "zero"], "above"),
        node("Tanh", ["x"], "t"),
        node("Where", ["above", "t", "zero"], "y"),
    ]
    path = write_graph(tmp_path / "g.onnx", nodes, {"zero": np.float32(0)})
    found = run(halved(path), tmp_path / "half.onnx", numbers())
    np.testing.assert_allclose(found, np.maximum(np.tanh(numbers()), 0), atol=2e-3)


Step = tuple[str, int, int]
TWO: dict[str, Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Max": np.maximum,
}
ONE: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "Abs": np.abs,
    "Neg": np.negative,
    "Relu": lambda x: np.maximum(x, np.float32(0)),
    "Floor": np.floor,
    "Transpose": lambda x: x[::-1].copy(),  # stands for any move: see `drawn`
    "Identity": lambda x: x,
}
STEPS = st.lists(
    st.tuples(st.sampled_from([*TWO, *ONE]), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8
)


def drawn(steps: Sequence[Step]) -> list[NodeProto]:
    """Return a graph in which every operator takes some of what came before; the last one gives `y`."""
    names, nodes = ["x"], []
    for index, (operator, first, second) in enumerate(steps):
        output = "y" if index == len(steps) - 1 else f"v{index}"
        inputs = [names[first % len(names)], names[second % len(names)]]
        if operator == "Transpose":  # turned upside down
            nodes.append(node("Gather", [inputs[0], "down"], output, axis=0))
        else:
            nodes.append(node(operator, inputs if operator in TWO else inputs[:1], output))
        names.append(output)
    return nodes


def simulated(steps: Sequence[Step], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what these steps give when every result is rounded to float16."""

    def half(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return array.astype(np.float16).astype(np.float32)

    values = [half(x)]
    with np.errstate(all="ignore"):
        for operator, first, second in steps:
            one, other = values[first % len(values)], values[second % len(values)]
            values.append(half(TWO[operator](one, other) if operator in TWO else ONE[operator](one)))
    return values[-1]


@given(steps=STEPS, seed=st.integers(0, 5), scale=st.sampled_from([1e-3, 1.0, 200.0]))
@settings(max_examples=60, deadline=None)
def test_the_rounded_twin_rounds_after_every_operator(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step], seed: int, scale: float
):
    folder = tmp_path_factory.getbasetemp()
    path = write_graph(folder / "drawn.onnx", drawn(steps), {"down": np.array([1, 0])})
    found = run(rounded(halved(path)), folder / "twin.onnx", numbers(seed, scale))
    np.testing.assert_array_equal(found, simulated(steps, numbers(seed, scale)))


@given(steps=STEPS, kept=st.sets(st.integers(0, 7)))
@settings(max_examples=30, deadline=None)
def test_any_choice_of_what_stays_gives_valid_onnx_near_the_exact_result(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step], kept: set[int]
):
    folder = tmp_path_factory.getbasetemp()
    nodes = drawn([step for step in steps if step[0] != "Floor"] or [("Add", 0, 0)])
    path = write_graph(folder / "kept.onnx", nodes, {"down": np.array([1, 0])})
    model = to_float16(loaded(path), {one.name for index, one in enumerate(nodes) if index in kept})
    exact = open_session(path).run({"x": numbers(scale=0.5)})[0]
    found = run(rounded(model), folder / "half.onnx", numbers(scale=0.5))
    np.testing.assert_allclose(found, exact, rtol=0.02, atol=0.02)
