"""From a torch module to an ONNX graph, and from float32 weights to weights stored in float16.

Stored weights are cast back by `Cast` nodes that ONNX Runtime folds when it loads the graph: half the bytes on disk,
float32 arithmetic afterwards. Float16 arithmetic is `clavilux.export.graphs.float16`.
"""

import ast
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from clavilux.export.graphs.float16 import LARGEST_FLOAT16
from clavilux.export.spec import Component
from clavilux.runtime.errors import ExportError

SMALLEST_STORED = 1024
"""Weights with fewer elements (biases, norms) stay float32: they cost nothing and carry much."""

LARGEST_SINGLE_FILE = 256 * 2**20  # bytes; weights in a file of their own are mapped, not copied, by whoever loads them
SCOPES = "pkg.torch.onnx.name_scopes"  # where the exporter notes which module a node comes from
OUTSIDE = "clavilux.outside"
"""Marks nodes of our own pre- and post-processing, which stand beside the model in a graph's module."""

_WRAPPER_DEPTH = 2  # scopes of a node that the outermost module itself computes: "", then the node's name


def to_onnx(module: nn.Module, component: Component, example: Mapping[str, Tensor]) -> ir.Model:
    """Return the graph of `module`, traced on `example`; its open axes run as the component declares them.

    The example must not have size 1 on an open axis: torch would fix it. Raises ExportError, naming the component,
    when torch cannot trace it.
    """
    dims = {axis.name: torch.export.Dim(axis.name, min=axis.low, max=axis.high) for axis in component.open_axes}
    axes = {axis.name: axis.multiple * dims[axis.name] for axis in component.open_axes}
    shapes = {
        port.name: {i: axes[name] for i, name in enumerate(port.axes) if name in axes} for port in component.inputs
    }
    with torch.inference_mode(), _quiet_tracing():
        try:
            program = torch.onnx.export(
                module.eval(),
                kwargs=dict(example),
                input_names=[port.name for port in component.inputs],
                output_names=[port.name for port in component.outputs],
                dynamic_shapes=shapes if axes else None,
                dynamo=True,
                verbose=False,
            )
        except (torch.onnx.OnnxExporterError, RuntimeError) as error:
            raise ExportError(f"{component.name} cannot be traced: {_reason(error)}") from error
    if program is None:
        raise ExportError(f"{component.name} gave no graph; expected torch 2.9 or newer")
    _check_axes(program.model.graph, component)
    return _without_origins(program.model)


def _reason(error: BaseException) -> str:
    """Return the first line of what went wrong first: the exporter wraps it in advice of its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _check_axes(graph: ir.Graph, component: Component) -> None:
    """Raise ExportError unless the inputs' open axes are those that were declared."""
    declared = {axis.name for axis in component.open_axes}
    for value, port in zip(graph.inputs, component.inputs, strict=True):
        for size, name in zip(value.shape or (), port.axes, strict=True):
            if isinstance(size, int) == (name in declared):
                state = "fixed" if name in declared else "open"
                raise ExportError(f"{component.name}: the axis {name} of {port.name} is {state} in the trace")


def _without_origins(model: ir.Model) -> ir.Model:
    """Take out what the exporter notes down about its source lines: paths of this machine, and half of a small file."""
    for node in model.graph.all_nodes():
        outside = len(ast.literal_eval(node.metadata_props.get(SCOPES, "[]"))) == _WRAPPER_DEPTH
        node.metadata_props.clear()
        node.metadata_props.update({OUTSIDE: "1"} if outside else {})
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    return model


def outside_nodes(graph: ir.Graph) -> set[str]:
    """Return the names of the nodes that are our own pre- and post-processing, and take their marks off."""
    return {str(node.name) for node in graph if node.metadata_props.pop(OUTSIDE, None)}


def empty(module: nn.Module) -> None:
    """Let go of the weights of a module that is not needed any more: the exporter's own caches keep its tensors."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = torch.empty(0)


def release(model: ir.Model) -> None:
    """Let go of the weights of a graph that is written: the exporter's own caches would keep them in memory."""
    for value in model.graph.initializers.values():
        value.const_value = None


@contextmanager
def _quiet_tracing() -> Iterator[None]:
    """Hide what the exporter's own libraries warn of; none of it is in the user's hands."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", r"# The axis name: .* will not be used", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def save(model: ir.Model, path: Path, suffix: str = ".data") -> None:
    """Write `model` to `path`; large weights go into a file of their own beside it, named as it and `suffix`."""
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    if size > LARGEST_SINGLE_FILE:
        ir.save(model, path, external_data=f"{path.name}{suffix}")
    else:
        ir.save(ir.external_data.load_to_model(model), path)  # weights that lie beside another graph come along


def store_half(model: ir.Model) -> ir.Model:
    """Store the large float32 weights of `model` as float16, in place, each with a Cast back in front of its uses.

    A weight beyond float16's range stays float32.
    """
    graph = model.graph
    casts = []
    for value in list(graph.initializers.values()):
        half = _half(value)
        if half is None:
            continue
        graph.register_initializer(half)
        cast = ir.node("Cast", [half], attributes={"to": ir.DataType.FLOAT.value})
        cast.outputs[0].name = f"{value.name}_float32"
        cast.outputs[0].dtype, cast.outputs[0].shape = ir.DataType.FLOAT, value.shape
        ir.convenience.replace_all_uses_with(value, cast.outputs[0])
        graph.initializers.pop(str(value.name))
        casts.append(cast)
    if casts:
        graph.insert_before(graph[0], casts)
    return model


def _half(value: ir.Value) -> ir.Value | None:
    """Return `value` as a float16 initializer, or None when it should stay as it is."""
    tensor = value.const_value
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < SMALLEST_STORED or value.is_graph_output():
        return None
    array = tensor.numpy()
    if np.abs(array).max() > LARGEST_FLOAT16:
        return None
    stored = ir.tensor(array.astype(np.float16), name=f"{value.name}_float16")
    return ir.Value(name=stored.name, shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT16), const_value=stored)
