"""Warp graph: the last latents, moved before they come back as feedback on a card.

    python -m clavilux.export.graphs.warp_graph runtime/diffusion/warp.onnx

It belongs to the instrument, not to a bundle, as the start graph does. Where each value comes from, the host says: its
sixteen places and their weights go up, so that all that runs on the card are a gather and sums. `GridSample` would do
it in one node, with another cubic kernel, and TensorRT has read its newer names as "nearest" without a word; every
provider has gathered for years. The arithmetic is that of `clavilux.runtime.diffusion.motion.warp`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto, helper

from clavilux.export.graphs.start_graph import IR_VERSION, LATENTS, OPSET
from clavilux.runtime.diffusion.motion import GAIN, TAPS, TINY_VARIANCE

CHANNEL = [2, 3]  # axes of one channel
TAP = 2  # axis of what is gathered for a value


def warp_graph() -> ModelProto:
    """Return the graph: `warped`, like `latents` float32 [1, C, h, w], of `places` int32 and `weights` float32.

    Both are [16, h, w]. Each channel gets back the spread that it had.
    """
    taken = TAPS * TAPS, *LATENTS[2:]
    inputs = [
        helper.make_tensor_value_info("latents", TensorProto.FLOAT, LATENTS),
        helper.make_tensor_value_info("places", TensorProto.INT32, taken),
        helper.make_tensor_value_info("weights", TensorProto.FLOAT, taken),
    ]
    nodes = [
        helper.make_node("Reshape", ["latents", "rows"], ["flat"]),
        helper.make_node("Gather", ["flat", "places"], ["taken"], axis=2),
        helper.make_node("Mul", ["taken", "weights"], ["weighed"]),
        helper.make_node("ReduceSum", ["weighed", "tap"], ["moved"], keepdims=0),
        *_spread("latents", "before"),
        *_spread("moved", "after"),
        helper.make_node("Max", ["after_variance", "tiny"], ["after_safe"]),
        helper.make_node("Div", ["before_variance", "after_safe"], ["ratio"]),
        helper.make_node("Sqrt", ["ratio"], ["wanted"]),
        helper.make_node("Clip", ["wanted", "least", "most"], ["gain"]),
        helper.make_node("Mul", ["after_offset", "gain"], ["spread"]),
        helper.make_node("Add", ["spread", "after_mean"], ["warped"]),
    ]
    numbers = [
        helper.make_tensor("rows", TensorProto.INT64, [3], [0, 0, -1]),
        helper.make_tensor("tap", TensorProto.INT64, [1], [TAP]),
        helper.make_tensor("tiny", TensorProto.FLOAT, [], [TINY_VARIANCE]),
        helper.make_tensor("least", TensorProto.FLOAT, [], [GAIN[0]]),
        helper.make_tensor("most", TensorProto.FLOAT, [], [GAIN[1]]),
    ]
    output = helper.make_tensor_value_info("warped", TensorProto.FLOAT, LATENTS)
    graph = helper.make_graph(nodes, "warp", inputs, [output], numbers)
    return helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="clavilux"
    )


def _spread(name: str, prefix: str) -> list[NodeProto]:
    """Return nodes for a tensor's mean, its offset from that, and its variance, channel by channel."""
    return [
        helper.make_node("ReduceMean", [name], [f"{prefix}_mean"], axes=CHANNEL),
        helper.make_node("Sub", [name, f"{prefix}_mean"], [f"{prefix}_offset"]),
        helper.make_node("Mul", [f"{prefix}_offset", f"{prefix}_offset"], [f"{prefix}_square"]),
        helper.make_node("ReduceMean", [f"{prefix}_square"], [f"{prefix}_variance"], axes=CHANNEL),
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Write the graph; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the file to write")
    parser.parse_args(words).path.write_bytes(warp_graph().SerializeToString(deterministic=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
