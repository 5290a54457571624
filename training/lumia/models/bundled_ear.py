"""Weights of a published bundle's audio encoder, read back from its graph, so that an ear goes on where one ended.

Assumes a graph that `clavilux.export` wrote: vectors and convolutions keep their names; the matrix of a linear layer is
found by the bias that is added to its product, and lies there transposed. Weights of float16 are given as float32.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor
from transformers import Wav2Vec2BertModel

from clavilux.runtime.errors import ClaviluxError

GRAPH, MANIFEST = "audio_encoder.onnx", "bundle.json"
NOTE = "ear_of.txt"  # in the work folder: where the audio encoder's training began
SCRATCH = "trained from scratch"
PREFIX, HALF, BIAS = "encoder.", "_float16", ".bias"
UNTOLD = {"masked_spec_embed"}  # what only training has


def take_over(model: Wav2Vec2BertModel, bundle: Path) -> None:
    """Give a model the weights of a bundle's encoder, in place.

    Raises ClaviluxError when the bundle has no such graph, or its encoder is another network.
    """
    found, wanted = weights(bundle / GRAPH), model.state_dict()
    for name in sorted((found.keys() | wanted.keys()) - UNTOLD):
        shapes = [tuple(some[name].shape) if name in some else None for some in (found, wanted)]
        if shapes[0] != shapes[1]:
            raise ClaviluxError(
                f"{bundle}: its encoder's {name} is {shapes[0] or 'missing'}, expected {shapes[1] or 'none'}; "
                "an ear goes on from a bundle whose encoder has the same layers"
            )
    model.load_state_dict(found, strict=False)


def beginning(bundle: Path | None) -> str:
    """Return where an encoder begins, in words: the name of the bundle it goes on from, and some digits of a hash."""
    if bundle is None:
        return SCRATCH
    return f"trained on from {of_bundle(bundle, GRAPH)}"


def of_bundle(bundle: Path, graph: str) -> str:
    """Return whose part a bundle's graph is: the bundle's name, and some digits of the graph's hash."""
    name = json.loads((bundle / MANIFEST).read_text())["name"]
    return f"{name}'s, SHA-256 {hashlib.sha256((bundle / graph).read_bytes()).hexdigest()[:12]}"


def weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of an encoder's graph, float32, by transformers' names. Raises ClaviluxError without one."""
    if not path.exists():
        raise ClaviluxError(f"{path} is not there; expected the encoder of a bundle")
    try:
        graph = onnx.load(path).graph
    except Exception as error:  # protobuf's own, whose classes have no types
        raise ClaviluxError(f"{path} is damaged; expected the encoder of a bundle") from error
    stored = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    told = {_plain(name): value.float() for name, value in stored.items() if name.startswith(PREFIX)}
    for node in graph.node:
        given = [_uncast(name, makers) for name in node.input]
        bias = next((name for name in given if name.startswith(PREFIX) and name.endswith(BIAS)), "")
        products = [makers[name] for name in given if name in makers and makers[name].op_type == "MatMul"]
        factors = [_uncast(name, makers) for product in products for name in product.input]
        for matrix in (name for name in factors if bias and name in stored):
            told[f"{_plain(bias).removesuffix(BIAS)}.weight"] = stored[matrix].float().T.contiguous()
    return told


def _plain(name: str) -> str:
    return name.removeprefix(PREFIX).removesuffix(HALF)


def _uncast(name: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    """Return the name of what a value was cast from, or its own."""
    while name in makers and makers[name].op_type == "Cast":
        name = makers[name].input[0]
    return name
