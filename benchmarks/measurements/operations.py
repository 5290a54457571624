"""Work that a graph must do at least: multiply-adds of its matrix products, and bytes that pass memory once.

Counted from the ONNX file alone, after shape inference. Two operations are one multiply-add. Everything that is no
product (normalisations, activations, sums) is left out: it costs memory traffic, not arithmetic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import onnx

from clavilux.benchmarks.errors import BenchError

PRODUCTS = ("MatMul", "MatMulInteger", "Gemm", "Conv", "ConvInteger", "ConvTranspose")
BYTES = {"float16": 2, "float32": 4, "int8": 4}  # per weight, as the arithmetic reads it; int8's own are told apart
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
ONE_BYTE = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)

Shape = Sequence[int]


@dataclass(frozen=True)
class Work:
    """Work of one run of a graph, at least."""

    gigaflops: float  # 10^9 operations, two per multiply-add
    megabytes: float  # weights, inputs and outputs, each once
    uncounted: int  # products whose shapes stay open

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.gigaflops + other.gigaflops, self.megabytes + other.megabytes, self.uncounted + other.uncounted
        )

    def times(self, runs: int) -> "Work":
        """Return what so many runs take."""
        return Work(self.gigaflops * runs, self.megabytes * runs, self.uncounted)


def count(graph: Path, inputs: Mapping[str, Shape], arithmetic: str = "float32") -> Work:
    """Return the work of `graph` on inputs of these shapes. Raises BenchError for a graph that cannot be read."""
    try:
        model = onnx.load(graph, load_external_data=False)
    except Exception as error:  # protobuf's own classes
        raise BenchError(f"{graph} is no ONNX graph ({type(error).__name__}); export the bundle again") from error
    _close(model, inputs)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = _shapes(inferred.graph)
    products = [node for node in inferred.graph.node if node.op_type in PRODUCTS]
    counted = [
        multiply_adds(node.op_type, [shapes.get(name) for name in node.input], shapes.get(node.output[0]))
        for node in products
    ]
    edges = sum(prod(shapes.get(value.name) or (0,)) for value in (*inferred.graph.input, *inferred.graph.output))
    wide = BYTES[arithmetic]
    weights = sum(
        prod(tensor.dims) * (1 if tensor.data_type in ONE_BYTE else wide)
        for tensor in inferred.graph.initializer
        if tensor.data_type in FLOATS
    )
    return Work(
        gigaflops=2 * sum(one for one in counted if one is not None) / 1e9,
        megabytes=(weights + edges * BYTES["float32"]) / 1e6,
        uncounted=sum(one is None for one in counted),
    )


def multiply_adds(kind: str, inputs: Sequence[Shape | None], output: Shape | None) -> int | None:
    """Return the multiply-adds of one product; None where a shape is not known."""
    first, second = inputs[0], inputs[1]
    if first is None or second is None or output is None:
        return None
    if kind.startswith("MatMul"):
        return prod(output) * first[-1]
    if kind == "Gemm":
        return prod(output) * prod(first) // output[0]
    if kind == "ConvTranspose":
        return prod(first) * prod(second[1:])
    return prod(output) * prod(second[1:])  # a convolution's weights are [out, in / groups, ...]


def _close(model: Any, inputs: Mapping[str, Shape]) -> None:
    """Write the shapes that the inputs have into the model, and forget what the tracer believed inside."""
    for value in model.graph.input:
        for axis, length in zip(value.type.tensor_type.shape.dim, inputs.get(value.name, ()), strict=False):
            axis.Clear()
            axis.dim_value = length
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _shapes(graph: Any) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        axes = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(axis.HasField("dim_value") for axis in axes):
            shapes[value.name] = tuple(axis.dim_value for axis in axes)
    return shapes
