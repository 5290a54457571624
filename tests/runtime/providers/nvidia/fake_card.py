"""A card with memory and streams of its own, as NVIDIA's driver and ONNX Runtime see it; the arithmetic is the CPU's.

It is as unforgiving as a real one. Work is done when somebody waits for its stream, and no sooner: what is read before
that is old, and what is written too early reaches work that was queued before. Memory of the card cannot be read from
the host; memory of the host that is not pinned cannot be read from the card. A captured graph reads and writes where it
did when it was captured, and fails when that memory is gone. While one is captured, no other thread may allocate or
free, unless it was put into the mode that is for it; and a capture that nobody ended swallows all that is queued.
"""

import ctypes
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.runtime.providers.nvidia.fake_driver import Driver

INVALID_VALUE, INVALID_CONTEXT, NOT_READY, CAPTURING = 1, 201, 600, 900  # CUDA's error codes
THREAD_LOCAL = 1  # capture mode of a thread
CONTEXT = 11  # handle
FIRST_ADDRESS, ALIGNMENT = 1 << 44, 1 << 20
OPTION_GRAPH, OPTION_NO_WAIT = "gpu_graph_id", "disable_synchronize_execution_providers"


@dataclass
class Card(Driver):
    """The driver's library and the card behind it; the counters are what tests look at."""

    waits: int = 0  # how often the host has waited for the card, in whatever way
    allocations: int = 0  # of the card's memory and of pinned memory
    queues: dict[int, list[Callable[[], None]]] = field(default_factory=dict)  # of streams
    memory: dict[int, np.ndarray] = field(default_factory=dict)  # uint8, by address
    pinned: dict[int, Any] = field(default_factory=dict)
    refuses: set[str] = field(default_factory=set)  # functions that fail
    captures: dict[int, int] = field(default_factory=dict)  # being captured: thread, by stream
    spoilt: bool = False  # whether a capture met what no other thread may do
    _handles: int = 1000
    _done: int = 0  # pieces of work
    _times: dict[int, int] = field(default_factory=dict)
    _thread: threading.local = field(default_factory=threading.local)

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> "DeviceValue":
        """Return a tensor in the card's memory, full of rubbish."""
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = FIRST_ADDRESS + ALIGNMENT * (1 + self.allocations)
        assert count <= ALIGNMENT
        self.allocations += 1
        self.memory[address] = np.full(count, 0xFF, np.uint8)  # NaN as floats
        return DeviceValue(self, address, tuple(shape), np.dtype(dtype))

    def tensor(self, address: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return what lies at an address, as work on the card sees it."""
        if address not in self.memory:
            raise RuntimeError(f"CUDA error 700: an illegal memory access was encountered at {address:#x}")
        return self.memory[address].view(dtype).reshape(shape)

    def queue(self, stream: int, work: Callable[[], None]) -> None:
        if stream in self.captures:
            return  # into the graph, of which nothing runs before it is launched
        self.queues.setdefault(stream, []).append(work)

    def drain(self, stream: int) -> None:
        """Let the host wait for a stream."""
        self.waits += 1
        waiting = self.queues.pop(stream, [])
        for work in waiting:
            work()
            self._done += 1

    def cuDeviceGet(self, device: Any, number: int) -> int:  # noqa: N802
        device._obj.value = 0
        return self._failure("cuDeviceGet")

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:  # noqa: N802
        context._obj.value = CONTEXT
        return self._failure("cuDevicePrimaryCtxRetain")

    def cuCtxSetCurrent(self, context: Any) -> int:  # noqa: N802
        self._thread.contexts = [*getattr(self._thread, "contexts", [])[:-1], context.value]
        return self._failure("cuCtxSetCurrent")

    def cuCtxPushCurrent_v2(self, context: Any) -> int:  # noqa: N802
        self._thread.contexts = [*getattr(self._thread, "contexts", []), context.value]
        return self._failure("cuCtxPushCurrent_v2")

    def cuCtxPopCurrent_v2(self, context: Any) -> int:  # noqa: N802
        context._obj.value = self._thread.contexts.pop()
        return 0

    def cuThreadExchangeStreamCaptureMode(self, mode: Any) -> int:  # noqa: N802
        before = getattr(self._thread, "mode", 0)
        self._thread.mode, mode._obj.value = mode._obj.value, before
        return 0

    def cuStreamCreate(self, stream: Any, flags: int) -> int:  # noqa: N802
        self._handles += 1
        stream._obj.value = self._handles
        return self._failure("cuStreamCreate") or (0 if flags == 1 else INVALID_VALUE)

    def cuMemHostAlloc(self, pointer: Any, count: Any, flags: int) -> int:  # noqa: N802
        memory = (ctypes.c_uint8 * count.value)(*b"\xff" * min(count.value, 64))
        self.allocations += 1
        self.pinned[ctypes.addressof(memory)] = memory
        pointer._obj.value = ctypes.addressof(memory)
        return self._failure("cuMemHostAlloc") or self._disturbance()

    def cuMemFreeHost(self, pointer: Any) -> int:  # noqa: N802
        failure = self._failure("cuMemFreeHost") or self._disturbance()
        if not failure:
            del self.pinned[pointer.value]
        return failure

    def cuStreamIsCapturing(self, stream: Any, state: Any) -> int:  # noqa: N802
        state._obj.value = 2 if stream.value in self.captures else 0
        return self._failure("cuStreamIsCapturing")

    def cuStreamEndCapture(self, stream: Any, graph: Any) -> int:  # noqa: N802
        del self.captures[stream.value]
        self._handles += 1
        graph._obj.value = self._handles
        return self._failure("cuStreamEndCapture")

    def cuGraphDestroy(self, graph: Any) -> int:  # noqa: N802
        return self._failure("cuGraphDestroy")

    def cuMemcpyAsync(self, target: Any, source: Any, count: Any, stream: Any) -> int:  # noqa: N802
        into, out_of = (self._bytes(pointer.value, count.value) for pointer in (target, source))
        if into is None or out_of is None:
            return INVALID_VALUE

        def copy() -> None:
            into[...] = out_of

        self.queue(stream.value, copy)
        return self._failure("cuMemcpyAsync")

    def cuEventCreate(self, event: Any, flags: int) -> int:  # noqa: N802
        self._handles += 1
        event._obj.value = self._handles
        return self._failure("cuEventCreate")

    def cuEventRecord(self, event: Any, stream: Any) -> int:  # noqa: N802
        self._times.pop(event.value, None)
        self.queue(stream.value, lambda: self._times.update({event.value: self._done}))
        return self._failure("cuEventRecord")

    def cuEventElapsedTime(self, milliseconds: Any, first: Any, last: Any) -> int:  # noqa: N802
        """Each piece of work takes the card a millisecond."""
        if not {first.value, last.value} <= self._times.keys():
            return NOT_READY
        milliseconds._obj.value = self._times[last.value] - self._times[first.value]
        return self._failure("cuEventElapsedTime")

    def cuStreamSynchronize(self, stream: Any) -> int:  # noqa: N802
        failure = self._failure("cuStreamSynchronize") or (CAPTURING if stream.value in self.captures else 0)
        if not failure:
            self.drain(stream.value)
        return failure

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> int:  # noqa: N802
        free._obj.value, total._obj.value = 1 << 30, 1 << 31
        free._obj.value -= sum(map(len, self.memory.values()))
        return self._failure("cuMemGetInfo_v2")

    def _bytes(self, address: int, count: int) -> np.ndarray | None:
        """Return the memory at an address, None when the card does not reach it."""
        memory = self.memory.get(address)
        if memory is None and address in self.pinned:
            memory = np.frombuffer(self.pinned[address], np.uint8)
        return None if memory is None or len(memory) < count else memory[:count]

    def _failure(self, name: str) -> int:
        if name in self.refuses:
            return INVALID_VALUE
        free = {"cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuCtxPushCurrent_v2"}
        contexts = getattr(self._thread, "contexts", [])
        return 0 if name in free or contexts[-1:] == [CONTEXT] else INVALID_CONTEXT

    def _disturbance(self) -> int:
        """Return what an allocation meets while another thread captures: an error, which spoils the capture as well."""
        others = set(self.captures.values()) - {threading.get_ident()}
        if not others or getattr(self._thread, "mode", 0) == THREAD_LOCAL:
            return 0
        self.spoilt = True
        return CAPTURING


class DeviceValue:
    """An OrtValue on the card: an address."""

    def __init__(self, card: Card, address: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.card = card
        self.dtype = dtype
        self._address = address
        self._shape = shape
        weakref.finalize(self, card.memory.pop, address)

    def data_ptr(self) -> int:
        return self._address

    def shape(self) -> list[int]:
        return list(self._shape)

    def update_inplace(self, array: np.ndarray) -> None:
        """Copy at once, whatever is still queued."""
        self.card.waits += 1
        self.card.tensor(self._address, self._shape, self.dtype)[...] = array

    def numpy(self) -> np.ndarray:
        raise RuntimeError("the data of a tensor on the card cannot be read from the host")

    __array__ = numpy


class DeviceBinding:
    """An IOBinding whose values lie on the card."""

    def __init__(self, session: Any) -> None:
        self.inputs: dict[str, DeviceValue] = {}
        self.outputs: dict[str, DeviceValue | None] = {node.name: None for node in session.real.get_outputs()}
        self.fixed: set[str] = set()  # outputs whose place the caller gave

    def bind_ortvalue_input(self, name: str, value: DeviceValue) -> None:
        self.inputs[name] = value

    def bind_output(self, name: str, device: str) -> None:
        assert device == "cuda"
        self.fixed.discard(name)

    def bind_ortvalue_output(self, name: str, value: DeviceValue) -> None:
        self.outputs[name] = value
        self.fixed.add(name)

    def get_outputs(self) -> list[Any]:
        return list(self.outputs.values())

    def synchronize_inputs(self) -> None:
        pass

    def copy_outputs_to_cpu(self) -> list[np.ndarray]:
        """Copy on the default stream, which does not wait for the others."""
        values = [value for value in self.outputs.values() if value is not None]
        values[0].card.waits += 1
        return [value.card.tensor(value.data_ptr(), tuple(value.shape()), value.dtype).copy() for value in values]


@dataclass
class Runner:
    """How one session runs on the card."""

    card: Card
    real: Any  # session on the CPU
    stream: int  # that its runs are queued on
    heedless: bool = False  # whether it never waits for a stream that it was given
    while_capturing: Callable[[], object] = lambda: None  # done in the midst of each capture
    graphs: dict[int, tuple[dict[str, int], dict[str, int]]] = field(default_factory=dict)  # captured: addresses

    def run(self, binding: DeviceBinding, graph: int, *, waits: bool) -> None:
        """Queue a run; 0 and below: not as a CUDA graph."""
        kinds = self._allocate(binding)
        places = self._addresses(binding.inputs), self._addresses(binding.outputs)
        if graph > 0:
            if graph not in self.graphs:
                self._capture(binding)
            places = self.graphs.setdefault(graph, places)
        inputs = {name: (tuple(value.shape()), value.dtype) for name, value in binding.inputs.items()}
        self.card.queue(self.stream, lambda: self._work(*places, inputs, kinds))
        if waits and not self.heedless:
            self.card.drain(self.stream)

    def _capture(self, binding: DeviceBinding) -> None:
        """Go through a capture; one that fails is left behind on the stream."""
        self.card.spoilt, self.card.captures[self.stream] = False, threading.get_ident()
        self.while_capturing()
        if self.card.spoilt or binding.fixed != binding.outputs.keys():
            raise RuntimeError("CUDA error 900: operation not permitted when stream is capturing")
        del self.card.captures[self.stream]

    def _allocate(self, binding: DeviceBinding) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Make room for outputs without a place, anew in every run; return the shapes and types of all."""
        blank = {name: np.zeros(value.shape(), value.dtype) for name, value in binding.inputs.items()}
        results = dict(zip(binding.outputs, self.real.run(None, blank), strict=True))
        for name in binding.outputs.keys() - binding.fixed:
            binding.outputs[name] = self.card.allocate(results[name].shape, results[name].dtype)
        return {name: (result.shape, result.dtype) for name, result in results.items()}

    def _work(
        self,
        inputs: Mapping[str, int],
        outputs: Mapping[str, int],
        given: Mapping[str, tuple[tuple[int, ...], np.dtype]],
        kinds: Mapping[str, tuple[tuple[int, ...], np.dtype]],
    ) -> None:
        arrays = {name: self.card.tensor(address, *given[name]) for name, address in inputs.items()}
        for name, result in zip(outputs, self.real.run(None, arrays), strict=True):
            self.card.tensor(outputs[name], *kinds[name])[...] = result

    def _addresses(self, values: Mapping[str, DeviceValue | None]) -> dict[str, int]:
        return {name: value.data_ptr() for name, value in values.items() if value is not None}
