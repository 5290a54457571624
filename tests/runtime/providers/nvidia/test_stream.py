"""The stream that sessions share: what it queues, when it waits, and what pinned memory is, on a fake card."""

import ctypes
import threading

import numpy as np
import pytest

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia import stream as streams
from clavilux.runtime.providers.nvidia.stream import CudaStream, engine_stream, shared_stream
from tests.runtime.providers.nvidia.fake_card import Card, DeviceValue
from tests.runtime.providers.nvidia.fake_gpu import load_only


@pytest.fixture
def card() -> Card:
    return Card()


@pytest.fixture
def stream(card: Card) -> CudaStream:
    return CudaStream(lambda name: card)


def put(stream: CudaStream, card: Card, values: list[float]) -> DeviceValue:
    """Return a tensor on the card with these values."""
    staged, tensor = stream.pinned((len(values),), np.float32), card.allocate((len(values),), np.float32)
    staged.array[...] = values
    stream.copy(tensor.data_ptr(), staged.address, staged.array.nbytes)
    stream.wait()
    return tensor


def test_nothing_has_happened_before_the_host_waits(stream: CudaStream, card: Card) -> None:
    staged, back = stream.pinned((2,), np.float32), stream.pinned((2,), np.float32)
    tensor = card.allocate((2,), np.float32)
    staged.array[...], back.array[...] = 1.0, 0.0
    stream.copy(tensor.data_ptr(), staged.address, 8)
    stream.copy(back.address, tensor.data_ptr(), 8)
    assert back.array.tolist() == [0.0, 0.0]
    stream.wait()
    assert back.array.tolist() == [1.0, 1.0]
    assert (stream.waits, card.waits) == (1, 1)


def test_memory_that_is_not_pinned_is_refused(stream: CudaStream, card: Card) -> None:
    tensor, plain = card.allocate((2,), np.float32), np.zeros(2, np.float32)
    with pytest.raises(ProviderError, match=r"the NVIDIA driver refuses cuMemcpyAsync \(CUDA error 1\)"):
        stream.copy(tensor.data_ptr(), plain.ctypes.data, 8)


def test_pinned_memory_is_given_back_when_nobody_holds_it(stream: CudaStream, card: Card) -> None:
    pinned = stream.pinned((2, 3), np.uint8)
    assert (pinned.array.shape, pinned.array.dtype, stream.pinned_bytes, len(card.pinned)) == ((2, 3), np.uint8, 6, 1)
    view = pinned.array[1:]
    del pinned
    assert len(card.pinned) == 1
    del view
    assert len(card.pinned) == 0


def test_pinned_memory_is_given_back_by_a_thread_that_works_on_no_card(stream: CudaStream, card: Card) -> None:
    held = [stream.pinned((4,), np.uint8)]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert (len(held), len(card.pinned)) == (0, 0)


def test_giving_pinned_memory_back_leaves_the_thread_s_own_card_as_it_was(stream: CudaStream, card: Card) -> None:
    held = [stream.pinned((4,), np.uint8)]
    before, after = ctypes.c_void_p(77), ctypes.c_void_p()

    def let_go() -> None:
        card.cuCtxSetCurrent(before)
        held.clear()
        card.cuCtxPopCurrent_v2(ctypes.byref(after))

    thread = threading.Thread(target=let_go)
    thread.start()
    thread.join()
    assert (after.value, len(card.pinned)) == (77, 0)


def test_a_capture_that_was_left_behind_is_ended(stream: CudaStream, card: Card) -> None:
    pinned = stream.pinned((4,), np.uint8)
    card.captures[stream.handle] = threading.get_ident()
    with pytest.raises(ProviderError, match=r"refuses cuStreamSynchronize \(CUDA error 900\)"):
        stream.wait()
    stream.end_capture()
    stream.copy(pinned.address, pinned.address, 4)
    stream.wait()
    stream.end_capture()


def test_each_engine_has_a_stream_of_its_own(monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    monkeypatch.setattr(streams, "CudaStream", lambda: CudaStream(lambda name: card))
    found = []
    for _ in range(2):
        with engine_stream():
            found += [shared_stream(), shared_stream()]
    assert found[0] is found[1]
    assert found[2] is found[3]
    assert found[0].handle != found[2].handle
    assert shared_stream() not in found


def test_marks_tell_how_long_the_card_took_once_it_has_passed_them(stream: CudaStream, card: Card) -> None:
    tensor = put(stream, card, [1.0])
    for number in (0, 1):
        stream.mark(number)
        stream.copy(tensor.data_ptr(), tensor.data_ptr(), 4)
    with pytest.raises(ProviderError, match=r"refuses cuEventElapsedTime \(CUDA error 600\)"):
        stream.seconds(0, 1)
    stream.wait()
    assert stream.seconds(0, 1) == pytest.approx(0.002)


USES = {
    "pinned": lambda stream, address: stream.pinned((1,), np.uint8),
    "copy": lambda stream, address: stream.copy(address, address, 4),
    "mark": lambda stream, address: stream.mark(0),
    "seconds": lambda stream, address: stream.seconds(8, 9),
    "wait": lambda stream, address: stream.wait(),
    "free_bytes": lambda stream, address: stream.free_bytes(),
}


@pytest.mark.parametrize("use", list(USES))
def test_any_thread_may_use_it_first(stream: CudaStream, card: Card, use: str) -> None:
    tensor, failures = put(stream, card, [1.0]), []
    for number in (8, 9):
        stream.mark(number)
    stream.wait()

    def work() -> None:
        try:
            USES[use](stream, tensor.data_ptr())
        except ProviderError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures == []


def test_it_tells_how_much_memory_the_card_has_left(stream: CudaStream, card: Card) -> None:
    before = stream.free_bytes()
    tensor = card.allocate((100,), np.float32)
    assert before - stream.free_bytes() == 400
    del tensor


def test_without_a_driver_the_error_says_so() -> None:
    with pytest.raises(ProviderError, match="no NVIDIA driver here"):
        CudaStream(load_only())


@pytest.mark.parametrize("function", ["cuDevicePrimaryCtxRetain", "cuStreamCreate"])
def test_a_driver_that_refuses_is_named(card: Card, function: str) -> None:
    card.refuses.add(function)
    with pytest.raises(ProviderError, match=rf"the NVIDIA driver refuses {function} \(CUDA error 1\)"):
        CudaStream(lambda name: card)
