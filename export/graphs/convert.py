"""From a torch module to a float32 ONNX graph on disk, which the other files of this room store as a bundle wants it.

The weights go through memory once: what holds them, module or graph, is emptied when the graph is written.
"""

import ast
import ctypes
import gc
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from clavilux.export.spec import Component
from clavilux.runtime.errors import ExportError
from clavilux.runtime.providers.session import Array

MAX_SINGLE_FILE = 256 * 2**20  # bytes; weights in a file of their own are mapped, not copied, by whoever loads them
SCOPES = "pkg.torch.onnx.name_scopes"  # where the exporter notes which module a node comes from
OUTSIDE = "clavilux.outside"
"""Marks nodes of our own pre- and post-processing, which stand beside the model in a graph's module."""

_WRAPPER_DEPTH = 2  # scopes of a node that the outermost module itself computes: "", then the node's name


@dataclass(frozen=True)
class Case:
    """Inputs of a graph by name, and what the original makes of them, in the order of the component's outputs."""

    inputs: Mapping[str, Array]
    expected: Sequence[Array]


@dataclass(frozen=True)
class Traced:
    """A float32 graph on disk, not proved yet, and what the original says."""

    component: Component
    exact: Path
    cases: Sequence[Case]
    upcast_attention: bool = False  # the model asks for its attention scores in float32


def trace(component: Component, module: nn.Module, cases: Sequence[Case], scratch: Path) -> Traced:
    """Write the float32 graph of `module` to `scratch`, traced on the first case; the module's weights are gone then.

    Raises ExportError when torch cannot trace it.
    """
    model = to_onnx(module, component, example(component, cases[0]))
    path = scratch / component.file
    save(model, path)
    release(model)
    empty(module)
    upcasts = any(isinstance(part, Attention) and part.upcast_attention for part in module.modules())
    return Traced(component, path, cases, upcasts)


def example(component: Component, case: Case) -> dict[str, Tensor]:
    """Return the inputs to trace on; an open batch axis is doubled, since torch would fix a single one."""
    times = 2 if component.takes_batches else 1
    return {name: torch.from_numpy(np.repeat(array, times, axis=0)) for name, array in case.inputs.items()}


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


def free_memory() -> None:
    """Give memory that is not needed any more back to the system; glibc keeps it otherwise."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


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
    if size > MAX_SINGLE_FILE:
        ir.save(model, path, external_data=f"{path.name}{suffix}")
    else:
        ir.save(ir.external_data.load_to_model(model), path)  # weights that lie beside another graph come along
