"""The exported step is a stream whose tokens are torch's over many hops; its cost is told beside the window's."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.alternate import Ratio
from clavilux.benchmarks.studies import chunked_attention
from clavilux.benchmarks.studies.chunked_attention import HopCost
from clavilux.training.studies.chunked import Chunks, streamed

SAMPLES = 6400  # 0.4 s: 38 frames, 40 padded, 20 stacked
KEPT = 20


def tiny(layers: int) -> Wav2Vec2BertModel:
    return Wav2Vec2BertModel(
        Wav2Vec2BertConfig(
            hidden_size=16,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=24,
            feature_projection_input_dim=160,
            add_adapter=True,
            conv_depthwise_kernel_size=5,
            left_max_position_embeddings=6,
            right_max_position_embeddings=2,
            initializer_range=0.3,
            layerdrop=0.0,
            attn_implementation="eager",
        )
    )


@pytest.fixture(scope="module")
def model() -> Wav2Vec2BertModel:
    torch.manual_seed(0)
    return tiny(2).eval()


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(chunked_attention.SHAPES, "tiny", (tiny, 2))
    monkeypatch.setattr(chunked_attention, "WARM_UP", 0.0)


def test_the_graph_goes_on_hop_by_hop_as_the_masked_forward_does_at_once(model, tmp_path: Path) -> None:
    chunks, window = Chunks(4, 2), 38
    sound = np.random.default_rng(1).normal(-5, 3, (1, window + 9 * 8, 80)).astype(np.float32)
    stream = chunked_attention.open_step(model, SAMPLES, chunks, tmp_path)
    for end in range(window, sound.shape[1] + 1, 8):
        tokens = stream.hear(sound[:, end - window : end])
        if end >= window + 4 * 8:  # a whole window was heard
            so_far = torch.from_numpy(sound[:, :end])
            expected = streamed(model, so_far, chunks, kept=KEPT, window=window)
            np.testing.assert_allclose(tokens, expected.numpy(), atol=1e-4, rtol=1e-3)


def test_a_chunk_without_context_can_be_exported_too(model, tmp_path: Path) -> None:
    stream = chunked_attention.open_step(model, SAMPLES, Chunks(10, 0), tmp_path)
    assert stream.hear(np.zeros((1, 38, 80), np.float32)).shape == (1, 10, 16)


def test_a_graph_that_is_not_torchs_is_refused() -> None:
    with pytest.raises(BenchError, match=r"hop 3: the graph's tokens are 5\.0e-01 from torch's"):
        chunked_attention._prove(np.full(3, 1.5), np.ones(3), "hop 3")


def test_chunks_see_no_more_than_the_window() -> None:
    assert chunked_attention.hearing_all(100, 5) == Chunks(5, 19)
    assert chunked_attention.hearing_all(188, 10) == Chunks(10, 17)


def test_the_step_does_less_than_the_window(shapes) -> None:
    (row,) = chunked_attention.measure("tiny", 2, 0.4, hops=(0.1,), rounds=2)
    assert (row.shape, row.layers, row.window, row.hop) == ("tiny", 2, 0.4, 0.1)
    assert 0.25 < row.arithmetic < 1
    assert row.whole_ms > 0
    assert row.step_ms > 0
    assert row.ratio.low <= row.ratio.value <= row.ratio.high


def test_the_table_names_every_figure() -> None:
    row = HopCost("lumia", 4, 2.0, 0.1, 8.16, 3.1, Ratio(0.38, 0.374, 0.385), 0.17, 0.75)
    last = chunked_attention.table_of([row]).splitlines()[-1].split()
    assert last == ["lumia", "4", "2.0", "0.1", "8.2", "3.1", "0.38", "(0.37-0.39)", "0.17", "0.8"]


def test_the_last_line_is_json(shapes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    row = HopCost("tiny", 2, 0.4, 0.2, 1.0, 0.5, Ratio(0.5, 0.4, 0.6), 0.3, 0.1)
    monkeypatch.setattr(chunked_attention, "measure", lambda *asked, **how: [row])
    chunked_attention.main(["--shape", "tiny", "--windows", "0.4"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["rows"] == [asdict(row)]
    assert told["machine"]["cores"] >= 1
