"""8-bit matrix products for CPUs: weights per channel, activations measured as they come (dynamic quantisation).

ONNX Runtime's own quantiser does it (`onnxruntime.quantization`). Convolutions stay in float32: its 8-bit ones are
slower on CPUs. Whether it helps depends on the processor and the model, so that it is measured, and taken only if it is
faster.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from clavilux.export.graphs.convert import Traced, free_memory
from clavilux.export.spec import Component
from clavilux.runtime.providers.session import Session

OPERATORS = ("MatMul", "Gemm")
MIN_RUNS = 3  # of each graph, in turn; a large one takes seconds
MIN_SECONDS = 3.0  # spent on measuring one pair
WORTH = 1.1  # times as fast, at least: what is less is noise, and 8 bits cost a little of the picture


@dataclass(frozen=True)
class Verdict:
    """Whether the 8-bit graph is worth having."""

    faster: bool
    why: str


def store(traced: Traced, path: Path) -> None:
    """Write the graph to `path` with 8-bit matrix products."""
    quantise(traced.exact, path)
    free_memory()


def discard(path: Path) -> None:
    """Delete the graph at `path`, and the weights beside it."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def quantise(exact: Path, out: Path) -> None:
    """Write the float32 graph at `exact` to `out` with 8-bit matrix products."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            exact,
            out,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=exact.with_name(f"{exact.name}.data").exists(),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def compare_with(
    component: Component, inputs: Mapping[str, NDArray[np.generic]], exact: Session, smaller: Session
) -> Verdict:
    """Return whether `smaller` is faster than `exact`, both run in turn on the same inputs."""
    seconds: dict[Session, list[float]] = {exact: [], smaller: []}
    while len(seconds[smaller]) <= MIN_RUNS or sum(map(sum, seconds.values())) < MIN_SECONDS:
        for session, times in seconds.items():
            began = time.perf_counter()
            session.run(inputs)
            times.append(time.perf_counter() - began)
    speed = median(seconds[exact][1:]) / median(seconds[smaller][1:])
    return Verdict(speed >= WORTH, f"{component.name} runs at {speed:.2f} times its float32 speed here")
