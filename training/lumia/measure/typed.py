"""Typed words, measured: whether the bundle's text encoder says what names, two names, words for light and others mean.

    python -m clavilux.training.lumia.measure.typed runtime/bundles/lumia

The measured encoder is the bundle's own ONNX graph, with its own tokenizer. Names are compared as `evaluate` compares
sounds; light is read along the rows that the bundle adds for it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import TEXT_ENCODER, TOKENIZER
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.providers.session import first_line
from clavilux.training.command_line import command
from clavilux.training.lumia.data.concepts import CONCEPTS, NAMES, with_article
from clavilux.training.lumia.data.light_words import LIGHT_WORDS, LightWord, numbers_of_words
from clavilux.training.lumia.measure.evaluate import concept_table, graph
from clavilux.training.lumia.models.targets import similarities

UNKNOWN = (  # phrases of everyday life, none of which training knows, without a name or a word for light
    "where did you put it", "i forgot what you said", "see you on monday", "how much does that cost",
    "we are late again", "please sit down", "nobody told me", "could you repeat that", "it was twenty years ago",
    "that makes no sense", "a question of taste", "the second attempt", "they moved to another country",
    "my sister works there", "in spite of everything", "what happened next", "hold on a minute", "not my fault",
    "an unusual idea", "thanks for coming", "the meeting was cancelled", "he never answers", "let us begin",
    "a matter of opinion", "do you remember", "somewhere else", "the price went up", "she laughed about it",
    "between you and me", "it depends", "an old agreement", "without any reason", "count to seven",
    "the weather forecast was wrong", "have a nice weekend", "that is your decision", "half of them left",
    "an empty promise", "who is next", "try it once more",
)  # fmt: skip
STEPS = (1, 7, 31, 101)  # from a concept to those that it is said together with
Read = Callable[[Sequence[str]], Tensor]


@dataclass(frozen=True)
class Figure:
    """One row of the report."""

    what: str
    captions: int
    value: float  # a share, 0..1, or a correlation
    is_share: bool = True

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} %" if self.is_share else f"{self.value:.2f}"


def reader(bundle: Path) -> Read:
    """Return the text encoder as a function of captions giving tokens [n, N, D], BOS left out.

    Raises ClaviluxError where the bundle has none.
    """
    if not (bundle / TEXT_ENCODER).exists():
        raise ClaviluxError(f"{bundle} has no {TEXT_ENCODER}; measure a bundle that reads")
    session, tokenizer = graph(bundle, TEXT_ENCODER), _tokenizer(bundle / TOKENIZER)

    def read(captions: Sequence[str]) -> Tensor:
        given = (torch.tensor([one.ids]).numpy() for one in tokenizer.encode_batch(list(captions)))
        return torch.cat([torch.from_numpy(session.run(None, {"input_ids": ids})[0]) for ids in given])[:, 1:]

    return read


def _tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises Exception itself
        raise ClaviluxError(f"{path} cannot be read ({first_line(error)}); export the bundle again") from error


def measure(bundle: Path) -> list[Figure]:
    """Return what the bundle's text encoder makes of captions. Raises ClaviluxError where it has none."""
    stored = Bundle.open(bundle).conditioning
    read, table = reader(bundle), concept_table(bundle)
    figures = [*_names(read, table), _nothing(read, table, torch.tensor(stored.idle[1:]))]
    return figures if stored.light is None else figures + _lights(read, table, torch.tensor(stored.light))


def table_of(figures: Sequence[Figure]) -> str:
    """Return the figures as Markdown."""
    rows = [f"| {one.what} | {one.captions} | {one} |" for one in figures]
    return "\n".join(["| captions | how many | |", "|---|---|---|", *rows])


def _names(read: Read, table: Tensor) -> list[Figure]:
    names = [(place, one.name) for place, one in enumerate(CONCEPTS)]
    others = [(place, word) for place, one in enumerate(CONCEPTS) for word in one.words if word != one.name]
    pairs = [(i, (i + step) % len(NAMES)) for i in range(len(NAMES)) for step in STEPS]
    said = [" and ".join(with_article(NAMES[i]) for i in pair) for pair in pairs]
    two = similarities(read(said), table).topk(2).indices.sort().values
    both = (two == torch.tensor(pairs).sort().values).all(dim=1).float().mean()
    return [
        Figure("names", len(names), _right(read, table, names)),
        Figure("other words for them", len(others), _right(read, table, others)),
        Figure('two names, "an owl and a castle": both are the nearest', len(pairs), float(both)),
    ]


def _nothing(read: Read, table: Tensor, idle: Tensor) -> Figure:
    """Return how many phrases that name nothing are nearer to idle than to any name."""
    found = similarities(read(UNKNOWN), torch.cat([table, idle[None]])).argmax(dim=1)
    share = float((found == len(table)).float().mean())
    return Figure("phrases never trained on that name none: idle is nearer than any name", len(UNKNOWN), share)


def _lights(read: Read, table: Tensor, rows: Tensor) -> list[Figure]:
    single = [((light,), word) for light in LIGHT_WORDS for word in light.words]
    three = [(group, " ".join(one.words[0] for one in group)) for group in _threes()]
    lit = [(place, f"{with_article(name)} in {three[place % len(three)][1]} light") for place, name in enumerate(NAMES)]
    return [
        Figure(
            "words for light: correlation of the numbers", len(single), _agreement(read, rows, single), is_share=False
        ),
        Figure('three of them, "warm low slow": the same', len(three), _agreement(read, rows, three), is_share=False),
        Figure('names in light, "an owl in warm low slow light"', len(lit), _right(read, table, lit)),
    ]


def _threes() -> list[tuple[LightWord, ...]]:
    """Return threes of words for light of which no two set the same number."""
    found = []
    for i, first in enumerate(LIGHT_WORDS):
        chosen = [first]
        for other in (*LIGHT_WORDS[i + 1 :], *LIGHT_WORDS[:i]):
            if len(chosen) < 3 and not any(one.about & other.about for one in chosen):
                chosen.append(other)
        found.append(tuple(chosen))
    return found


def _right(read: Read, table: Tensor, captions: Sequence[tuple[int, str]]) -> float:
    found = similarities(read([caption for _, caption in captions]), table).argmax(dim=1)
    return float((found == torch.tensor([place for place, _ in captions])).float().mean())


def _agreement(read: Read, rows: Tensor, captions: Sequence[tuple[tuple[LightWord, ...], str]]) -> float:
    """Return the correlation, over all captions and numbers, of what is told with what the words set."""
    told = read([caption for _, caption in captions]).mean(dim=1) @ rows.T / rows.square().sum(dim=1)
    meant = torch.stack([numbers_of_words(words) for words, _ in captions])
    return float(torch.corrcoef(torch.stack([told.flatten(), meant.flatten()]))[0, 1])


def main() -> None:
    """Measure the bundle of the command line."""
    parser = argparse.ArgumentParser(description="Measure what a bundle's text encoder makes of typed words.")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    print(table_of(measure(parser.parse_args().bundle)))


if __name__ == "__main__":
    sys.exit(command("typed", main))
