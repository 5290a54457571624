"""One CUDA stream that all sessions of a card run on, with what ONNX Runtime's Python API has no words for.

    stream = shared_stream()
    stream.copy(tensor.data_ptr(), staged.address, staged.array.nbytes)  # queued, as is everything but `wait`
    stream.wait()

ONNX Runtime runs on a stream that is given to it (`user_compute_stream`), but from Python it can neither wait for one
(`OrtSyncStream` has no more than its handle), nor copy to a value without waiting (`OrtValue.update_inplace`). NVIDIA's
driver does both; its library is loaded as `clavilux.runtime.providers.nvidia.driver` loads it, without any package.
"""

import ctypes
import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia.driver import DRIVER, Loader

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: the default stream and this one do not wait for each other


@dataclass(frozen=True)
class Pinned:
    """Host memory that the card reads and writes by itself."""

    array: NDArray[Any]  # the whole of it
    address: int
    memory: Any  # what it belongs to; it is given back when nothing refers to this any more


class CudaStream:
    """A queue of work on the first card. Everything is only queued, and done in order; `wait` waits for all of it.

    Any thread may use it, one at a time. All methods raise ProviderError when the driver refuses.
    """

    def __init__(self, load: Loader = ctypes.CDLL) -> None:
        """Raises ProviderError: no driver, no card, or a driver that refuses."""
        try:
            self._driver = load(DRIVER)
        except OSError as error:
            raise ProviderError(f"no NVIDIA driver here ({DRIVER} is missing); use --device cpu") from error
        self.waits = 0  # how often the host has waited
        self.pinned_bytes = 0  # allocated so far
        self._context = ctypes.c_void_p()
        self._marks: dict[int, ctypes.c_void_p] = {}
        device, stream = ctypes.c_int(), ctypes.c_void_p()
        self._ask("cuInit", 0)
        self._ask("cuDeviceGet", ctypes.byref(device), 0)
        self._ask("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)  # the one that ONNX Runtime uses
        self._enter()
        self._ask("cuStreamCreate", ctypes.byref(stream), NON_BLOCKING)
        self._stream = stream

    @property
    def handle(self) -> int:
        """The CUstream, which is also the runtime's cudaStream_t: what `user_compute_stream` takes."""
        return int(self._stream.value or 0)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> Pinned:
        """Allocate host memory of this shape and type."""
        self._enter()
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        found = ctypes.c_void_p()
        self._ask("cuMemHostAlloc", ctypes.byref(found), ctypes.c_size_t(count), 0)
        address = int(found.value or 0)
        memory: Any = (ctypes.c_uint8 * count).from_address(address)
        weakref.finalize(memory, self._driver.cuMemFreeHost, ctypes.c_void_p(address)).atexit = False
        self.pinned_bytes += count
        return Pinned(np.frombuffer(memory, dtype).reshape(shape), address, memory)

    def copy(self, target: int, source: int, count: int) -> None:
        """Queue a copy of `count` bytes between two addresses, each of the card's or of pinned memory."""
        self._enter()
        addresses = ctypes.c_uint64(target), ctypes.c_uint64(source)
        self._ask("cuMemcpyAsync", *addresses, ctypes.c_size_t(count), self._stream)

    def mark(self, number: int) -> None:
        """Queue the taking of a time, for `seconds`."""
        self._enter()
        if number not in self._marks:
            event = ctypes.c_void_p()
            self._ask("cuEventCreate", ctypes.byref(event), 0)
            self._marks[number] = event
        self._ask("cuEventRecord", self._marks[number], self._stream)

    def seconds(self, first: int, last: int) -> float:
        """Return how long the card took from one mark to another, both of which it has passed."""
        self._enter()
        milliseconds = ctypes.c_float()
        self._ask("cuEventElapsedTime", ctypes.byref(milliseconds), self._marks[first], self._marks[last])
        return milliseconds.value / 1000

    def wait(self) -> None:
        """Wait until all that was queued is done."""
        self._enter()
        self.waits += 1
        self._ask("cuStreamSynchronize", self._stream)

    def free_bytes(self) -> int:
        """Return how much of the card's memory nobody holds."""
        self._enter()
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._ask("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def _enter(self) -> None:
        """Work on the card in this thread, whatever it did before."""
        self._ask("cuCtxSetCurrent", self._context)

    def _ask(self, name: str, *arguments: Any) -> None:
        function: Callable[..., int] = getattr(self._driver, name)
        failed = function(*arguments)
        if failed:
            raise ProviderError(f"the NVIDIA driver refuses {name} (CUDA error {failed}); run: clavilux doctor")


@functools.cache
def shared_stream() -> CudaStream:
    """Return the one stream of this process: sessions that share it hand tensors on without the host."""
    return CudaStream()
