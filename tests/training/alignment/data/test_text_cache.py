"""Text tokens are those of the text encoder, and are computed once, whatever happens to the process."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextModel

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.alignment.data.text_cache import ClipText, TextCache, TextPlaces, caption_key
from tests import tiny


class Counting:
    """An encoder whose tokens are told by the caption, and which counts what it encodes."""

    def __init__(self, tokens: int = 3, width: int = 2) -> None:
        self.tokens, self.width = tokens, width
        self.encoded: list[str] = []

    def about(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "width": self.width}

    def encode(self, captions: Sequence[str]) -> Tensor:
        self.encoded += captions
        return torch.stack([self.of(caption) for caption in captions])

    def of(self, caption: str) -> Tensor:
        return torch.full((self.tokens, self.width), float(len(caption))) + torch.arange(self.width)


def clip(checkpoints: Path, tokens: int = 7) -> ClipText:
    return ClipText(TextPlaces.from_checkpoint(str(checkpoints / "pipeline")), tokens)


def test_tokens_are_the_last_hidden_state_without_bos(tiny_checkpoints: Path) -> None:
    captions = ["a dog barks", "rain", "a very long caption that does not fit"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoints / "pipeline" / "tokenizer")
    ids = tokenizer(captions, padding="max_length", max_length=8, truncation=True, return_tensors="pt").input_ids
    model = CLIPTextModel.from_pretrained(tiny_checkpoints / "pipeline" / "text_encoder").eval()
    with torch.inference_mode():
        expected = model(ids).last_hidden_state[:, 1:]
    torch.testing.assert_close(clip(tiny_checkpoints).encode(captions), expected, rtol=1e-4, atol=1e-5)


def test_with_attention_masks_tokens_are_what_the_reference_trains_on(tiny_checkpoints: Path) -> None:
    captions = ["dog", "a very long caption that does not fit"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoints / "pipeline" / "tokenizer")
    asked = tokenizer(captions, padding="max_length", max_length=8, truncation=True, return_tensors="pt")
    model = CLIPTextModel.from_pretrained(tiny_checkpoints / "pipeline" / "text_encoder").eval()
    with torch.inference_mode():
        expected = model(**asked).last_hidden_state[:, 1:]
    found = ClipText(TextPlaces.from_checkpoint(str(tiny_checkpoints / "pipeline")), 7, masked=True).encode(captions)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    plain = clip(tiny_checkpoints).encode(captions)
    other = (found - plain).abs().amax(dim=-1) > 1e-3
    assert other.tolist() == [[False] * 4 + [True] * 3, [False] * 7]  # behind d, o, g and the end; nothing is padded


def test_text_with_attention_masks_has_a_cache_of_its_own(tmp_path: Path, tiny_checkpoints: Path) -> None:
    places = TextPlaces.from_checkpoint(str(tiny_checkpoints / "pipeline"))
    plain, masked = (TextCache(tmp_path, ClipText(places, 7, masked=masked)).folder for masked in (False, True))
    assert plain != masked


def test_the_text_encoder_is_frozen(tiny_checkpoints: Path) -> None:
    text = clip(tiny_checkpoints)
    assert not text.encode(["dog"]).requires_grad
    assert not any(weight.requires_grad for weight in text._load()[1].parameters())


def test_a_caption_is_encoded_once(tmp_path: Path) -> None:
    encoder = Counting()
    cache = TextCache(tmp_path, encoder)
    assert cache.add(["dog", "rain", "dog"]) == 2
    assert TextCache(tmp_path, encoder).add(["rain", "dog", "train"]) == 1
    assert encoder.encoded == ["dog", "rain", "train"]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=6))
def test_every_caption_gets_its_own_tokens_back(tmp_path_factory: pytest.TempPathFactory, captions: list[str]) -> None:
    encoder = Counting()
    folder = tmp_path_factory.mktemp("cache")
    TextCache(folder, encoder).add(captions)
    again = TextCache(folder, encoder)
    expected = torch.stack([encoder.of(caption) for caption in captions])
    assert torch.equal(again.tokens(captions), expected)
    assert torch.equal(again.by_key([caption_key(caption) for caption in captions]), expected)


def test_more_captions_than_a_round_are_all_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clavilux.training.alignment.data.text_cache.ROUND", 3)
    captions = ["x" * n for n in range(1, 9)]
    assert TextCache(tmp_path, Counting()).tokens(captions)[:, 0, 0].tolist() == list(map(float, range(1, 9)))


@pytest.mark.parametrize(("file", "cut"), [("tokens.f32", 5), ("captions.jsonl", 3), ("tokens.f32", 24 + 5)])
def test_what_a_kill_cut_off_is_encoded_again(tmp_path: Path, file: str, cut: int) -> None:
    encoder = Counting()
    cache = TextCache(tmp_path, encoder)
    cache.add(["dog", "rain", "train"])
    path = cache.folder / file
    path.write_bytes(path.read_bytes()[:-cut])
    again = TextCache(tmp_path, encoder)
    assert len(again) == (1 if cut > 24 else 2)
    assert again.tokens(["train", "rain", "dog"])[:, 0, 0].tolist() == [5.0, 4.0, 3.0]
    assert TextCache(tmp_path, encoder).tokens(["train", "rain", "dog"])[:, 0, 0].tolist() == [5.0, 4.0, 3.0]


def test_another_number_of_tokens_is_another_cache(tmp_path: Path) -> None:
    TextCache(tmp_path, Counting(tokens=3)).add(["dog"])
    assert len(TextCache(tmp_path, Counting(tokens=4))) == 0


def test_other_weights_are_another_cache(tmp_path: Path, tiny_checkpoints: Path) -> None:
    torch.manual_seed(5)
    tiny.write_text_encoder(tmp_path / "pipeline" / "text_encoder", num_hidden_layers=1)
    tiny.write_tokenizer(tmp_path / "pipeline" / "tokenizer")
    folders = {TextCache(tmp_path / "text", clip(one)).folder for one in (tmp_path, tiny_checkpoints)}
    assert len(folders) == 2


def test_a_missing_caption_is_encoded_when_it_is_asked_for(tmp_path: Path) -> None:
    cache = TextCache(tmp_path, Counting())
    assert cache.tokens(["dog"]).shape == (1, 3, 2)
    assert len(cache) == 1


def test_keys_fit_a_tensor_and_differ() -> None:
    keys = [caption_key(one) for one in ("dog", "rain", "dog ")]
    assert len(set(torch.tensor(keys).tolist())) == 3
    assert all(0 <= key < 2**63 for key in keys)


def test_a_text_encoder_that_takes_fewer_tokens_is_one_line(tiny_checkpoints: Path) -> None:
    assert clip(tiny_checkpoints, tokens=76).tokens == 76
    with pytest.raises(ClaviluxError, match=r"^77 tokens and BOS are 78, .* takes 77; use --tokens 76 or fewer$"):
        clip(tiny_checkpoints, tokens=77)


def test_a_text_encoders_own_folder_finds_the_tokenizer_beside_it(tiny_checkpoints: Path) -> None:
    places = TextPlaces.from_checkpoint(str(tiny_checkpoints / "pipeline" / "text_encoder"))
    assert ClipText(places, 7).encode(["dog"]).shape == (1, 7, tiny.WIDTH)


def test_a_text_encoder_may_hold_its_tokenizer(tmp_path: Path) -> None:
    tiny.write_text_encoder(tmp_path)
    tiny.write_tokenizer(tmp_path)
    places = TextPlaces.from_checkpoint(str(tmp_path))
    assert (places.encoder, places.tokenizer) == (str(tmp_path), str(tmp_path))


def test_a_tokenizer_may_lie_elsewhere(tmp_path: Path, tiny_checkpoints: Path) -> None:
    tiny.write_text_encoder(tmp_path / "text")
    tokenizer = str(tiny_checkpoints / "pipeline" / "tokenizer")
    places = TextPlaces.from_checkpoint(str(tmp_path / "text"), tokenizer)
    assert ClipText(places, 3).encode(["dog"]).shape[1] == 3


def test_a_text_encoder_without_a_tokenizer_is_one_line(tmp_path: Path) -> None:
    tiny.write_text_encoder(tmp_path / "text")
    with pytest.raises(ClaviluxError, match="has no tokenizer in it or beside it; name one with --tokenizer"):
        TextPlaces.from_checkpoint(str(tmp_path / "text"))


def test_another_kind_of_model_is_one_line(tiny_checkpoints: Path) -> None:
    with pytest.raises(ClaviluxError, match="is a 'wav2vec2-bert' model; expected clip_text_model or clip"):
        ClipText(TextPlaces(tiny_checkpoints / "encoder", tiny_checkpoints), 7)


def test_a_checkpoint_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ClaviluxError, match="does not exist"):
        ClipText(TextPlaces.from_checkpoint(str(tmp_path / "none")), 7)


def test_the_captions_can_be_read_by_people(tmp_path: Path) -> None:
    cache = TextCache(tmp_path, Counting())
    cache.add(["dog", "crème"])
    lines = (cache.folder / "captions.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == ["dog", "crème"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"a": 0, "b": 1}, r"cannot take captions \(.*\); expected the text encoder's own: name it with --tokenizer"),
        (
            {"<|startoftext|>": 5000, "<|endoftext|>": 5001},
            r"has more words than the \d+ of text encoder .*; give its own",
        ),
    ],
)
def test_a_vocabulary_of_others_is_one_line(
    tmp_path: Path, tiny_checkpoints: Path, words: dict[str, int], complaint: str
) -> None:
    shutil.copytree(tiny_checkpoints / "pipeline" / "tokenizer", tmp_path / "other")
    (tmp_path / "other" / "vocab.json").write_text(json.dumps(words))
    (tmp_path / "other" / "merges.txt").write_text("#version: 0.2\n")
    places = TextPlaces.from_checkpoint(str(tiny_checkpoints / "pipeline"), str(tmp_path / "other"))
    with pytest.raises(ClaviluxError, match=f"^tokenizer {tmp_path / 'other'} {complaint}"):
        ClipText(places, 7).encode(["dog"])


def test_two_trainings_that_share_a_cache_take_turns(tmp_path: Path) -> None:
    first, second = TextCache(tmp_path, Counting()), TextCache(tmp_path, Counting())
    first.add(["dog", "rain"])
    assert second.add(["train", "rain"]) == 1
    assert first.tokens(["train", "dog", "thunder"])[:, 0, 0].tolist() == [5.0, 3.0, 7.0]
    assert TextCache(tmp_path, Counting()).tokens(["dog", "thunder", "rain"])[:, 0, 0].tolist() == [3.0, 7.0, 4.0]


def test_what_is_cached_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = TextCache(tmp_path, Counting())
    cache.add(["dog"])
    monkeypatch.setattr(cache, "_whole_captions", lambda: pytest.fail("read again"))
    assert cache.add(["rain"]) == 1
    assert cache.tokens(["rain", "dog"])[:, 0, 0].tolist() == [4.0, 3.0]
