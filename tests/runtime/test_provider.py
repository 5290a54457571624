"""Execution providers: the one that was asked for runs, or an error says why not."""

import sys
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import ProviderError
from runtime.provider import open_session


def test_a_session_names_what_really_runs(tiny_bundle: Path) -> None:
    assert open_session(tiny_bundle / "decoder.onnx").provider == "CPUExecutionProvider"


def test_a_session_runs_the_graph_on_host_arrays(tiny_bundle: Path) -> None:
    (pictures,) = open_session(tiny_bundle / "decoder.onnx", threads=1).run(
        {"latents": np.zeros((1, 4, 8, 8), np.float32)}
    )
    assert (pictures.shape, pictures.dtype) == ((1, 64, 64, 3), np.uint8)


def test_the_number_of_threads_does_not_change_the_picture_much(tiny_bundle: Path) -> None:
    latents = {"latents": np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)}
    one, two = (open_session(tiny_bundle / "decoder.onnx", threads=threads).run(latents)[0] for threads in (1, 2))
    assert np.abs(one.astype(int) - two.astype(int)).max() <= 1


def test_without_onnx_runtime_the_error_says_how_to_get_it(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ProviderError, match=r"pip install 'clavilux\[cpu\]'"):
        open_session(tiny_bundle / "decoder.onnx")


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    graph = tmp_path / "decoder.onnx"
    graph.write_text("not a graph")
    with pytest.raises(ProviderError, match=r"decoder\.onnx does not load on CPUExecutionProvider: "):
        open_session(graph)


def test_arrays_that_the_graph_does_not_take_are_named(tiny_bundle: Path) -> None:
    session = open_session(tiny_bundle / "decoder.onnx")
    with pytest.raises(ProviderError, match=r"decoder\.onnx does not run: .*; export the bundle again"):
        session.run({"latents": np.zeros((1, 3, 8, 8), np.float32)})
