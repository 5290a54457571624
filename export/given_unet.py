"""A UNet that is a graph already, as `optimum-cli export onnx` writes it: `model.onnx` and config.json in a folder.

The denoiser's arithmetic is traced around one node that stands for the UNet, then the given graph takes that node's
place. The original to compare with is the given graph itself, in ONNX Runtime.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from diffusers.configuration_utils import FrozenDict
from onnx_ir.passes import common
from torch import Tensor, nn

from clavilux.export.checkpoints.configuration import read_model_config
from clavilux.export.checkpoints.locate import Where
from clavilux.export.checkpoints.weights import DIFFUSERS_FILES
from clavilux.export.graphs.convert import Case, Traced, example, release, save, to_onnx
from clavilux.export.models.denoiser import DenoiserGraph
from clavilux.export.plan import Plan
from clavilux.export.spec import Component
from clavilux.runtime.errors import ExportError
from clavilux.runtime.placement.devices import open_session

MODEL = "model.onnx"
INPUTS = ("sample", "timestep", "encoder_hidden_states")
OLDEST_OPSET = 18
"""The denoiser's own operators mean the same from here on; optimum writes this one."""

STAND_IN = ("clavilux", "GivenUnet")  # domain and type of the node that stands for the given graph
TIMESTEPS = {ir.DataType.FLOAT: torch.float32, ir.DataType.INT64: torch.int64}


@dataclass(frozen=True)
class TimestepInput:
    """The form of a graph's timestep."""

    dtype: torch.dtype
    scalar: bool  # else a vector
    single: bool  # one for the whole batch

    def of(self, times: Tensor) -> Tensor:
        """Return the graph's input for `times`, one a row."""
        return (times[0] if self.scalar else times[:1] if self.single else times).to(self.dtype)


@dataclass(frozen=True)
class OnnxUnet:
    """A folder with a UNet as an ONNX graph. `graph` raises ExportError when that is not what can be taken in."""

    folder: Path

    @property
    def path(self) -> Path:
        """The graph; its weights are in it or beside it."""
        return self.folder / MODEL

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The UNet's configuration."""
        return read_model_config(self.folder, "unet")

    @cached_property
    def files(self) -> list[Path]:
        """The graph and the files that hold its weights. Raises ExportError when one is missing."""
        values = self._load().graph.initializers.values()
        beside = {tensor.location for value in values if isinstance(tensor := value.const_value, ir.ExternalTensor)}
        names = sorted(map(str, beside))
        for name in names:
            if Path(name).name != name or not (self.folder / name).is_file():
                raise ExportError(f"unet {self.folder} lacks {name}, which {MODEL} names; expected a whole export")
        return [self.path, *(self.folder / name for name in names)]

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return sum(path.stat().st_size for path in self.files)

    @cached_property
    def timestep(self) -> TimestepInput:
        """The form of the graph's timestep."""
        value = next(value for value in self._load().graph.inputs if value.name == "timestep")
        shape = value.shape if value.shape is not None else ir.Shape([None])
        dtype = TIMESTEPS[value.dtype or ir.DataType.FLOAT]
        return TimestepInput(dtype, scalar=not shape.dims, single=not shape.dims or shape[0] == 1)

    def _load(self) -> ir.Model:
        try:
            model = ir.load(self.path)
        except Exception as error:  # of protobuf or of onnx_ir, which share no base
            raise ExportError(f"unet {self.path} is no ONNX graph ({type(error).__name__})") from error
        common.RemoveInitializersFromInputsPass()(model)
        return model

    def load(self) -> ir.Model:
        """Return the graph, without what it tells of where it was made."""
        model = self._load()
        common.InlinePass()(model)
        common.ClearMetadataAndDocStringPass()(model)
        return model

    def open(self) -> "OpenUnet":
        """Load the graph in ONNX Runtime."""
        return OpenUnet(self)


class OpenUnet:
    """A given graph that diffusers' pipelines take for a UNet in torch."""

    dtype = torch.float32

    def __init__(self, unet: OnnxUnet) -> None:
        self.config = FrozenDict(unet.config)
        self._timestep = unet.timestep
        self._session = open_session(unet.path)

    def __call__(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, **_: Any) -> tuple[Tensor]:
        """Return the prediction [B, C, h, w]; `timestep` is a scalar, or one a row."""
        times = self._timestep.of(timestep.reshape(-1).expand(len(sample)))
        arrays = (sample.numpy(), times.numpy(), encoder_hidden_states.numpy())
        (found,) = self._session.run(dict(zip(INPUTS, arrays, strict=True)))
        return (torch.from_numpy(np.asarray(found)),)


class _StandIn(nn.Module):
    """One node in place of the UNet."""

    def __init__(self, timestep: TimestepInput) -> None:
        super().__init__()
        self.timestep = timestep

    def forward(self, sample: Tensor, times: Tensor, encoder_hidden_states: Tensor, **_: Any) -> tuple[Tensor]:
        inputs = (sample, self.timestep.of(times), encoder_hidden_states)
        return (torch.onnx.ops.symbolic("::".join(STAND_IN), inputs, dtype=sample.dtype, shape=sample.shape),)


def find_onnx_unet(where: Where) -> OnnxUnet | None:
    """Return the UNet at `where` if that is a folder with a graph, and without weights for torch."""
    folder = Path(where)
    if not (folder / MODEL).is_file():
        return None
    stems = tuple(name.partition(".")[0] for name in DIFFUSERS_FILES)
    return None if any(path.name.startswith(stems) for path in folder.iterdir()) else OnnxUnet(folder)


def check_onnx_unet(plan: Plan) -> None:
    """Raise ExportError when the plan's UNet is a graph that cannot be taken in; of other UNets this knows nothing."""
    unet = find_onnx_unet(plan.sources.unet)
    if unet is None:
        return
    if plan.sources.lora:
        raise ExportError(f"unet {unet.folder} is a graph, which takes no LoRA; give the UNet as safetensors")
    model = unet.load()
    _check_values(unet, model, _sizes(plan))
    opset = model.graph.opset_imports.get("", 0)
    if opset < OLDEST_OPSET:
        raise ExportError(f"unet {unet.path} has opset {opset}; expected {OLDEST_OPSET} or newer")
    if unet.timestep.single and plan.options.batch > 1:
        raise ExportError(f"unet {unet.path} takes one timestep for all pictures; expected a batch of 1")
    _ = unet.files


def _sizes(plan: Plan) -> dict[str, Sequence[int | None]]:
    """Return what the graph's inputs must take, by name; None stands for an axis that must be open."""
    batch = 2 if plan.options.guidance.kind == "classic" else 1
    latents, sizes = plan.latents, plan.sizes
    fixed = sizes is None or sizes.smallest == sizes.largest
    rows = batch if plan.options.batch == 1 else None
    sides = (latents.height, latents.width) if fixed else (None, None)
    return {"sample": (rows, latents.channels, *sides), "encoder_hidden_states": (rows, plan.count, plan.width)}


def _check_values(unet: OnnxUnet, model: ir.Model, sizes: Mapping[str, Sequence[int | None]]) -> None:
    graph = model.graph
    names = {str(value.name) for value in graph.inputs}
    if names != set(INPUTS) or len(graph.outputs) != 1:
        found = f"{', '.join(sorted(names))} and gives {len(graph.outputs)} outputs"
        raise ExportError(f"unet {unet.path} takes {found}; expected {', '.join(INPUTS)}, and one output")
    for value in (*graph.inputs, *graph.outputs):
        allowed = tuple(TIMESTEPS) if value.name == "timestep" else (ir.DataType.FLOAT,)
        if value.dtype not in allowed:
            raise ExportError(
                f"unet {unet.path}: {value.name} is {value.dtype}; expected {' or '.join(map(str, allowed))}: "
                "export it in float32"
            )
        wanted = sizes.get(str(value.name))
        if wanted and value.shape is not None and not _takes(value.shape, wanted):
            expected = [size or "any" for size in wanted]
            raise ExportError(f"unet {unet.path}: {value.name} is {value.shape}; expected {expected}")


def _takes(shape: ir.Shape, sizes: Sequence[int | None]) -> bool:
    if len(shape) != len(sizes):
        return False
    return all(not isinstance(dim, int) or dim == size for dim, size in zip(shape, sizes, strict=True))


def trace_around(unet: OnnxUnet, component: Component, cases: Sequence[Case], scratch: Path) -> Traced:
    """Write the denoiser's float32 graph, `component`, to `scratch`, around a UNet that is a graph itself."""
    outer = to_onnx(DenoiserGraph(_StandIn(unet.timestep)), component, example(component, cases[0]))
    model = filled_in(outer, unet.load())
    path = scratch / component.file
    save(model, path)
    release(model)
    return Traced(component, path, cases, bool(unet.config.get("upcast_attention")))


def filled_in(outer: ir.Model, unet: ir.Model) -> ir.Model:
    """Put the graph of `unet` in place of the node in `outer` that stands for it, and return `outer`.

    Constants become initializers and every value gets its type: the ways to float16 and to stored halves need both.
    """
    (node,) = (node for node in outer.graph if (node.domain, node.op_type) == STAND_IN)
    inner = unet.graph
    inputs = {str(value.name): value for value in inner.inputs}
    for name, value in zip(INPUTS, node.inputs, strict=True):
        if value is not None:
            ir.convenience.replace_all_uses_with(inputs[name], value)
    (result,) = inner.outputs
    inner.outputs.clear()
    _move(inner, outer.graph, node)
    ir.convenience.replace_all_uses_with(node.outputs[0], result)
    outer.graph.remove(node, safe=True)
    outer.graph.opset_imports.pop(STAND_IN[0], None)
    outer.graph.opset_imports.update(inner.opset_imports)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(outer)
    common.ShapeInferencePass()(outer)
    return outer


def _move(inner: ir.Graph, outer: ir.Graph, before: ir.Node) -> None:
    """Move all weights and nodes of `inner` to `outer`, under names of their own."""
    for value in list(inner.initializers.values()):
        inner.initializers.pop(str(value.name))
        value.name = f"unet/{value.name}"
        outer.register_initializer(value)
    nodes = list(inner)
    inner.remove(nodes)
    for i, node in enumerate(nodes):
        node.name = f"unet/{node.op_type}_{i}"
        for value in node.outputs:
            value.name = f"unet/{value.name}"
    outer.insert_before(before, nodes)
