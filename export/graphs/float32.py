"""Float32 arithmetic: the traced graph as it is, or with its large weights stored in float16.

Stored weights are cast back by `Cast` nodes that ONNX Runtime folds when it loads the graph: half the bytes on disk,
float32 arithmetic afterwards. Float16 arithmetic is `clavilux.export.graphs.float16`.
"""

from pathlib import Path

import numpy as np
import onnx_ir as ir

from clavilux.export.graphs.convert import Traced, free_memory, outside_nodes, release, save
from clavilux.export.graphs.float16 import MAX_FLOAT16

MIN_STORED = 1024
"""Weights with fewer elements (biases, norms) stay float32: they cost nothing and carry much."""


def store(traced: Traced, path: Path, storage: str) -> None:
    """Write the graph to `path`; `storage`, "float32" or "float16", is the type of its large weights there."""
    model = ir.load(traced.exact)
    outside_nodes(model.graph)
    save(store_float16(model) if storage == "float16" else model, path)
    release(model)
    free_memory()


def store_float16(model: ir.Model) -> ir.Model:
    """Store the large float32 weights of `model` as float16, in place, each with a Cast back in front of its uses.

    A weight beyond float16's range stays float32.
    """
    graph = model.graph
    casts = []
    for value in list(graph.initializers.values()):
        narrow = _as_float16(value)
        if narrow is None:
            continue
        graph.register_initializer(narrow)
        cast = ir.node("Cast", [narrow], attributes={"to": ir.DataType.FLOAT.value})
        cast.outputs[0].name = f"{value.name}_float32"
        cast.outputs[0].dtype, cast.outputs[0].shape = ir.DataType.FLOAT, value.shape
        ir.convenience.replace_all_uses_with(value, cast.outputs[0])
        graph.initializers.pop(str(value.name))
        casts.append(cast)
    if casts:
        graph.insert_before(graph[0], casts)
    return model


def _as_float16(value: ir.Value) -> ir.Value | None:
    """Return `value` as a float16 initializer, or None when it should stay as it is."""
    tensor = value.const_value
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < MIN_STORED or value.is_graph_output():
        return None
    array = tensor.numpy()
    if np.abs(array).max() > MAX_FLOAT16:
        return None
    stored = ir.tensor(array.astype(np.float16), name=f"{value.name}_float16")
    return ir.Value(name=stored.name, shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT16), const_value=stored)
