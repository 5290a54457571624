"""Graphs that take and give what a bundle's denoiser and decoder do, small enough to run a hundred times a second."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from clavilux.runtime.bundle.manifest import ScheduleSpec
from clavilux.runtime.diffusion.schedule import Schedule

TOKENS, WIDTH, CHANNELS = 3, 5, 4
LATENTS = [1, CHANNELS, "h", "w"]


def write_denoiser(folder: Path, lead: str | None = None, *, latents: int = TensorProto.FLOAT) -> Path:
    """Write a graph that every one of its inputs changes; `lead` is "negative" or "anchor", or nothing."""
    prompt, columns = [1, TOKENS, WIDTH], 9 if lead else 6
    shapes = {"sample": LATENTS, "noise": LATENTS, "tokens": prompt, "coefficients": [1, columns]}
    if lead:
        shapes[lead] = prompt if lead == "negative" else LATENTS
    nodes = [
        helper.make_node("ReduceMean", ["tokens"], ["mean"], keepdims=0),
        *(helper.make_node("Gather", ["coefficients", f"i{k}"], [f"c{k}"], axis=1) for k in range(columns)),
        helper.make_node("Mul", ["sample", "mean"], ["plain"]),
        helper.make_node("Add", ["plain", "c1"], ["shifted"]),
    ]
    if lead == "negative":
        nodes.append(helper.make_node("ReduceMean", ["negative"], ["led"], keepdims=0))
    elif lead:
        nodes.append(helper.make_node("Identity", ["anchor"], ["led"]))
    if lead:
        nodes += [
            helper.make_node("Mul", ["led", "c7"], ["away"]),
            helper.make_node("Mul", ["shifted", "c6"], ["toward"]),
            helper.make_node("Add", ["toward", "away"], ["x0"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["shifted"], ["x0"]))
    nodes += [
        helper.make_node("Mul", ["x0", "c3"], ["one"]),
        helper.make_node("Mul", ["sample", "c4"], ["two"]),
        helper.make_node("Mul", ["noise", "c5"], ["three"]),
        helper.make_node("Sum", ["one", "two", "three"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["next"], to=latents),
    ]
    numbers = [helper.make_tensor(f"i{k}", TensorProto.INT64, [1], [k]) for k in range(columns)]
    outputs = {"x0": (TensorProto.FLOAT, LATENTS), "next": (latents, LATENTS)}
    return _write(folder / "denoiser.onnx", shapes, nodes, outputs, numbers)


def write_decoder(folder: Path, *, gives: int = TensorProto.UINT8) -> Path:
    """Write a graph that makes latents visible, uint8 [1, h, w, 4]."""
    nodes = [
        helper.make_node("Transpose", ["latents"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Sin", ["last"], ["wave"]),
        helper.make_node("Mul", ["wave", "gain"], ["loud"]),
        helper.make_node("Add", ["loud", "grey"], ["levels"]),
        helper.make_node("Cast", ["levels"], ["pictures"], to=gives),
    ]
    levels = {"gain": 120.0, "grey": 128.0}
    numbers = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in levels.items()]
    outputs = {"pictures": (gives, [1, "h", "w", CHANNELS])}
    return _write(folder / "decoder.onnx", {"latents": LATENTS}, nodes, outputs, numbers)


def schedule(kind: str = "euler") -> Schedule:
    """Return a schedule of one to three steps; "lcm" adds noise after each step but the last."""
    alphas = tuple(1 - 0.0009 * step for step in range(1000))
    timesteps = {1: (999.0,), 2: (999.0, 499.0), 3: (999.0, 666.0, 333.0)}
    return Schedule(ScheduleSpec(kind, "epsilon", alphas, timesteps, 0.9, 1.0))


def _write(path: Path, shapes: dict, nodes: list, outputs: dict, numbers: list) -> Path:
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    results = [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()]
    graph = helper.make_graph(nodes, "toy", given, results, numbers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path
