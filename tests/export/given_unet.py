"""UNets as ONNX graphs: a real one as optimum writes it, and small ones made by hand."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import parser
from torch import nn

from clavilux.export.checkpoints.load import load_unet
from tests.tiny import WIDTH

OPEN = {
    "sample": {0: "batch_size", 2: "height", 3: "width"},
    "encoder_hidden_states": {0: "batch_size", 1: "sequence_length"},
    "out_sample": {0: "batch_size", 2: "height", 3: "width"},
}
SCALE = np.float32(0.8)


class AsOptimum(nn.Module):
    """The outputs that optimum names."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor):
        return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]


def export_unet(checkpoint: Path, folder: Path) -> Path:
    """Write what `optimum-cli export onnx` makes of a UNet: the same exporter, inputs, axes and opset."""
    folder.mkdir(parents=True)
    example = (torch.randn(2, 4, 8, 8), torch.tensor(999.0), torch.randn(2, 16, WIDTH))
    names = ("sample", "timestep", "encoder_hidden_states")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter warns of itself, and of each constant that it takes
        torch.onnx.export(
            AsOptimum(load_unet(checkpoint)),
            example,
            folder / "model.onnx",
            input_names=list(names),
            output_names=["out_sample"],
            dynamic_axes=OPEN,
            opset_version=18,
            dynamo=False,
        )
    shutil.copyfile(checkpoint / "config.json", folder / "config.json")
    return folder


def write_graph(checkpoint: Path, folder: Path, **changes: str) -> Path:
    """Write a graph of a few nodes with the configuration of a real UNet; `changes` are those of `small_graph`."""
    folder.mkdir(parents=True)
    config = json.loads((checkpoint / "config.json").read_text())
    del config["time_cond_proj_dim"]  # as exports of long ago lack it
    (folder / "config.json").write_text(json.dumps(config))
    onnx.save(small_graph(**changes), folder / "model.onnx")
    return folder


def small_graph(
    *,
    opset: int = 18,
    sample: str = "float[batch_size, 4, height, width] sample",
    timestep: str = "float timestep",
    tokens: str = f"float[batch_size, sequence_length, {WIDTH}] encoder_hidden_states",
    output: str = "float[batch_size, 4, height, width] out_sample",
) -> onnx.ModelProto:
    """Return a graph whose output depends on all inputs; a timestep counts in single steps, which float16 has not."""
    model = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["": {opset}]>
        unet ({sample}, {timestep}, {tokens}) => ({output})
        {{
            times = Cast<to = 1>(timestep)
            rows = Constant<value = int64[4] {{-1, 1, 1, 1}}>()
            waves = Cos(times)
            each = Reshape(waves, rows)
            scaled = Mul(encoder_hidden_states, scale)
            last = Constant<value = int64[2] {{1, 2}}>()
            means = ReduceMean(scaled, last)
            flat = Reshape(means, rows)
            bent = Mul(sample, each)
            out_sample = Add(bent, flat)
        }}
    """)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full((1, 1, WIDTH), SCALE), "scale"))
    return model
