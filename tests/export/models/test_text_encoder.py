"""Words: the BOS token and the tokenizer."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import CLIPTextModel, CLIPTokenizer

from clavilux.export.checkpoints.configuration import read_model_config
from clavilux.export.checkpoints.load import load_text_encoder, load_tokenizer
from clavilux.export.models.text_encoder import (
    TextEncoderGraph,
    TextTokens,
    bos_embedding,
    check_length,
    check_text_encoder,
    check_vocabulary,
    example_ids,
    reference_text,
    text_tokens,
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
    return read_model_config(folder / "text_encoder", "text encoder")


@pytest.fixture
def tokenizer(folder: Path, tmp_path: Path) -> Tokenizer:
    write_tokenizer(load_tokenizer(folder / "tokenizer"), COUNT, tmp_path / "tokenizer.json")
    return Tokenizer.from_file(str(tmp_path / "tokenizer.json"))


def test_clips_own_vocabulary_ends_with_bos_and_eos():
    assert text_tokens({"vocab_size": 49408, "bos_token_id": 0}) == TextTokens(49406, 49407, 49408)


def test_tokens_that_were_added_lie_behind_clips_own():
    tokens = text_tokens({"vocab_size": 49410, "bos_token_id": 0})
    assert tokens.bos == 49406
    assert tokens.doubt == "no tokenizer tells which token is BOS; 49406 of 49410 is taken, CLIP's own"


def test_another_vocabulary_has_the_bos_of_its_configuration():
    tokens = text_tokens({"vocab_size": 1000, "bos_token_id": 7})
    assert tokens == TextTokens(7, 8, 1000, tokens.doubt)
    assert tokens.doubt.endswith("; 7 of 1000 is taken, as its configuration says")


@pytest.mark.parametrize("told", [0, None, 49406, 1000])
def test_a_configuration_that_names_no_possible_bos_leaves_the_last_but_one(told: int | None):
    tokens = text_tokens({"vocab_size": 1000, "bos_token_id": told})
    assert tokens == TextTokens(998, 999, 1000, tokens.doubt)
    assert tokens.doubt.endswith("; 998 of 1000 is taken, the last but one")


def test_a_tokenizer_knows_better_than_any_configuration(folder: Path):
    tokens = text_tokens({"vocab_size": 49410, "bos_token_id": 5}, load_tokenizer(folder / "tokenizer"))
    words = vocabulary()
    assert tokens == TextTokens(words["<|startoftext|>"], words["<|endoftext|>"], 49410)


def test_bos_is_position_0_of_the_empty_prompt(encoder, config: dict, tokenizer: Tokenizer):
    ids = torch.tensor([tokenizer.encode("").ids])
    found = bos_embedding(encoder, text_tokens(config).bos)
    np.testing.assert_allclose(found, reference_text(encoder, ids)[0, 0], atol=1e-5)


@pytest.fixture(scope="module")
def taught(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text encoder and its tokenizer with two words more, as textual inversion leaves them."""
    out = tmp_path_factory.mktemp("taught")
    words = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    words.add_tokens(["<my-cat>", "<my-style>"])
    words.save_pretrained(out / "tokenizer")
    model = CLIPTextModel.from_pretrained(folder / "text_encoder")
    model.resize_token_embeddings(len(words))
    model.save_pretrained(out / "text_encoder")
    return out


def test_with_added_tokens_bos_is_what_transformers_makes_of_the_empty_prompt(taught: Path):
    model = CLIPTextModel.from_pretrained(taught / "text_encoder").eval()
    ids = CLIPTokenizer.from_pretrained(taught / "tokenizer")("", return_tensors="pt").input_ids
    with torch.inference_mode():
        expected = model(input_ids=ids).last_hidden_state[0, 0].numpy()
    tokens = text_tokens(
        read_model_config(taught / "text_encoder", "text encoder"), load_tokenizer(taught / "tokenizer")
    )
    assert tokens.vocabulary == len(vocabulary()) + 2
    found = bos_embedding(load_text_encoder(taught / "text_encoder"), tokens.bos)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_word_that_was_added_is_one_token(taught: Path, tmp_path: Path):
    write_tokenizer(load_tokenizer(taught / "tokenizer"), COUNT, tmp_path / "tokenizer.json")
    ids = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("<my-cat>").ids
    words = vocabulary()
    assert ids[:3] == [words["<|startoftext|>"], len(words), words["<|endoftext|>"]]


def test_words_that_the_text_encoder_was_not_taught_are_refused(taught: Path, config: dict):
    tokenizer = load_tokenizer(taught / "tokenizer")
    with pytest.raises(ExportError) as caught:
        check_vocabulary(tokenizer, text_tokens(config, tokenizer), "here")
    most = len(vocabulary())
    assert str(caught.value) == (
        f"tokenizer here has {most + 2} tokens, the text encoder takes {most}; expected the text encoder that they "
        "were added to, or no words: --no-text"
    )
    check_vocabulary(tokenizer, text_tokens({"vocab_size": most + 64}, tokenizer), "here")


def test_bos_is_position_0_of_any_prompt(encoder, config: dict):
    tokens = text_tokens(config)
    found = reference_text(encoder, example_ids(tokens, COUNT))
    np.testing.assert_allclose(bos_embedding(encoder, tokens.bos), found[0, 0], atol=1e-5)


@given(vocabulary=st.integers(1, 60_000), count=st.integers(1, 77), data=st.data())
def test_example_ids_are_the_vocabularys_and_begin_with_bos(vocabulary: int, count: int, data: st.DataObject):
    bos, eos = (data.draw(st.integers(0, vocabulary - 1)) for _ in range(2))
    ids = example_ids(TextTokens(bos, eos, vocabulary), count)
    assert ids.shape == (1, count)
    assert ids[0, 0] == bos
    assert 0 <= int(ids.min()) <= int(ids.max()) < vocabulary


def test_the_graph_gives_the_last_hidden_state(encoder, config: dict):
    ids = example_ids(text_tokens(config), COUNT)
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
