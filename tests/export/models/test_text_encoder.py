"""Words: the BOS token and the tokenizer."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from clavilux.export.checkpoints.load import load_text_encoder, load_tokenizer
from clavilux.export.checkpoints.locate import read_config
from clavilux.export.models.text_encoder import (
    TextEncoderGraph,
    bos_embedding,
    bos_token,
    check_length,
    check_text_encoder,
    example_ids,
    reference_text,
    write_tokenizer,
)
from clavilux.runtime.errors import ExportError
from tests.tiny import WIDTH, vocabulary

COUNT = 12


@pytest.fixture(scope="module")
def folder(tiny_checkpoints: Path) -> Path:
    return tiny_checkpoints / "pipeline"


@pytest.fixture(scope="module")
def encoder(folder: Path):
    return load_text_encoder(folder / "text_encoder")


@pytest.fixture(scope="module")
def config(folder: Path) -> dict:
    return read_config(folder / "text_encoder", "text encoder")


@pytest.fixture
def tokenizer(folder: Path, tmp_path: Path) -> Tokenizer:
    write_tokenizer(load_tokenizer(folder / "tokenizer"), COUNT, tmp_path / "tokenizer.json")
    return Tokenizer.from_file(str(tmp_path / "tokenizer.json"))


def test_clips_own_vocabulary_ends_with_bos_and_eos():
    assert bos_token({"vocab_size": 49408, "bos_token_id": 0}) == 49406


def test_a_whole_clip_configuration_holds_the_text_encoders(config: dict):
    assert bos_token({"model_type": "clip", "text_config": config}) == bos_token(config)


def test_bos_is_position_0_of_the_empty_prompt(encoder, config: dict, tokenizer: Tokenizer):
    ids = torch.tensor([tokenizer.encode("").ids])
    np.testing.assert_allclose(bos_embedding(encoder, config), reference_text(encoder, ids)[0, 0], atol=1e-5)


def test_bos_is_position_0_of_any_prompt(encoder, config: dict):
    tokens = reference_text(encoder, example_ids(config, COUNT))
    np.testing.assert_allclose(bos_embedding(encoder, config), tokens[0, 0], atol=1e-5)


def test_the_graph_gives_the_last_hidden_state(encoder, config: dict):
    ids = example_ids(config, COUNT)
    with torch.inference_mode():
        np.testing.assert_array_equal(TextEncoderGraph(encoder)(ids), reference_text(encoder, ids))


def test_words_become_ids_between_bos_and_eos(tokenizer: Tokenizer):
    words = vocabulary()
    ids = tokenizer.encode("Hi ho").ids
    letters = [words[piece] for piece in ("h", "i</w>", "h", "o</w>")]
    assert ids[: len(letters) + 2] == [words["<|startoftext|>"], *letters, words["<|endoftext|>"]]


@pytest.mark.parametrize("prompt", ["", "a", "a very long prompt that is cut"])
def test_every_prompt_has_the_bundles_length(tokenizer: Tokenizer, prompt: str):
    assert len(tokenizer.encode(prompt).ids) == COUNT


def test_the_written_tokenizer_is_plain_json(tokenizer: Tokenizer, tmp_path: Path):
    assert json.loads((tmp_path / "tokenizer.json").read_text())["truncation"]["max_length"] == COUNT


def test_a_fitting_text_encoder_passes(config: dict):
    check_text_encoder(config, "here", WIDTH)
    check_length(config, 77)


def test_a_prompt_beyond_clips_positions_is_refused(config: dict):
    with pytest.raises(ExportError, match="has 78 tokens, the text encoder takes 77; leave the words out"):
        check_length(config, 78)


def test_another_width_is_refused(config: dict):
    with pytest.raises(ExportError, match=f"gives tokens {WIDTH} wide, the encoder 768; expected equal widths"):
        check_text_encoder(config, "here", 768)
