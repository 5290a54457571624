"""Weights of a published bundle, read back from its graphs, so that training goes on where that of the bundle ended.

Graphs keep few of their weights' names. But an untrained twin, exported the same way, has the same graphs, and what it
was made of is known: where the twin's graph holds one of its weights, as it is or transposed, the bundle's graph holds
the bundle's. Weights of float16 are given as float32. What only encodes pictures is in no bundle.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from clavilux.runtime.errors import ClaviluxError

SMALLEST = 4  # numbers in a weight; less is a constant of the graph
SPREAD = 0.003  # deviation that makes each of the twin's weights its own, in matrices,
SPREAD_OF_VECTORS = 0.02  # and in vectors, which all begin alike
SAME = 2e-3  # largest difference, relative to the largest number, between a weight and itself in float16


@torch.no_grad()
def make_unlike(model: nn.Module, dice: torch.Generator) -> None:
    """Move the weights of an untrained twin a little, in place, so that no two of them are alike."""
    for weight in model.parameters():
        spread = SPREAD if weight.dim() > 1 else SPREAD_OF_VECTORS
        weight.add_(spread * torch.randn(weight.shape, generator=dice))


def take_over(model: nn.Module, graph: str, twin: Path, bundle: Path, *, without: str = "") -> None:
    """Give a twin the weights of a bundle, in place; `graph` is the file of both bundles that it is exported to.

    Weights whose names begin with `without` stay. Raises ClaviluxError when the bundle's part is another network.
    """
    known, found = (_stored(folder / graph) for folder in (twin, bundle))
    if {name: value.shape for name, value in known.items()} != {name: value.shape for name, value in found.items()}:
        raise ClaviluxError(f"{bundle / graph} is of another network, or another export; expected one of this recipe")
    alike: dict[int, list[str]] = defaultdict(list)
    for name, value in known.items():
        alike[value.numel()].append(name)
    wanted = {name: weight for name, weight in model.state_dict().items() if not (without and name.startswith(without))}
    taken = {
        name: _taken(weight, {one: known[one] for one in alike[weight.numel()]}, found)
        for name, weight in wanted.items()
    }
    if lost := sorted(name for name, weight in taken.items() if weight is None):
        raise ClaviluxError(f"{bundle / graph} holds no {lost[0]}; expected every weight of its network in its graph")
    model.load_state_dict({name: weight for name, weight in taken.items() if weight is not None}, strict=False)


def factor(graph: str, twin: Path, bundle: Path, known: float) -> float:
    """Return what stands in a bundle's graph where the twin's has the number `known`. Raises ClaviluxError."""
    graphs = [_initializers(folder / graph) for folder in (twin, bundle)]
    for name, value in graphs[0].items():
        if value.numel() == 1 and name in graphs[1] and abs(float(value) - known) < SAME * abs(known):
            return float(graphs[1][name])
    raise ClaviluxError(f"{bundle / graph} does not tell how its latents are scaled; expected an export of this recipe")


def _taken(weight: Tensor, known: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Tensor | None:
    """Return what a bundle has where its twin has `weight`, None where it has it nowhere."""
    near = SAME * float(weight.abs().max())
    for name, value in known.items():
        if float((value.flatten() - weight.flatten()).abs().max()) < near:
            return found[name].reshape(weight.shape).clone()
        if weight.dim() == 2 and float((value.flatten() - weight.T.flatten()).abs().max()) < near:
            return found[name].reshape(weight.T.shape).T.contiguous()
    return None


def _stored(path: Path) -> dict[str, Tensor]:
    stored = _initializers(path).items()
    return {name: value.float() for name, value in stored if value.is_floating_point() and value.numel() >= SMALLEST}


def _initializers(path: Path) -> dict[str, Tensor]:
    try:
        graph = onnx.load(path).graph
    except Exception as error:  # protobuf's own, whose classes have no types, or a missing file
        raise ClaviluxError(f"{path} cannot be read; expected a graph of a bundle") from error
    return {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
