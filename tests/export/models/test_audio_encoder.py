"""The encoder's graph against the reference's own path: SeamlessM4TFeatureExtractor, then Wav2Vec2BertModel."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clavilux.export.checkpoints.load import load_encoder
from clavilux.export.checkpoints.locate import read_config
from clavilux.export.models.audio_encoder import (
    AudioEncoderGraph,
    check_encoder,
    max_frames,
    reference_tokens,
    token_width,
)
from clavilux.export.models.feature_extractor import Features
from clavilux.export.models.usual_sounds import usual_sounds, voice
from clavilux.runtime.errors import ExportError
from tests.tiny import WIDTH, WINDOW_SAMPLES


@pytest.fixture(scope="module")
def encoder(tiny_checkpoints: Path):
    return load_encoder(tiny_checkpoints / "encoder")


@pytest.fixture
def config(tiny_checkpoints: Path) -> dict:
    return read_config(tiny_checkpoints / "encoder", "encoder")


@pytest.mark.parametrize(("samples", "padded"), [(60_000, 376), (32_000, 200), (64_000, 400)])
def test_a_window_is_padded_to_the_references_frames(samples: int, padded: int):
    assert max_frames(samples) == padded


@pytest.mark.parametrize("padding", [0.0, 1.0])
@pytest.mark.parametrize("samples", [200_000, WINDOW_SAMPLES + 400, WINDOW_SAMPLES, 16_000, 5_000, 720])
@pytest.mark.parametrize("seed", range(5))
def test_the_graph_gives_the_references_tokens(encoder, samples: int, seed: int, padding: float):
    """Of a longer sound too: its mean is taken over all of it, and its first frames are heard."""
    sound, features = usual_sounds(samples, 5)[seed], Features(WINDOW_SAMPLES, padding)
    (expected,) = reference_tokens(encoder, [features.prepared(sound)])
    graph = AudioEncoderGraph(encoder, max_frames(WINDOW_SAMPLES), padding)
    with torch.inference_mode():
        found = graph(torch.from_numpy(features.raw(sound))).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_batch_gives_what_its_sounds_give_alone(encoder):
    graph, features = AudioEncoderGraph(encoder, 200), Features(WINDOW_SAMPLES)
    sounds = [torch.from_numpy(features.raw(sound)) for sound in usual_sounds(WINDOW_SAMPLES, 2)]
    with torch.inference_mode():
        together, alone = graph(torch.cat(sounds)), torch.cat([graph(sound) for sound in sounds])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_loudness_does_not_change_the_tokens(encoder):
    graph, features = AudioEncoderGraph(encoder, 200), Features(WINDOW_SAMPLES)
    raw = torch.from_numpy(features.raw(voice(WINDOW_SAMPLES, 1)))
    with torch.inference_mode():
        torch.testing.assert_close(graph(raw + 3), graph(raw), atol=1e-3, rtol=0)


def test_frames_that_never_change_give_finite_tokens(encoder):
    with torch.inference_mode():
        assert AudioEncoderGraph(encoder, 200)(torch.full((1, 198, 80), -15.94)).isfinite().all()


def test_a_wav2vec2_bert_with_an_adapter_passes(config: dict):
    check_encoder(config, "here")
    assert token_width(config) == WIDTH


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "clip_text_model"}, "is a 'clip_text_model' model; expected 'wav2vec2-bert'"),
        ({"add_adapter": False}, "has no adapter"),
        ({"feature_projection_input_dim": 80}, "takes 80 features; expected 160"),
    ],
)
def test_another_model_is_refused(config: dict, change: dict, message: str):
    with pytest.raises(ExportError, match=message):
        check_encoder(config | change, "here")


def test_the_token_width_falls_back_to_the_hidden_size():
    assert token_width({"hidden_size": 7}) == 7


def test_the_references_window_gives_its_47_tokens(encoder):
    raw = torch.from_numpy(Features(60_000).raw(voice(60_000, 0)))
    with torch.inference_mode():
        assert AudioEncoderGraph(encoder, max_frames(60_000))(raw).shape == (1, 47, WIDTH)
