"""Start graph: the first sample of a run on a card, from noise and what stays of the last latents.

    python -m clavilux.export.graphs.start_graph runtime/diffusion/start.onnx

It belongs to the instrument, not to a bundle, so that bundles of every age play on a card. Each product and the sum are
nodes of their own, rounded on their own as `Denoiser.begin` does it on the host: the pictures are bit-identical.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from onnx import ModelProto, TensorProto, helper

IR_VERSION = 9
OPSET = 17
LATENTS = (1, "channels", "height", "width")


def start_graph() -> ModelProto:
    """Return the graph: sample = noise * noise_scale + latents * latents_scale.

    `noise`, `latents` and `sample` are float32 [1, C, h, w], both scales float32 [1].
    """
    shapes = {"noise": LATENTS, "noise_scale": (1,), "latents": LATENTS, "latents_scale": (1,)}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    nodes = [
        helper.make_node("Mul", ["noise", "noise_scale"], ["scaled_noise"]),
        helper.make_node("Mul", ["latents", "latents_scale"], ["scaled_latents"]),
        helper.make_node("Add", ["scaled_noise", "scaled_latents"], ["sample"]),
    ]
    output = helper.make_tensor_value_info("sample", TensorProto.FLOAT, LATENTS)
    graph = helper.make_graph(nodes, "start", inputs, [output])
    return helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="clavilux"
    )


def main(words: Sequence[str] | None = None) -> int:
    """Write the graph; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the file to write")
    parser.parse_args(words).path.write_bytes(start_graph().SerializeToString(deterministic=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
