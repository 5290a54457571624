"""Captures and replays are counted from what ONNX Runtime writes to standard error, with C++'s own hands."""

import os
from pathlib import Path

import pytest

from clavilux.benchmarks.on_card import cuda_graphs
from clavilux.benchmarks.on_card.cuda_graphs import CAPTURED, REPLAYED, captures, counted, open_talking, stderr_kept
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.session import GraphFile
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime


def test_the_library_s_own_log_is_kept(tiny_bundle: Path) -> None:
    said: list[str] = []
    with stderr_kept(said):
        open_talking(GraphFile(tiny_bundle / DECODER), "CPUExecutionProvider", {})
    assert "Session successfully initialized" in said[0]


def test_the_log_is_kept_where_the_work_fails_and_standard_error_is_itself_again(capfd: pytest.CaptureFixture[str]):
    said: list[str] = []

    def fail() -> None:
        with stderr_kept(said):
            os.write(2, b"inside")
            raise ProviderError("it fails")

    with pytest.raises(ProviderError, match="it fails"):
        fail()
    os.write(2, b"outside")
    assert (said, capfd.readouterr().err) == (["inside"], "outside")


def test_captures_and_replays_are_counted() -> None:
    log = f"{CAPTURED} for this model\n{REPLAYED} CUDA graph\n{REPLAYED} CUDA graph\n"
    assert counted(log) == {"captured": 1, "replayed": 2}


def test_a_log_that_tells_of_neither_is_shown() -> None:
    assert counted("something else") == {"captured": 0, "replayed": 0, "log": "something else"}


@pytest.mark.usefixtures("measured")
def test_every_graph_is_told_of(tiny_bundle: Path) -> None:
    *_, found = captures(Bundle.open(tiny_bundle))
    assert found.keys() == {AUDIO_ENCODER, DENOISER, DECODER}


def test_a_graph_that_cannot_be_captured_says_why(measured: FakeRuntime, tiny_bundle: Path) -> None:
    measured.refuses["enable_cuda_graph"] = "graph capture is refused"
    *_, found = captures(Bundle.open(tiny_bundle))
    line = "audio_encoder.onnx does not load on CUDAExecutionProvider: graph capture is refused"
    assert found[AUDIO_ENCODER] == {"captured": 0, "replayed": 0, "refused": line}


def test_without_a_card_nothing_is_opened(tiny_bundle: Path) -> None:
    with pytest.raises(ProviderError, match=r"no CUDAExecutionProvider|no NVIDIA"):
        next(cuda_graphs.captures(Bundle.open(tiny_bundle)))
