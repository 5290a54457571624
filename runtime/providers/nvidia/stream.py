"""One CUDA stream that all sessions of an engine run on, with what ONNX Runtime's Python API has no words for.

    stream = shared_stream()
    stream.copy(tensor.data_ptr(), staged.address, staged.array.nbytes)  # queued, as is everything but `wait`
    stream.wait()

ONNX Runtime runs on a stream that is given to it (`user_compute_stream`), but from Python it can neither wait for one
(`OrtSyncStream` has no more than its handle), nor copy to a value without waiting (`OrtValue.update_inplace`). NVIDIA's
driver does both; its library is loaded as `clavilux.runtime.providers.nvidia.driver` loads it, without any package.
"""

import ctypes
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import DTypeLike, NDArray

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia.driver import DRIVER, Loader

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: the default stream and this one do not wait for each other
THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: captures of other threads are none of this one's business


@dataclass(frozen=True)
class Pinned:
    """Host memory that the card reads and writes by itself."""

    array: NDArray[Any]  # the whole of it
    address: int
    memory: Any  # what it belongs to; it is given back when nothing refers to this any more


class CudaStream:
    """A queue of work on the first card. Everything is only queued, and done in order; `wait` waits for all of it.

    Any thread may use it, one at a time. All methods raise ProviderError when the driver refuses.

    ONNX Runtime captures CUDA graphs in CUDA's global mode: until that is over, every other thread of the process that
    allocates, or copies and waits, fails, and spoils the capture. A lock would have to be held for all such calls of
    all engines. Instead each engine has a stream, so that nobody else's work is captured, and each thread that uses one
    is put into thread-local mode, where captures of others do not forbid it anything.
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
        self._thread = threading.local()
        self._marks: dict[int, ctypes.c_void_p] = {}
        device, stream = ctypes.c_int(), ctypes.c_void_p()
        self._ask("cuInit", 0)
        self._ask("cuDeviceGet", ctypes.byref(device), 0)
        self._ask("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)  # the one that ONNX Runtime uses
        self.enter()
        self._ask("cuStreamCreate", ctypes.byref(stream), NON_BLOCKING)
        self._stream = stream

    def enter(self) -> None:
        """Work on the card in this thread, whatever it did before."""
        self._ask("cuCtxSetCurrent", self._context)
        if not hasattr(self._thread, "mode"):
            self._thread.mode = ctypes.c_int(THREAD_LOCAL)
            self._ask("cuThreadExchangeStreamCaptureMode", ctypes.byref(self._thread.mode))

    @property
    def handle(self) -> int:
        """The CUstream, which is also the runtime's cudaStream_t: what `user_compute_stream` takes."""
        return int(self._stream.value or 0)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> Pinned:
        """Allocate host memory of this shape and type."""
        self.enter()
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        found = ctypes.c_void_p()
        self._ask("cuMemHostAlloc", ctypes.byref(found), ctypes.c_size_t(count), 0)
        address = int(found.value or 0)
        memory: Any = (ctypes.c_uint8 * count).from_address(address)
        weakref.finalize(memory, self._free, ctypes.c_void_p(address)).atexit = False
        self.pinned_bytes += count
        return Pinned(np.frombuffer(memory, dtype).reshape(shape), address, memory)

    def _free(self, address: ctypes.c_void_p) -> None:
        """Give pinned memory back, in whichever thread lets it go: that one's own work on a card is left as it was."""
        driver, mode, before = self._driver, ctypes.c_int(THREAD_LOCAL), ctypes.c_void_p()
        driver.cuCtxPushCurrent_v2(self._context)
        driver.cuThreadExchangeStreamCaptureMode(ctypes.byref(mode))
        driver.cuMemFreeHost(address)
        driver.cuThreadExchangeStreamCaptureMode(ctypes.byref(mode))
        driver.cuCtxPopCurrent_v2(ctypes.byref(before))

    def copy(self, target: int, source: int, count: int) -> None:
        """Queue a copy of `count` bytes between two addresses, each of the card's or of pinned memory."""
        self.enter()
        addresses = ctypes.c_uint64(target), ctypes.c_uint64(source)
        self._ask("cuMemcpyAsync", *addresses, ctypes.c_size_t(count), self._stream)

    def mark(self, number: int) -> None:
        """Queue the taking of a time, for `seconds`."""
        self.enter()
        if number not in self._marks:
            event = ctypes.c_void_p()
            self._ask("cuEventCreate", ctypes.byref(event), 0)
            self._marks[number] = event
        self._ask("cuEventRecord", self._marks[number], self._stream)

    def seconds(self, first: int, last: int) -> float:
        """Return how long the card took from one mark to another, both of which it has passed."""
        self.enter()
        milliseconds = ctypes.c_float()
        self._ask("cuEventElapsedTime", ctypes.byref(milliseconds), self._marks[first], self._marks[last])
        return milliseconds.value / 1000

    def wait(self) -> None:
        """Wait until all that was queued is done."""
        self.enter()
        self.waits += 1
        self._ask("cuStreamSynchronize", self._stream)

    def end_capture(self) -> None:
        """End a capture that a failed run has left behind, and drop it: until then nothing runs on this stream."""
        self.enter()
        state, graph = ctypes.c_int(), ctypes.c_void_p()
        self._ask("cuStreamIsCapturing", self._stream, ctypes.byref(state))
        if state.value:
            self._driver.cuStreamEndCapture(self._stream, ctypes.byref(graph))  # an error when the capture is spoilt
        if graph.value:
            self._ask("cuGraphDestroy", graph)

    def free_bytes(self) -> int:
        """Return how much of the card's memory nobody holds."""
        self.enter()
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._ask("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def _ask(self, name: str, *arguments: Any) -> None:
        function: Callable[..., int] = getattr(self._driver, name)
        failed = function(*arguments)
        if failed:
            raise ProviderError(
                f"the NVIDIA driver refuses {name} (CUDA error {failed}); check nvidia-smi, or use --device cpu"
            )


_engine: ContextVar[int] = ContextVar("engine", default=0)
_numbers = itertools.count(1)
_streams: WeakValueDictionary[int, CudaStream] = WeakValueDictionary()  # by the engine's number; sessions hold them


@contextmanager
def engine_stream() -> Iterator[None]:
    """Give the sessions that are loaded inside one stream, which is nobody else's."""
    token = _engine.set(next(_numbers))
    try:
        yield
    finally:
        _engine.reset(token)


def shared_stream() -> CudaStream:
    """Return the stream of the engine that is being loaded, ready for this thread.

    Sessions that share it hand tensors on without the host. Outside of `engine_stream` it is that of all such sessions.
    """
    stream = _streams.get(_engine.get()) or CudaStream()
    _streams[_engine.get()] = stream
    stream.enter()
    return stream
