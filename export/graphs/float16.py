"""From float32 arithmetic to float16, operator by operator; what would lose its meaning there stays in float32.

Which operators stay is a `Kept` each, with its reason: rules that hold for every model, and what was measured on this
one. `rounded` makes the proof possible without a GPU: the same graph with every float16 operator computed in float32
and its result rounded to float16, which is what tensor cores with float32 accumulators do.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from clavilux.export.graphs.convert import Traced, free_memory, outside_nodes, release, save
from clavilux.export.graphs.value_ranges import measure_ranges
from clavilux.export.spec import Component
from clavilux.runtime.bundle.manifest import KeptOperators
from clavilux.runtime.errors import ExportError

MAX_FLOAT16 = 65504.0
HEADROOM = 8.0
"""A value may come this near to the largest float16 on the sounds of the proof: a stage is louder than a proof."""

MASK = 1e30  # beyond this a value is minus infinity in other words: what a softmax shall not see

STATISTICS = ("InstanceNormalization", "GroupNormalization", "ReduceMean", "ReduceSum")
PHASES = ("Sin", "Cos")
MOVES = frozenset(
    {"Reshape", "Transpose", "Slice", "Split", "Concat", "Gather", "Expand", "Squeeze", "Unsqueeze", "Identity", "Pad"}
)
"""Operators that only move numbers: nothing is rounded there."""

FLOAT, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
_FLOAT32_INPUTS = {"Resize": (1, 2)}  # by position: roi and scales are float32 in any Resize


@dataclass(frozen=True)
class Kept:
    """One operator that stays in float32, and why."""

    node: str
    operator: str
    why: str


@dataclass(frozen=True)
class Rules:
    """Facts about a graph besides its nodes."""

    outside: Collection[str]  # names of the nodes of our own pre- and post-processing
    ranges: Mapping[str, float]  # largest absolute value by name of a value, as measured
    upcast_attention: bool = False  # the model asks for its attention scores in float32


def store(traced: Traced, path: Path) -> list[KeptOperators]:
    """Write the graph to `path` with float16 arithmetic; return what stays in float32, and why.

    Raises ExportError when a number within the graph is not finite on the proof's own inputs.
    """
    component = traced.component
    ranges = measure_ranges(traced.exact, [case.inputs for case in traced.cases], traced.exact.parent)
    if endless := [name for name, largest in ranges.items() if not np.isfinite(largest)]:
        raise ExportError(f"{component.name}: {endless[0]} is NaN or infinite; expected finite numbers throughout")
    model = ir.load(traced.exact)
    kept = keep(model.graph, Rules(outside_nodes(model.graph), ranges, upcast_attention=traced.upcast_attention))
    save(to_float16(model, {one.node for one in kept}), path)
    release(model)
    free_memory()
    return _summary(component, kept)


def _summary(component: Component, kept: Sequence[Kept]) -> list[KeptOperators]:
    counts = Counter(one.why for one in kept)
    kinds = {why: dict.fromkeys(one.operator for one in kept if one.why == why) for why in counts}
    return [KeptOperators(component.name, ", ".join(kinds[why]), count, why) for why, count in counts.items()]


def keep(graph: ir.Graph, rules: Rules) -> list[Kept]:
    """Return the operators of `graph` that stay in float32, in the graph's order."""
    reasons: dict[str, str] = {}
    for node in _before(graph, PHASES):
        reasons[_name(node)] = "phases of the timestep: float16 counts by halves above 512"
    if rules.upcast_attention:
        for node in _scores(graph):
            reasons[_name(node)] = "attention scores, as the model's upcast_attention asks"
    for node in graph:
        if _name(node) in rules.outside:
            reasons[_name(node)] = "pre- and post-processing around the model"
        elif node.op_type in STATISTICS:
            reasons[_name(node)] = "sums over many elements"
        elif (peak := _peak(node, rules.ranges)) * HEADROOM > MAX_FLOAT16:
            mask = ", a mask" if peak > MASK else ""
            reasons[_name(node)] = f"reaches {peak:.3g}{mask}; float16 ends at {MAX_FLOAT16:g}"
    return [Kept(_name(node), node.op_type, reasons[_name(node)]) for node in graph if _name(node) in reasons]


def _name(node: ir.Node) -> str:
    return str(node.name)


def _peak(node: ir.Node, ranges: Mapping[str, float]) -> float:
    """Return the largest absolute value that goes into or comes out of `node`, its weights included."""
    values = [value for value in (*node.inputs, *node.outputs) if value is not None and value.dtype == FLOAT]
    return max((_value_peak(value, ranges) for value in values), default=0.0)


def _value_peak(value: ir.Value, ranges: Mapping[str, float]) -> float:
    if value.const_value is None:
        return ranges.get(str(value.name), 0.0)
    array = value.const_value.numpy()
    return float(np.abs(array).max()) if array.size else 0.0


def _before(graph: ir.Graph, operators: Collection[str]) -> list[ir.Node]:
    """Return the nodes of these operators and everything that they are computed from."""
    found: dict[ir.Node, None] = {}
    waiting = [node for node in graph if node.op_type in operators]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found[node] = None
            waiting += [parent for value in node.inputs if value is not None and (parent := value.producer())]
    return list(found)


def _scores(graph: ir.Graph) -> list[ir.Node]:
    """Return each Softmax, the product of queries and keys in front of it, and what lies between."""
    found: dict[ir.Node, None] = {}
    waiting = [node for node in graph if node.op_type == "Softmax"]
    while waiting:
        node = waiting.pop()
        found[node] = None
        if node.op_type != "MatMul":
            waiting += [parent for value in node.inputs if value is not None and (parent := value.producer())]
    return list(found)


def to_float16(model: ir.Model, kept: Collection[str]) -> ir.Model:
    """Turn `model` to float16 arithmetic in place, but for the nodes named in `kept`; inputs and outputs stay.

    A value that crosses between the two kinds passes one Cast. Weights of float16 nodes are stored in float16.
    """
    _Narrowing(model.graph, kept).run()
    return model


class _Narrowing:
    """The state of one conversion: which values are float16 by now, and the casts made so far."""

    def __init__(self, graph: ir.Graph, kept: Collection[str]) -> None:
        self.graph = graph
        self.kept = kept
        self.casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def run(self) -> None:
        for node in list(self.graph):
            if node.op_type == "Cast":
                continue  # takes any type, and says itself what it gives
            if _name(node) in self.kept or not _takes_floats(node):
                self._convert_inputs(node, HALF, FLOAT, range(len(node.inputs)))
            else:
                wide = _FLOAT32_INPUTS.get(node.op_type, ())
                self._convert_inputs(node, HALF, FLOAT, wide)
                self._convert_inputs(node, FLOAT, HALF, set(range(len(node.inputs))).difference(wide))
                for value in node.outputs:
                    if value.dtype == FLOAT:
                        value.dtype = HALF
        self._restore_outputs()
        for name, value in list(self.graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                self.graph.initializers.pop(name)

    def _convert_inputs(self, node: ir.Node, found: ir.DataType, wanted: ir.DataType, places: Collection[int]) -> None:
        for i, value in enumerate(node.inputs):
            if value is not None and value.dtype == found and i in places:
                node.replace_input_with(i, self._cast(value, wanted, node))

    def _cast(self, value: ir.Value, wanted: ir.DataType, before: ir.Node) -> ir.Value:
        """Return `value` as `wanted`: a converted weight, or the output of a Cast in front of `before`."""
        if (value, wanted) not in self.casts:
            if value.const_value is not None and value.is_initializer():
                self.casts[value, wanted] = _stored(self.graph, value)
            else:
                self.casts[value, wanted] = cast(value, wanted)
                self.graph.insert_before(before, _producer(self.casts[value, wanted]))
        return self.casts[value, wanted]

    def _restore_outputs(self) -> None:
        """Give float32 under the old names where the graph would now end in float16."""
        for i, value in enumerate(self.graph.outputs):
            if value.dtype == HALF:
                name = value.name
                value.name = f"{name}_float16"
                outer = cast(value, FLOAT)
                outer.name = name
                self.graph.append(_producer(outer))
                self.graph.outputs[i] = outer


def _takes_floats(node: ir.Node) -> bool:
    """Return whether the type of what `node` gives follows its inputs: a constant's does not."""
    return any(value is not None and value.dtype in (FLOAT, HALF) for value in node.inputs)


def _producer(value: ir.Value) -> ir.Node:
    node = value.producer()
    assert node is not None  # noqa: S101 - `cast` has just made it
    return node


def cast(value: ir.Value, wanted: ir.DataType) -> ir.Value:
    """Return the output of a new Cast of `value`, not yet in any graph."""
    node = ir.node("Cast", [value], attributes={"to": wanted.value})
    output = node.outputs[0]
    output.name = f"{value.name}_{wanted.name.lower()}"
    output.dtype, output.shape = wanted, value.shape
    return output


def _stored(graph: ir.Graph, value: ir.Value) -> ir.Value:
    array = value.const_value.numpy() if value.const_value is not None else np.zeros(0)
    tensor = ir.tensor(array.astype(np.float16), name=f"{value.name}_float16")
    stored = ir.Value(name=tensor.name, shape=value.shape, type=ir.TensorType(HALF), const_value=tensor)
    graph.register_initializer(stored)
    return stored


def rounded(model: ir.Model) -> ir.Model:
    """Make every float16 operator of `model` compute in float32 and round its result to float16, in place.

    ONNX Runtime's CPU provider keeps float32 between such operators by itself, which hides what overflows on a GPU.
    """
    graph = model.graph
    for node in list(graph):
        if node.op_type == "Cast" or node.op_type in MOVES or node.domain:
            continue
        for i, value in enumerate(node.inputs):
            if value is not None and value.dtype == HALF:
                wide = cast(value, FLOAT)
                wide.name = f"{wide.name}_{node.name}_{i}"
                graph.insert_before(node, _producer(wide))
                node.replace_input_with(i, wide)
        for value in node.outputs:
            if value.dtype == HALF:
                _round(graph, node, value)
    return model


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    value.dtype = FLOAT
    narrow = cast(value, HALF)
    ir.convenience.replace_all_uses_with(value, narrow)
    _producer(narrow).replace_input_with(0, value)
    graph.insert_after(node, _producer(narrow))
