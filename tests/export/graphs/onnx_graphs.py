"""Small ONNX graphs to convert, written by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 18, 10
WIDTH = 8

Arrays = Mapping[str, NDArray[np.generic]]


def node(operator: str, inputs: Sequence[str], output: str, **attributes: object) -> NodeProto:
    """Return a node that is called as what it gives."""
    return helper.make_node(operator, inputs, [output], name=output, **attributes)


def write_graph(path: Path, nodes: Sequence[NodeProto], weights: Arrays = {}, outputs: Sequence[str] = ("y",)) -> Path:  # noqa: B006
    """Write the graph of `nodes` over the input `x`, float32 [2, WIDTH]; all its types and shapes are inferred."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, WIDTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.save(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True), path)
    return path


def write_product(path: Path) -> Path:
    """Write the graph of one seeded matrix product."""
    weight = np.random.default_rng(1).standard_normal((WIDTH, WIDTH)).astype(np.float32)
    return write_graph(path, [node("MatMul", ["x", "w"], "y")], {"w": weight})


def numbers() -> NDArray[np.float32]:
    """Return seeded numbers for `x`."""
    return np.random.default_rng(0).standard_normal((2, WIDTH)).astype(np.float32)


def loaded(path: Path) -> ir.Model:
    return ir.load(path)


def types(model: ir.Model) -> dict[str, ir.DataType | None]:
    """Return the type of every value that a node gives, by its name."""
    return {str(value.name): value.dtype for one in model.graph for value in one.outputs}
