"""8-bit matrix products for CPUs: weights per channel, activations measured as they come (dynamic quantisation).

The graph becomes what ONNX Runtime's own quantiser makes of it (`onnxruntime.quantization.quantize_dynamic`), which
holds all weights several times: too much for a UNet of the usual size. Convolutions stay in float32: 8-bit ones are
slower on CPUs. Whether it helps depends on the processor and the model, so that it is measured, and taken only if it is
faster.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from clavilux.export.graphs.convert import Traced, free_memory, release, save
from clavilux.export.spec import Component
from clavilux.runtime.providers.session import Session

OPERATORS = ("MatMul", "Gemm")
MATRIX = 2  # axes
MOST = 127  # of a weight in int8, either way
TURNS = 2  # of each graph
MIN_RUNS = 2  # in a turn; a large graph takes seconds
MIN_SECONDS = 0.8  # s spent in a turn
MIN_SHARE = 0.1  # of a graph's weights: where fewer are in matrix products, the others take the time
WORTH = 1.1  # times as fast, at least: what is less is noise, and 8 bits cost a little of the picture

Opener = Callable[[], Session]
"""Loads a graph."""


@dataclass(frozen=True)
class Verdict:
    """Whether the 8-bit graph is worth having."""

    faster: bool
    why: str


def share_of_products(graph: Path) -> float:
    """Return which share of the weights of the float32 graph at `graph` is in matrix products, 0 to 1."""
    model = ir.load(graph)
    sizes = {value: value.const_value.size for value in model.graph.initializers.values() if value.const_value}
    products = {product.weight for node in model.graph if (product := _product(node)) is not None}
    return sum(sizes[weight] for weight in products) / max(1, sum(sizes.values()))


def store(traced: Traced, path: Path) -> None:
    """Write the graph to `path` with 8-bit matrix products."""
    quantise(traced.exact, path)
    free_memory()


def discard(path: Path) -> None:
    """Delete the graph at `path`, and the weights beside it."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def quantise(exact: Path, out: Path) -> None:
    """Write the float32 graph at `exact` to `out` with 8-bit matrix products.

    One weight is in memory at a time, and the smaller ones until they are written.
    """
    model = ir.load(exact)
    _Quantising(model.graph).run()
    save(model, out)
    release(model)


class _Quantising:
    """The state of one quantisation: weights and activations that have become 8 bits by now, each once."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.weights: dict[tuple[ir.Value, bool], tuple[ir.Value, ir.Value]] = {}
        self.activations: dict[ir.Value, Sequence[ir.Value]] = {}

    def run(self) -> None:
        """Turn every product of an activation and a weight to 8 bits, in place."""
        for node in list(self.graph):
            if (product := _product(node)) is not None:
                self._replace(node, product)
        for name, value in list(self.graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                self.graph.initializers.pop(name)

    def _replace(self, node: ir.Node, product: "_Product") -> None:
        """Put in place of a node: y = (A_8 x W_8) scale_A scale_W + bias, the pattern that ONNX Runtime fuses."""
        weight, scale = self._weight(product)
        activation, activation_scale, activation_zero = self._activation(product.activation, node)
        new = [
            ir.node("MatMulInteger", [activation, weight, activation_zero]),
            ir.node("Mul", [activation_scale, scale]),
        ]
        new.append(ir.node("Cast", [new[0].outputs[0]], attributes={"to": ir.DataType.FLOAT.value}))
        new.append(ir.node("Mul", [new[2].outputs[0], new[1].outputs[0]]))
        if product.bias is not None:
            new.append(ir.node("Add", [new[3].outputs[0], product.bias]))
        old, result = node.outputs[0], new[-1].outputs[0]
        result.type, result.shape, result.name = old.type, old.shape, old.name
        old.name = None
        ir.convenience.replace_nodes_and_values(self.graph, node, [node], new, [old], [result])

    def _weight(self, product: "_Product") -> tuple[ir.Value, ir.Value]:
        """Return a weight as int8 [K, N] and its scales float32 [N]; symmetric, so that no zero point is needed."""
        key = (product.weight, product.transposed)
        if key not in self.weights:
            tensor = product.weight.const_value
            assert tensor is not None  # noqa: S101 - `_product` has looked
            array = tensor.numpy().T if product.transposed else tensor.numpy()
            scale = np.maximum(np.abs(array).max(axis=0), np.finfo(np.float32).tiny * MOST) / np.float32(MOST)
            small = np.ascontiguousarray(np.rint(array / scale).astype(np.int8))
            del array
            if isinstance(tensor, ir.ExternalTensor):
                tensor.release()
            name = f"{product.weight.name}{'_transposed' if product.transposed else ''}"
            self.weights[key] = self._stored(f"{name}_quantized", small), self._stored(f"{name}_scale", scale)
        return self.weights[key]

    def _activation(self, value: ir.Value, before: ir.Node) -> Sequence[ir.Value]:
        """Return an activation as uint8, its scale and its zero point, measured once however many products take it."""
        if value not in self.activations:
            node = ir.node("DynamicQuantizeLinear", [value], num_outputs=3)
            self.graph.insert_before(before, node)
            self.activations[value] = node.outputs
        return self.activations[value]

    def _stored(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        while name in self.graph.initializers:
            name += "_"
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.register_initializer(value)
        return value


@dataclass(frozen=True)
class _Product:
    """A matrix product of an activation [..., K] and a weight [K, N], or its transpose [N, K]."""

    activation: ir.Value
    weight: ir.Value
    transposed: bool = False
    bias: ir.Value | None = None


def _product(node: ir.Node) -> _Product | None:
    """Return what `node` multiplies, or None when it is no product of an activation and a weight."""
    if node.op_type not in OPERATORS or node.domain or node.inputs[0] is None or not _is_matrix(node.inputs[1]):
        return None
    activation, weight = node.inputs[0], node.inputs[1]
    assert weight is not None  # noqa: S101 - it is a matrix
    if activation.is_initializer():
        return None
    if node.op_type == "MatMul":
        return _Product(activation, weight)
    told = {name: attribute.value for name, attribute in node.attributes.items()}
    if told.get("transA", 0) or told.get("alpha", 1.0) != 1.0 or told.get("beta", 1.0) != 1.0:
        return None
    return _Product(activation, weight, bool(told.get("transB", 0)), node.inputs[2] if len(node.inputs) > 2 else None)


def _is_matrix(value: ir.Value | None) -> bool:
    constant = value is not None and value.is_initializer() and not value.is_graph_input()
    tensor = value.const_value if value is not None and constant else None
    return tensor is not None and tensor.dtype == ir.DataType.FLOAT and len(tensor.shape) == MATRIX


def compare_with(
    component: Component, inputs: Mapping[str, NDArray[np.generic]], exact: Opener, smaller: Opener
) -> Verdict:
    """Return whether what `smaller` loads is faster than what `exact` does, on the same inputs.

    They take turns, so that what slows the machine slows both; only one is in memory at a time.
    """
    seconds: dict[Opener, list[float]] = {exact: [], smaller: []}
    for _ in range(TURNS):
        for load, times in seconds.items():
            times += _timed(load(), inputs)
            free_memory()
    speed = median(seconds[exact]) / median(seconds[smaller])
    return Verdict(speed >= WORTH, f"{component.name} runs at {speed:.2f} times its float32 speed here")


def _timed(session: Session, inputs: Mapping[str, NDArray[np.generic]]) -> list[float]:
    """Return the seconds of some runs, behind one that warms up."""
    session.run(inputs)
    times: list[float] = []
    while len(times) < MIN_RUNS or sum(times) < MIN_SECONDS:
        began = time.perf_counter()
        session.run(inputs)
        times.append(time.perf_counter() - began)
    return times
