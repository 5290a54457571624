"""Typed words are measured by the bundle's own text encoder."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.loading import DEFAULT_BUNDLE
from clavilux.training.lumia.data.concepts import NAMES, with_article
from clavilux.training.lumia.data.light_words import LIGHT_WORDS, numbers_of_words
from clavilux.training.lumia.measure import typed


def test_the_default_bundle_reads_names_and_says_of_other_phrases_that_they_are_none():
    figures = typed.measure(DEFAULT_BUNDLE)
    shares = {one.what.partition(" ")[0]: one.value for one in figures if one.is_share}
    assert shares.keys() >= {"names", "other", "two", "phrases"}  # the last never seen by its text encoder
    assert min(shares.values()) > 0.95
    light = [one.value for one in figures if not one.is_share]
    assert len(light) == 2
    assert min(light) > 0.95


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_light_agrees_with_a_reader_that_tells_the_numbers_of_every_word(sign: float):
    names, rows = torch.eye(len(NAMES) + 9).split([len(NAMES), 9])
    meaning = {word: light for light in LIGHT_WORDS for word in light.words}

    def told(caption: str) -> list[int]:
        return [i for i, name in enumerate(NAMES) if caption.startswith(f"{with_article(name)} in ")]

    def read(captions: Sequence[str]) -> Tensor:
        lit = [tuple(meaning[word] for word in caption.split() if word in meaning) for caption in captions]
        named = [max(said, default=0) for said in (told(caption) for caption in captions)]
        numbers = torch.stack([numbers_of_words(one) for one in lit])
        return (names[named] + sign * numbers @ rows)[:, None].expand(-1, 4, -1)

    single, three, named = typed._lights(read, names[:, None].expand(-1, 4, -1), rows)
    assert [single.value, three.value, named.value] == pytest.approx([sign, sign, 1.0], abs=1e-4)


def test_words_for_light_that_stand_together_set_different_numbers():
    for group in typed._threes():
        numbers = [name for word in group for name in word.about]
        assert len(group) == 3
        assert len(numbers) == len(set(numbers))


def test_a_bundle_that_does_not_read_is_refused(tmp_path: Path):
    with pytest.raises(ClaviluxError, match=r"has no text_encoder.onnx; measure a bundle that reads"):
        typed.reader(tmp_path)


def test_the_table_says_how_many_captions():
    figures = [typed.Figure("names", 322, 0.991), typed.Figure("light", 9, 0.876, is_share=False)]
    assert typed.table_of(figures).endswith("| names | 322 | 99.1 % |\n| light | 9 | 0.88 |")
