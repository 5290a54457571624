"""Graph optimisers, compared on the graphs of a real bundle, and what is said of one that fails."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from clavilux.benchmarks.studies import optimised_graphs
from clavilux.benchmarks.studies.optimised_graphs import AS_EXPORTED, CANDIDATES, Candidate, main, measure
from clavilux.runtime.bundle.bundle import Bundle


def test_every_optimiser_gives_a_graph_that_computes_the_same(tiny_bundle: Path):
    rows = {row.candidate: row for row in measure(Bundle.open(tiny_bundle), "audio_encoder", runs=1)}
    assert list(rows) == list(CANDIDATES)
    exported, int8 = rows[AS_EXPORTED], rows["int8"]
    assert exported.relative_l2 == 0
    fused = [rows[name] for name in ("onnxruntime fusions", "onnxscript fusions", "onnxslim")]
    assert all(row.nodes < exported.nodes and row.relative_l2 < 1e-5 for row in fused)
    assert exported.relative_l2 < int8.relative_l2 < 0.1
    assert all(row.speed > 0 for row in rows.values())


def test_weights_are_widened_before_anything_is_measured(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch):
    kinds: set[str] = set()

    def look(graph: Path, _out: Path, _part: str) -> None:
        whole = onnx.load(graph).graph
        read = {name for node in whole.node for name in node.input}
        kinds.update(str(numpy_helper.to_array(one).dtype) for one in whole.initializer if one.name in read)
        raise ValueError("seen enough")

    monkeypatch.setattr(optimised_graphs, "CANDIDATES", {"look": look})
    assert measure(Bundle.open(tiny_bundle), "denoiser", runs=1) == []
    assert "float16" not in kinds
    assert "float32" in kinds


def test_one_that_fails_is_named_and_the_others_stay(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(_graph: Path, _out: Path, _part: str) -> None:
        raise RuntimeError("no such fusion\nand a long story")

    kept = {"broken": fail, "silent": _silent, AS_EXPORTED: CANDIDATES[AS_EXPORTED]}
    monkeypatch.setattr(optimised_graphs, "CANDIDATES", kept)
    monkeypatch.setattr(
        "sys.argv", ["optimised_graphs", str(tiny_bundle), "--runs", "1", "--parts", "decoder", "--json"]
    )
    main()
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["decoder, broken: RuntimeError: no such fusion", "decoder, silent: KeyError"]
    assert said[2].split() == ["part", "candidate", "speed", "relative", "L2", "nodes"]
    (row,) = (Candidate(**one) for one in json.loads(said[-1]))
    assert (row.part, row.candidate, row.relative_l2) == ("decoder", AS_EXPORTED, 0.0)
    assert np.isfinite(row.speed)


def _silent(_graph: Path, _out: Path, _part: str) -> None:
    raise KeyError
