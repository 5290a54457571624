"""Gains of graph optimisers on a CPU, component by component: each graph against itself, run in turn.

    python -m clavilux.benchmarks.studies.optimised_graphs BUNDLE [--json] [--runs N] [--parts denoiser,decoder]

Candidates: ONNX Runtime's transformer and Stable Diffusion fusions (`onnxruntime.transformers.optimizer`), those of
onnxscript for ONNX Runtime (`onnxscript.rewriter.ort_fusions`), onnxslim, and 8-bit matrix products
(`clavilux.export.graphs.int8`). They start from float32 weights, as the export does. All sessions run with ONNX
Runtime's own optimisations on top, as the instrument does. Needs `pip install '.[bench,cpu,export]'`. With `--json` the
last line is JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnx_ir as ir

from clavilux.benchmarks.measurements.example_inputs import example
from clavilux.benchmarks.peers.worker import first_line
from clavilux.export.graphs import int8
from clavilux.export.graphs.convert import save
from clavilux.export.library_logs import quietly
from clavilux.export.parity.figures import columns, relative_l2
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.providers.session import Array, Session

PARTS = {"audio_encoder": AUDIO_ENCODER, "denoiser": DENOISER, "decoder": DECODER}
MODEL_TYPES = {"audio_encoder": "bert", "denoiser": "unet", "decoder": "vae"}  # ONNX Runtime's words
FOR_GPUS = ("enable_nhwc_conv", "enable_group_norm", "enable_skip_group_norm", "enable_packed_qkv", "enable_packed_kv")
"""Fusions whose operators ONNX Runtime's CPU provider does not have."""
RUNS = 20
AS_EXPORTED = "as exported"


@dataclass(frozen=True)
class Candidate:
    """One candidate, measured."""

    part: str
    candidate: str
    speed: float  # times as fast as the graph as exported
    relative_l2: float  # of its outputs from those of the graph as exported
    nodes: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    bundle = Bundle.open(arguments.bundle)
    rows = [row for part in arguments.parts.split(",") for row in measure(bundle, part, arguments.runs)]
    print(columns([("part", "candidate", "speed", "relative L2", "nodes"), *map(_cells, rows)]))
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows]))


def _cells(row: Candidate) -> tuple[str, ...]:
    return row.part, row.candidate, f"{row.speed:.2f}", f"{row.relative_l2:.1e}", str(row.nodes)


def measure(bundle: Bundle, part: str, runs: int) -> list[Candidate]:
    """Return one row per candidate that gives a graph for `part`; one that fails is named, and left out."""
    inputs = example(bundle, PARTS[part])
    rows = []
    with TemporaryDirectory() as folder:
        graph = Path(folder) / PARTS[part]
        _widen(graph_file(bundle, PARTS[part]).path, graph)
        baseline = open_session(graph)
        expected = [array.astype(np.float64) for array in baseline.run(inputs)]
        for name, optimise in CANDIDATES.items():
            out = Path(folder) / f"{name.replace(' ', '_')}.onnx"
            try:
                with quietly(), redirect_stdout(StringIO()):
                    optimise(graph, out, part)
                session = open_session(out)
            except Exception as error:  # whatever a third party's optimiser raises is its result
                print(f"{part}, {name}: {first_line(error)}")
                continue
            found = [array.astype(np.float64) for array in session.run(inputs)]
            distance = max(relative_l2(one, other) for one, other in zip(expected, found, strict=True))
            rows.append(Candidate(part, name, _speed(baseline, session, inputs, runs), distance, _nodes(out)))
    return rows


def _speed(baseline: Session, candidate: Session, inputs: Mapping[str, Array], runs: int) -> float:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs + 1):  # the first run of each warms up
        for session, taken in zip((baseline, candidate), times, strict=True):
            began = time.perf_counter()
            session.run(inputs)
            taken.append(time.perf_counter() - began)
    return median(times[0][1:]) / median(times[1][1:])


def _nodes(graph: Path) -> int:
    return len(onnx.load(graph, load_external_data=False).graph.node)


def _widen(stored: Path, out: Path) -> None:
    """Write the graph with its weights in float32, where they were stored in float16 behind a Cast."""
    model = ir.load(stored)
    for node in list(model.graph):
        weight = node.inputs[0].const_value if node.op_type == "Cast" and node.inputs[0] is not None else None
        if weight is not None and weight.dtype == ir.DataType.FLOAT16:
            name = str(node.outputs[0].name)
            wide = ir.tensor(weight.numpy().astype(np.float32), name=f"{name}_wide")
            value = ir.Value(name=wide.name, shape=node.outputs[0].shape, type=node.outputs[0].type, const_value=wide)
            model.graph.register_initializer(value)
            ir.convenience.replace_all_uses_with(node.outputs[0], value)
            model.graph.remove(node, safe=True)
    save(model, out)


def _as_exported(graph: Path, out: Path, _: str) -> None:
    save(ir.load(graph), out)


def _onnxruntime_fusions(graph: Path, out: Path, part: str) -> None:
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    options = FusionOptions(MODEL_TYPES[part])
    for name in FOR_GPUS:
        setattr(options, name, False)
    model = optimize_model(
        str(graph), model_type=MODEL_TYPES[part], opt_level=0, use_gpu=False, optimization_options=options
    )
    model.save_model_to_file(str(out), use_external_data_format=True)


def _onnxscript_fusions(graph: Path, out: Path, _: str) -> None:
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    model, _counts = optimize_for_ort(ir.load(graph))
    save(model, out)


def _onnxslim(graph: Path, out: Path, _: str) -> None:
    import onnxslim

    onnxslim.slim(str(graph), str(out), save_as_external_data=True)


def _int8(graph: Path, out: Path, _: str) -> None:
    int8.quantise(graph, out)


CANDIDATES: dict[str, Callable[[Path, Path, str], None]] = {
    AS_EXPORTED: _as_exported,
    "onnxruntime fusions": _onnxruntime_fusions,
    "onnxscript fusions": _onnxscript_fusions,
    "onnxslim": _onnxslim,
    "int8": _int8,
}


if __name__ == "__main__":
    main()
