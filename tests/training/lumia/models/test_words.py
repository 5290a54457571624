"""Words have directions of their own, a tokenizer that knows them, and captions that say how much of each is meant."""

import random
import re

import pytest
import torch
from torch.nn.functional import mse_loss, normalize
from transformers import AutoTokenizer, CLIPTextModel, CLIPTokenizer

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES
from clavilux.training.lumia.data.light_words import LIGHT_WORDS, numbers_of_words
from clavilux.training.lumia.models import words
from clavilux.training.lumia.models.train_loop import Recipe

WIDTH, LENGTH = 16, 6
ROWS = len(NAMES) + 1  # idle is the last


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> CLIPTokenizer:
    return words.build_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def model(tokenizer) -> CLIPTextModel:
    torch.manual_seed(0)
    return words.build(tokenizer, WIDTH, LENGTH).eval()


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    return words.directions(ROWS, 32, seed=1)


@pytest.fixture(scope="module")
def said() -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Captions, the weights of their names, and their lights."""
    return words.drawn(random.Random(0), 500)


@pytest.fixture
def captions(said) -> tuple[list[str], torch.Tensor]:
    return said[:2]


@pytest.fixture(scope="module")
def space() -> words.Space:
    return words.space(ROWS, 48, seed=1)


def nearest(vectors: torch.Tensor) -> float:
    """The largest cosine, sign left out, between two rows."""
    flat = normalize(vectors, dim=1)
    return float((flat @ flat.T).abs().tril(-1).max())


def lit_by(caption: str) -> set[str]:
    """Words for light in a caption."""
    return {word for one in LIGHT_WORDS for word in one.words} & set(re.findall(r"\w+", caption.lower()))


def named_in(caption: str) -> set[str]:
    """Concepts one of whose words is in the caption as a word."""
    return {one.name for one in CONCEPTS if any(re.search(rf"\b{word}\b", caption.lower()) for word in one.words)}


def test_directions_have_mean_zero_and_variance_one(vectors):
    assert vectors.shape == (ROWS, 32)
    torch.testing.assert_close(vectors.mean(dim=1), torch.zeros(ROWS), atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors.var(dim=1, unbiased=False), torch.ones(ROWS), atol=1e-4, rtol=0)


def test_directions_are_further_apart_than_chance_puts_them(vectors):
    chance = torch.randn(ROWS, 32, generator=torch.Generator().manual_seed(1))
    assert nearest(vectors) < 0.75 * nearest(chance)


def test_no_direction_of_the_default_bundle_resembles_another():
    assert nearest(words.directions(ROWS, 144, seed=0)) < 0.2


def test_directions_depend_on_the_seed_alone():
    assert torch.equal(words.directions(9, 8, seed=2), words.directions(9, 8, seed=2))
    assert not torch.equal(words.directions(9, 8, seed=2), words.directions(9, 8, seed=3))


def test_names_of_a_space_have_mean_zero_and_variance_one(space):
    assert space.names.shape == (ROWS, 48)
    torch.testing.assert_close(space.names.mean(dim=1), torch.zeros(ROWS), atol=1e-5, rtol=0)
    torch.testing.assert_close(space.names.var(dim=1, unbiased=False), torch.ones(ROWS), atol=1e-4, rtol=0)


def test_light_is_at_right_angles_to_every_name_and_to_itself(space):
    assert space.light.shape == (len(LIGHT_NUMBERS), 48)
    assert (space.light @ space.names.T).abs().max() < 1e-4
    assert space.light.mean(dim=1).abs().max() < 1e-5
    square = words.LIGHT_LENGTH**2 * torch.eye(len(LIGHT_NUMBERS))
    torch.testing.assert_close(space.light @ space.light.T, square, atol=1e-4, rtol=0)


def test_names_are_as_far_apart_beside_light_as_without_it(space):
    assert nearest(space.names) < 1.1 * nearest(words.directions(ROWS, 38, seed=1))


def test_light_moves_a_thing_less_than_from_one_name_to_another():
    """Of the default bundle's width: at full strength of one number the nearest name stays the same."""
    known = words.space(len(NAMES) + 1, 144, seed=0)
    lit = known.names[:, None] + known.light
    near = torch.einsum("nld,kd->nlk", normalize(lit, dim=2), normalize(known.names, dim=1)).argmax(dim=2)
    assert (near == torch.arange(ROWS)[:, None]).all()


def test_a_space_depends_on_the_seed_alone():
    one, again, other = (words.space(9, 20, seed) for seed in (2, 2, 3))
    assert torch.equal(one.names, again.names)
    assert torch.equal(one.light, again.light)
    assert not torch.equal(one.light, other.light)


def test_begin_and_end_are_the_last_two_entries(tokenizer):
    assert tokenizer.convert_tokens_to_ids([words.BOS, words.EOS]) == [len(tokenizer) - 2, len(tokenizer) - 1]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (len(tokenizer) - 2, len(tokenizer) - 1)
    assert len(tokenizer) <= words.VOCABULARY


def test_every_name_is_one_entry_or_two_for_each_of_its_words(tokenizer):
    counts = {name: len(tokenizer.tokenize(name)) for name in NAMES}
    assert [name for name, count in counts.items() if count > 2 * len(name.split())] == []
    assert sum(count == 1 for count in counts.values()) > 0.9 * len(NAMES)


def test_every_word_of_a_concept_is_spelt_without_the_unknown_token(tokenizer):
    spelt = {word: tokenizer.tokenize(word) for one in CONCEPTS for word in one.words}
    assert [word for word, tokens in spelt.items() if tokenizer.unk_token in tokens] == []


def test_capitals_make_no_difference(tokenizer):
    assert tokenizer("A Dog").input_ids == tokenizer("a dog").input_ids


def test_a_saved_tokenizer_comes_back_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    texts = ["a dog", "ferris wheel and an umbrella", "maybe later"]
    assert loaded(texts).input_ids == tokenizer(texts).input_ids


def test_ids_are_begin_the_caption_and_end_to_the_end(tokenizer):
    first, second = words.ids_of(tokenizer, ["dog", ""], LENGTH).tolist()
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert first == [begin, *tokenizer.convert_tokens_to_ids(["dog</w>"]), *[end] * 4]
    assert second == [begin, *[end] * 5]


def test_a_long_caption_is_cut_and_still_ends(tokenizer):
    (row,) = words.ids_of(tokenizer, [" ".join(["dog"] * 20)], LENGTH).tolist()
    assert len(row) == LENGTH
    assert row[-1] == tokenizer.eos_token_id


def test_the_text_encoder_knows_the_tokenizer_and_gives_a_token_per_place(model, tokenizer):
    assert model.config.vocab_size == len(tokenizer)
    assert (model.config.bos_token_id, model.config.eos_token_id) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    with torch.no_grad():
        assert model(words.ids_of(tokenizer, ["dog"], LENGTH)).last_hidden_state.shape == (1, LENGTH, WIDTH)


def test_the_weights_of_every_caption_add_up_to_one(captions):
    texts, weights = captions
    assert weights.shape == (len(texts), ROWS)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(texts)))


def test_captions_hold_a_word_of_every_concept_that_has_weight(captions):
    for text, row in zip(*captions, strict=True):
        wanted = {NAMES[i] for i in row.nonzero().flatten().tolist() if i < len(NAMES)}
        assert wanted <= named_in(text)


def test_two_concepts_share_the_weight_and_nothing_weighs_on_idle(captions):
    for row in captions[1]:
        assert sorted(row[row > 0].tolist()) in ([1.0], [0.5, 0.5])
        assert row[-1] in (0.0, 1.0)


def test_captions_of_two_and_of_none_have_their_shares(captions):
    _, weights = captions
    assert ((weights > 0).sum(dim=1) == 2).float().mean() == pytest.approx(words.PAIRED, abs=0.06)
    assert (weights[:, -1] == 1).float().mean() == pytest.approx(words.UNKNOWN, abs=0.05)


def test_captions_that_mean_none_name_none(captions):
    texts, weights = captions
    nothing = [text for text, row in zip(texts, weights, strict=True) if row[-1] == 1]
    assert "" in nothing
    assert [text for text in nothing if named_in(text)] == []


def test_the_light_of_a_caption_is_that_of_its_words(said):
    for text, _, numbers in zip(*said, strict=True):
        found = tuple(one for one in LIGHT_WORDS if lit_by(text) & set(one.words))
        assert torch.equal(numbers, numbers_of_words(found)), text


def test_words_for_light_have_their_share_and_never_contradict_each_other(said):
    found = [[one for one in LIGHT_WORDS if lit_by(text) & set(one.words)] for text in said[0]]
    assert sum(map(bool, found)) / len(found) == pytest.approx(words.LIT, abs=0.06)
    assert {len(chosen) for chosen in found} == set(range(words.MOST_LIGHTS + 1))
    for chosen in found:
        about = [name for one in chosen for name in one.about]
        assert len(set(about)) == len(about)


def test_light_is_said_before_a_thing_behind_it_and_alone(said):
    texts, weights, _ = said
    places = set()
    for text, row in zip(texts, weights, strict=True):
        if lit_by(text):
            inner = re.findall(r"\w+", text.lower())
            first = min(inner.index(word) for word in lit_by(text))
            places.add("alone" if row[-1] == 1 else "before" if first == 0 else "behind")
    assert places == {"alone", "before", "behind"}


def test_captions_say_names_synonyms_articles_and_chatter(captions):
    texts = [text for text, row in zip(*captions, strict=True) if row[-1] == 0]
    synonyms = {word for one in CONCEPTS for word in one.synonyms}
    assert any(word in text.split() for text in texts for word in synonyms)
    assert any(text in NAMES for text in texts)
    assert any(text != text.lower() for text in texts)


def test_the_same_dice_draw_the_same_captions():
    first, second, other = (words.drawn(random.Random(seed), 20)[0] for seed in (3, 3, 4))
    assert first == second != other


def test_the_table_has_the_names_then_nothing_without_the_first_token(model, tokenizer):
    begin, table = words.token_table(model, tokenizer)
    assert begin.shape == (WIDTH,)
    assert table.shape == (ROWS, LENGTH - 1, WIDTH)
    with torch.no_grad():
        dog, nothing = model(words.ids_of(tokenizer, ["dog", ""], LENGTH)).last_hidden_state
    torch.testing.assert_close(table[NAMES.index("dog")], dog[1:], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(table[-1], nothing[1:], atol=1e-4, rtol=1e-3)


def test_the_first_token_is_the_same_for_every_prompt(model, tokenizer):
    begin, _ = words.token_table(model, tokenizer)
    with torch.no_grad():
        tokens = model(words.ids_of(tokenizer, ["dog", "a cat and a piano"], LENGTH)).last_hidden_state
    torch.testing.assert_close(tokens[:, 0], begin.expand(2, -1), atol=1e-4, rtol=1e-3)


@torch.no_grad()
def answer(model: CLIPTextModel, tokenizer: CLIPTokenizer, *texts: str) -> torch.Tensor:
    """Tokens of texts but for the first, the mean over positions: [texts, width]."""
    return model(words.ids_of(tokenizer, texts, LENGTH)).last_hidden_state[:, 1:].mean(dim=1)


def test_fitting_pulls_names_to_their_directions_and_words_for_light_to_theirs(tokenizer, tmp_path):
    torch.manual_seed(0)
    model, known = words.build(tokenizer, WIDTH, LENGTH).eval(), words.space(ROWS, WIDTH, seed=0)

    def distance() -> float:
        _, table = words.token_table(model, tokenizer)
        return float(mse_loss(table, known.names[:, None].expand_as(table)))

    def brightness() -> float:
        bright, dark = answer(model, tokenizer, "bright light", "dark light") @ known.light[-1]
        return float(bright - dark)

    before = distance(), brightness()
    words.fit(model, tokenizer, known, Recipe(steps=60, rate=1e-2, warmup=2), tmp_path / "words.pt", batch=32)
    assert distance() < 0.95 * before[0]
    assert brightness() > 1.2 * before[1]


def test_the_vocabulary_is_the_same_in_every_run(tokenizer, tmp_path):
    assert words.build_tokenizer(tmp_path).get_vocab() == tokenizer.get_vocab()


def test_others_read_the_tokenizer_from_its_folder(tokenizer, tmp_path):
    words.build_tokenizer(tmp_path)
    other = AutoTokenizer.from_pretrained(tmp_path, use_fast=True)
    assert other("a hippopotamus!").input_ids == tokenizer("a hippopotamus!").input_ids
    assert other.pad_token == words.EOS


@pytest.mark.parametrize("caption", ["quiz dog", "a 3 dog", "dog!", "jazz, u, v"])
def test_no_letter_is_taken_for_the_end(tokenizer, caption):
    assert tokenizer.eos_token_id not in tokenizer(caption).input_ids[:-1]


def test_the_commonest_pair_is_merged_first_and_of_equals_the_first():
    assert words.learn_merges(["aab", "aab", "cd"], 2) == [("a", "a"), ("aa", "b</w>")]
    assert words.learn_merges(["xy", "ab"], 1) == [("a", "b</w>")]


def test_merging_ends_when_every_word_is_whole():
    assert len(words.learn_merges(["ab"], 100)) == 1
