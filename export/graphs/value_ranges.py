"""Value ranges of a graph: the largest absolute value of every float32 value inside it, over given inputs.

Float16 ends at 65504; what comes near to it on the sounds of the proof stays in float32
(`clavilux.export.graphs.float16`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from clavilux.export.graphs.convert import release, save
from clavilux.runtime.providers.onnx_runtime import CPU, import_onnxruntime, open_onnxruntime, session_options
from clavilux.runtime.providers.session import Session

EXTREMES = ("ReduceMax", "ReduceMin", "ReduceL1")
"""Asked of each value; the sum is there because ONNX Runtime's extremes pass over NaN."""


def measure_ranges(graph: Path, inputs: Sequence[Mapping[str, NDArray[np.generic]]], scratch: Path) -> dict[str, float]:
    """Return the largest absolute value by name of every float32 value that the graph computes.

    `scratch` is a place for the same graph with more outputs. NaN counts as infinity.
    """
    model = ir.load(graph)
    names = _watch(model.graph)
    watched = scratch / f"watched_{graph.name}"
    save(model, watched)
    release(model)
    session = open_in_order(watched)
    runs = [session.run(one)[-len(EXTREMES) * len(names) :] for one in inputs]
    found = np.array(runs, np.float64).reshape(len(runs), len(names), len(EXTREMES))
    largest = np.abs(found[:, :, :2]).max(axis=(0, 2))
    broken = np.isnan(found).any(axis=(0, 2))
    return dict(zip(names, np.where(broken, np.inf, largest).tolist(), strict=True))


def _watch(graph: ir.Graph) -> list[str]:
    """Add to `graph` the extremes of every float32 value as outputs; return the values' names."""
    names = []
    for node in list(graph):
        for value in node.outputs:
            if value.dtype == ir.DataType.FLOAT:
                names.append(str(value.name))
                extremes = [ir.node(operator, [value], attributes={"keepdims": 0}) for operator in EXTREMES]
                graph.insert_after(node, extremes)
                graph.outputs.extend(_named(extreme, value) for extreme in extremes)
    return names


def _named(extreme: ir.Node, value: ir.Value) -> ir.Value:
    output = extreme.outputs[0]
    output.name = f"{value.name}_{extreme.op_type}"
    output.type, output.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([])
    return output


def open_in_order(graph: Path) -> Session:
    """Load a graph whose nodes run as they are written, in the order of the file.

    In the usual order the extremes could come last, and every value of the graph would have to wait for them in memory;
    and weights stored in float16 would all be widened before anything else.
    """
    onnxruntime = import_onnxruntime()
    options = session_options(onnxruntime, 0)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    options.enable_cpu_mem_arena = False
    return open_onnxruntime(graph, CPU, options)
