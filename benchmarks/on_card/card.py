"""The card by itself: driver and libraries, and the stream with copies up and down.

Results are yielded as they grow, so that what is known stays known where the process ends early.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from clavilux.benchmarks.measurements import machine
from clavilux.benchmarks.measurements.percentiles import MS
from clavilux.runtime.providers.nvidia.cuda import require_cuda
from clavilux.runtime.providers.nvidia.driver import find_card
from clavilux.runtime.providers.nvidia.stream import CudaStream, shared_stream
from clavilux.runtime.providers.onnx_runtime import import_onnxruntime

COPIED = 2**24  # bytes
COPIES = 3  # the last one counts: the first ones wake the card up
GB, GIB = 1e9, 2**30
BEGUN, UP, DOWN = 0, 1, 2  # marks in the stream

OnCard = Callable[[tuple[int, ...]], Any]
"""Allocates an `onnxruntime.OrtValue` of float32 on the card."""


def describe() -> Iterator[dict[str, Any]]:
    """Yield machine, ONNX Runtime, driver and card. Raises ProviderError where there is no driver or no card."""
    found: dict[str, Any] = {"machine": asdict(machine.describe())}
    onnxruntime = import_onnxruntime("gpu")
    found["onnxruntime"] = {
        "version": onnxruntime.__version__,
        "cuda": getattr(onnxruntime, "cuda_version", ""),
        "providers": onnxruntime.get_available_providers(),
    }
    yield found
    yield found | {"card": asdict(find_card())}


def copies() -> Iterator[dict[str, Any]]:
    """Yield how fast pinned memory goes up and comes down, and whether it is the same. Raises ProviderError."""
    require_cuda()
    yield copied(shared_stream(), _on_card)


def copied(stream: CudaStream, on_card: OnCard) -> dict[str, Any]:
    """Copy COPIED bytes from pinned memory to the card and back, and return what that took and left."""
    count = COPIED // 4
    given, back = (stream.pinned((count,), np.float32) for _ in range(2))
    given.array[:] = np.random.default_rng(0).standard_normal(count, np.float32)
    there = on_card((count,))
    for _ in range(COPIES):
        stream.mark(BEGUN)
        stream.copy(there.data_ptr(), given.address, COPIED)
        stream.mark(UP)
        stream.copy(back.address, there.data_ptr(), COPIED)
        stream.mark(DOWN)
        stream.wait()
    up, down = stream.seconds(BEGUN, UP), stream.seconds(UP, DOWN)
    return {
        "equal": bool(np.array_equal(given.array, back.array)),
        "up_ms": up * MS,
        "down_ms": down * MS,
        "megabytes": COPIED / 1e6,
        "free_gib": round(stream.free_bytes() / GIB, 1),
    }


def _on_card(shape: tuple[int, ...]) -> Any:
    return import_onnxruntime().OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cuda")
