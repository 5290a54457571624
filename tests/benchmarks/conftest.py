"""Shared by tests of benchmarks: a fake card, behind ONNX Runtime's CUDA provider."""

import pytest

from clavilux.runtime.providers.nvidia import cuda
from clavilux.runtime.providers.nvidia import driver as nvidia
from tests.runtime.providers.nvidia.fake_gpu import Driver, FakeRuntime, install, load_only

GPU = ("CUDAExecutionProvider", "CPUExecutionProvider")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """An ONNX Runtime with a fake card, on which the instrument's device `cuda` plays."""
    found = nvidia.find_card(load_only(libcuda=Driver(), nvcuda=Driver()))
    monkeypatch.setattr(cuda, "find_card", lambda: found)
    return install(monkeypatch, FakeRuntime(GPU))
