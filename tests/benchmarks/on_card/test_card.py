"""The card by itself: what is told of it, and copies to it and back, on a fake one."""

from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest

from clavilux.benchmarks.on_card import card as card_itself
from clavilux.benchmarks.on_card.card import copied, copies, describe
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia.driver import find_card
from clavilux.runtime.providers.nvidia.stream import CudaStream
from tests.runtime.providers.nvidia.fake_gpu import Driver, FakeRuntime, load_only


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_itself, "COPIED", 4096)


@pytest.mark.usefixtures("measured")
def test_the_machine_is_told_even_where_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_itself, "find_card", lambda: find_card(load_only()))
    found = describe()
    assert next(found)["onnxruntime"]["cuda"] == "13.0"
    with pytest.raises(ProviderError, match="no NVIDIA driver"):
        next(found)


@pytest.mark.usefixtures("measured")
def test_the_card_is_told_with_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_itself, "find_card", lambda: find_card(load_only(libcuda=Driver(), nvcuda=Driver())))
    *_, found = describe()
    assert found["card"] == {"name": "NVIDIA Test", "architecture": "sm89", "cuda": "13.0"}
    assert found["machine"]["cores"] >= 1


def test_what_goes_up_comes_down_the_same(measured: FakeRuntime) -> None:
    (found,) = copies()
    assert (found["equal"], found["free_gib"]) == (True, 1.0)
    assert found["up_ms"] == found["down_ms"] == 2.0  # a copy and a mark, a millisecond each


def test_what_comes_down_otherwise_is_noticed(measured: FakeRuntime) -> None:
    stream = CudaStream(lambda name: measured.card)
    tensors = [measured.card.allocate((1024,), np.float32) for _ in range(2)]
    places = cycle(tensor.data_ptr() for tensor in tensors)  # up to the one, down from the other
    assert copied(stream, lambda shape: SimpleNamespace(data_ptr=places.__next__))["equal"] is False
