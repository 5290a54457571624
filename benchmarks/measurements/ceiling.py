"""How fast this machine can be at all, measured in the same run, and what part of that the models reach.

Matrix throughput comes from graphs of bare products of square matrices on the very device that plays; memory bandwidth
from copies on all cores, or on a card from products of one row, which do little but read the weights. The floor of a
stage is the larger of operations / throughput and bytes / bandwidth (Williams et al. 2009, the roofline).
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from clavilux.benchmarks.measurements.operations import Work, count
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import (
    AUDIO_ENCODER,
    COEFFICIENTS,
    DECODER,
    DENOISER,
    GUIDANCE_X0,
    GUIDED_COEFFICIENTS,
)
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.providers.session import GraphFile
from clavilux.runtime.sound.format import MEL_BINS, frame_count

OPSET, IR_VERSION = 20, 10
WEIGHTS = 8  # different matrices in one graph, so that they do not stay in a cache
SIDES = (512, 1024, 2048, 4096)  # of the matrices, tried until a run is long enough
PRODUCTS = (8, 64)  # in one graph; the many for devices that are done with the largest matrices too soon
LONG_ENOUGH = 0.04  # s, of one run: what starting it costs is small then
REPEATS = 5  # the best counts: a ceiling is what can be reached
DRAWN = 1_000_003  # different numbers in a matrix; a prime, so that its rows differ
FACTOR = "factor"  # input of a graph of products
GIGA = 1e9
HALF = "openvino:cpu:bf16"  # which computes float32 graphs in bfloat16
PROCESSORS = ("cpu", "openvino", "openvino:cpu", HALF)  # devices whose memory is the host's
COPIED = 2**26  # bytes, by each copy
STAGES = {AUDIO_ENCODER: "encode", DENOISER: "denoise", DECODER: "decode"}


@dataclass(frozen=True)
class Ceiling:
    """Speeds that the machine reached on nothing but products and copies."""

    gigaflops: float  # 10^9 operations a second
    gigabytes: float  # 10^9 bytes a second
    arithmetic: str


@dataclass(frozen=True)
class Reached:
    """One stage beside its floor."""

    stage: str
    work: Work
    floor_ms: float  # what the ceiling would allow
    bound: str  # "arithmetic" or "memory": what the floor is made of
    measured_ms: float

    @property
    def fraction(self) -> float:
        """The part of the ceiling that was reached, 0 to 1."""
        return round(self.floor_ms / self.measured_ms, 3) if self.measured_ms else 0.0


def measure_ceiling(device: str, threads: int, arithmetic: str = "float32") -> Ceiling:
    """Measure both limits on `device`. Raises ProviderError when it cannot run."""
    kind = "float16" if arithmetic == "float16" else "float32"
    throughput = 0.0
    for side, products in (*((side, PRODUCTS[0]) for side in SIDES), (SIDES[-1], PRODUCTS[-1])):
        seconds = _best(side, side, products, device, threads, kind)
        throughput = max(throughput, 2 * products * side**3 / seconds / GIGA)
        if seconds >= LONG_ENOUGH:
            break
    device = device.lower()
    copies = device in PROCESSORS
    bandwidth = _copying(threads or os.cpu_count() or 1) if copies else _streaming(device, threads, kind)
    return Ceiling(_four_digits(throughput), _four_digits(bandwidth), "bfloat16" if device == HALF else kind)


def _four_digits(value: float) -> float:
    """Round to what a measurement is worth, and never to nothing."""
    return float(f"{value:.4g}")


def _streaming(device: str, threads: int, kind: str) -> float:
    """Return 10^9 bytes a second of weights that a card reads for the products of one row."""
    bandwidth = 0.0
    for products in PRODUCTS:
        seconds = _best(1, SIDES[-1], products, device, threads, kind)
        bandwidth = max(bandwidth, products * SIDES[-1] ** 2 * np.dtype(kind).itemsize / seconds / GIGA)
        if seconds >= LONG_ENOUGH:
            break
    return bandwidth


def works(bundle: Bundle, height: int, width: int, steps: int) -> dict[str, Work]:
    """Return what each graph must do for one picture of this size, by stage; guidance once more for the negative."""
    factor = bundle.picture.height // bundle.latents.height
    latents = (1, bundle.latents.channels, height // factor, width // factor)
    prompt = (1, bundle.tokens.count, bundle.tokens.width)
    columns = COEFFICIENTS if bundle.guidance.kind == "none" else GUIDED_COEFFICIENTS
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        AUDIO_ENCODER: {"features": (1, frame_count(bundle.audio.window_samples), MEL_BINS)},
        DENOISER: {
            **dict.fromkeys(("sample", "noise", GUIDANCE_X0), latents),
            **dict.fromkeys(("tokens", "negative"), prompt),
            "coefficients": (1, columns),
        },
        DECODER: {"latents": latents},
    }
    arithmetic = bundle.precision.arithmetic
    found = {STAGES[name]: count(bundle.path(name), shapes[name], arithmetic) for name in STAGES}
    return found | {"denoise": found["denoise"].times(steps + (bundle.guidance.kind == "once"))}


def reached(stage: str, work: Work, measured_ms: float, ceiling: Ceiling) -> Reached:
    """Hold a measured stage against the ceiling."""
    floors = {"arithmetic": work.gigaflops / ceiling.gigaflops, "memory": work.megabytes / 1e3 / ceiling.gigabytes}
    bound = max(floors, key=floors.__getitem__)
    return Reached(stage, work, round(1000 * floors[bound], 3), bound, measured_ms)


def product_graph(path: Path, rows: int, side: int, products: int, kind: str = "float32") -> Path:
    """Write a graph of so many products, [rows, side] by [side, side], and return it.

    `factor` [1, 1] goes in and `largest` [1, 1] comes out, so that carrying them costs nothing; the matrices lie in the
    graph, differ, and keep the scale.
    """
    element = {"float32": onnx.TensorProto.FLOAT, "float16": onnx.TensorProto.FLOAT16}[kind]
    random = np.random.default_rng(0)
    numbers = random.standard_normal(DRAWN, np.float32)

    def matrix(name: str, height: int, scale: float) -> onnx.TensorProto:
        turned = np.roll(numbers, random.integers(DRAWN)) * np.float32(scale)
        return numpy_helper.from_array(np.resize(turned, (height, side)).astype(kind), name)

    weights = [matrix(f"weight{index}", side, side**-0.5) for index in range(min(products, WEIGHTS))]
    names = [f"product{index}" for index in range(products + 1)]
    chain = [
        helper.make_node("MatMul", [names[i], f"weight{i % len(weights)}"], [names[i + 1]]) for i in range(products)
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["first", FACTOR], [names[0]]),
            *chain,
            helper.make_node("ReduceMax", [names[-1]], ["largest"], keepdims=1),
        ],
        "products",
        [helper.make_tensor_value_info(FACTOR, element, [1, 1])],
        [helper.make_tensor_value_info("largest", element, [1, 1])],
        [matrix("first", rows, 1.0), *weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    path.write_bytes(model.SerializeToString())
    return path


def _best(rows: int, side: int, products: int, device: str, threads: int, kind: str) -> float:
    """Return the seconds of the fastest run of a graph of products."""
    with TemporaryDirectory() as folder:
        graph = GraphFile(product_graph(Path(folder) / "products.onnx", rows, side, products, kind), precision=kind)
        session = open_session(graph, device, threads)
        given: NDArray[np.generic] = np.ones((1, 1), kind)
        return fastest(lambda: session.run({FACTOR: given}))


def fastest(run: Callable[[], object], repeats: int = REPEATS, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds of the fastest of `repeats` runs, after one that does not count."""
    run()
    taken = []
    for _ in range(repeats):
        since = clock()
        run()
        taken.append(clock() - since)
    return min(taken)


def _copying(threads: int) -> float:
    """Return 10^9 bytes a second, read and written, of copies on all cores at once."""
    blocks = [np.zeros(COPIED, np.uint8) for _ in range(2 * threads)]
    pairs = list(zip(blocks[::2], blocks[1::2], strict=True))
    with ThreadPoolExecutor(threads) as pool:
        seconds = fastest(lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs)))
    return 2 * COPIED * threads / seconds / GIGA
