"""Bundles without their weights: `strip` makes one, `fill` gives it seeded numbers of the same spread.

    python -m clavilux.benchmarks.on_card.skeleton strip BUNDLE SKELETON    # needs onnx
    python -m clavilux.benchmarks.on_card.skeleton fill SKELETON            # NumPy alone: it is a bundle again

What a picture costs does not depend on what the weights are, and 3 GB of sd-turbo's size travel as 1 MB. What is small,
huge or no float is no weight and stays: shapes, constants, masks. Pictures of what was filled mean nothing.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from clavilux.benchmarks.command_line import ended
from clavilux.benchmarks.errors import BenchError
from clavilux.runtime.bundle.bundle import MANIFEST
from clavilux.runtime.files import describe_files
from clavilux.runtime.placement.graph_shapes import WEIGHTS

PLAN = "weights.json"
SMALL = 4096  # bytes: what is smaller stays in the graph
HUGE = 1e4  # values beyond this are a mask's, in float16 too, whose largest is 65504
PAGE = 4096  # bytes: external data begin at whole pages
KINDS = ("float32", "float16")
SEED = 0
GIB = 2**30


@dataclass(frozen=True)
class Weight:
    """One weight of a graph: where it will lie in the file beside it, and how its values are spread."""

    offset: int  # bytes
    count: int  # values
    kind: str  # of KINDS
    mean: float
    deviation: float

    @property
    def bytes(self) -> int:
        """Length in the file."""
        return self.count * np.dtype(self.kind).itemsize


def strip(bundle: Path, out: Path) -> None:
    """Write a bundle's skeleton into the folder `out`. Raises BenchError: there is no bundle, or onnx is missing."""
    try:
        import onnx
    except ImportError as error:
        raise BenchError("onnx is not installed; run: pip install onnx") from error
    if not (bundle / MANIFEST).is_file():
        raise BenchError(f"{bundle} has no {MANIFEST}; expected a bundle")
    out.mkdir(parents=True, exist_ok=True)
    plan = {}
    for path in sorted(bundle.glob("*.onnx")):
        model = onnx.load(path)
        plan[path.name] = list(_stripped(model, f"{path.name}{WEIGHTS}"))
        (out / path.name).write_bytes(model.SerializeToString())
    (out / PLAN).write_bytes(msgspec.json.encode(plan))
    for path in bundle.iterdir():
        if path.is_file() and path.suffix not in (".onnx", WEIGHTS):
            shutil.copyfile(path, out / path.name)


def _stripped(model: Any, location: str) -> Iterator[Weight]:
    """Take the weights out of an `onnx.ModelProto`, which then looks for them in the file `location`; yield each."""
    from onnx import TensorProto, numpy_helper

    offset = 0
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if not _is_weight(values):
            continue
        wide = values.astype(np.float64)
        weight = Weight(offset, values.size, values.dtype.name, float(wide.mean()), float(wide.std()))
        for field in ("raw_data", "float_data", "int32_data", "external_data"):
            tensor.ClearField(field)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", offset), ("length", weight.bytes)):
            tensor.external_data.add(key=key, value=str(value))
        offset += -(-weight.bytes // PAGE) * PAGE
        yield weight


def _is_weight(values: NDArray[np.generic]) -> bool:
    if values.dtype.name not in KINDS or values.nbytes < SMALL:
        return False
    return bool(max(-float(values.min()), float(values.max())) < HUGE)


def fill(skeleton: Path, seed: int = SEED) -> float:
    """Make a skeleton a bundle that opens and plays, and return its size in GiB. Raises BenchError when it is none."""
    try:
        plan = msgspec.json.decode((skeleton / PLAN).read_bytes(), type=dict[str, list[Weight]])
        manifest = json.loads((skeleton / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise BenchError(f"{skeleton} is no skeleton ({error}); make one with `strip`") from error
    random = np.random.default_rng(seed)
    for name, weights in plan.items():
        if weights:
            _write_weights(skeleton / f"{name}{WEIGHTS}", weights, random)
    graphs = [path for name in plan for path in skeleton.glob(f"{name}*")]
    manifest["files"] |= {name: asdict(entry) for name, entry in describe_files(skeleton, graphs).items()}
    (skeleton / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return round(sum(path.stat().st_size for path in graphs) / GIB, 3)


def _write_weights(path: Path, weights: Sequence[Weight], random: np.random.Generator) -> None:
    data = np.memmap(path, np.uint8, "w+", shape=(weights[-1].offset + weights[-1].bytes,))
    for weight in weights:
        place = data[weight.offset : weight.offset + weight.bytes].view(weight.kind)
        values = random.standard_normal(weight.count, np.float32)
        place[:] = values * np.float32(weight.deviation) + np.float32(weight.mean)
    data.flush()


def main(words: Sequence[str] | None = None) -> int:
    """Strip or fill, and say what came of it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    stripped = kinds.add_parser("strip", help="a bundle becomes a skeleton")
    stripped.add_argument("bundle", type=Path, metavar="BUNDLE")
    stripped.add_argument("out", type=Path, metavar="SKELETON")
    filled = kinds.add_parser("fill", help="a skeleton becomes a bundle")
    filled.add_argument("skeleton", type=Path, metavar="SKELETON")
    asked = parser.parse_args(words)

    def run() -> None:
        if asked.kind == "strip":
            strip(asked.bundle, asked.out)
        else:
            print(json.dumps({"gib": fill(asked.skeleton)}))

    return ended("skeleton", run)


if __name__ == "__main__":
    sys.exit(main())
