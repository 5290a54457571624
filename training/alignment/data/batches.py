"""Examples for `transformers.Trainer`: which clip comes when, what is heard of it, and the text tokens beside it.

Every draw (order, place, template) is a function of seed, epoch and clip, and never of torch's own dice: a resumed
training sees what an uninterrupted one would, with any number of loading processes.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Sampler

from clavilux.export.options import Progress
from clavilux.runtime.errors import SoundError
from clavilux.training.alignment.data.bad_data import SKIPPED, Policy, find_fault, note_skipped, refuse_or_report
from clavilux.training.alignment.data.captioned import EVERYTHING, DataError, DataOptions, Example, stream_dataset
from clavilux.training.alignment.data.excerpts import (
    REFERENCE,
    Placing,
    heard,
    heard_at,
    heard_whole,
    length,
    open_sound,
    sliding_ends,
)
from clavilux.training.alignment.data.text_cache import TextCache, caption_key
from clavilux.training.alignment.data.window import Window

HASH_BYTES = 8
HASHES = float(256**HASH_BYTES)
SLIDING_WINDOWS = 5  # per clip, when a sliding window is measured
Item = dict[str, Any]  # input_features: float32 [frames / 2, 160]; caption: str; means: str, equal in duplicates


@dataclass(frozen=True)
class ExampleSettings:
    """Settings by which training clips become examples."""

    window: Window
    placing: Placing = REFERENCE
    templates: tuple[str, ...] = (EVERYTHING,)
    seed: int = 0

    def item(self, example: Example, epoch: int, place: int) -> Item:
        """Return the training example that `example`, at `place` of the data, gives in `epoch`."""
        dice = np.random.default_rng((self.seed, epoch, place))
        template = self.templates[int(dice.integers(len(self.templates)))]
        with still_readable(example):
            features = heard(example.read(), self.window, self.placing, dice)
        caption = template.replace("{}", example.caption)
        return {"input_features": features, "caption": caption, "means": example.caption}


@contextmanager
def still_readable(example: Example) -> Iterator[None]:
    """Name the clip when it cannot be read in this context. Raises SoundError."""
    try:
        yield
    except SoundError as error:
        changed = f"{example.name} cannot be read any more ({error})"
        raise SoundError(f"{changed}; it changed since it was checked: run again with --restart") from error


class Order(Sampler[tuple[int, int]]):
    """(epoch, clip) pairs: a seeded permutation per epoch."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        return iter([(self.epoch, int(place)) for place in order])


class TrainingClips(Dataset[Item]):
    """Clips of a set of known length, asked for by (epoch, clip)."""

    def __init__(self, examples: Sequence[Example], settings: ExampleSettings) -> None:
        self.examples = examples
        self.settings = settings

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: tuple[int, int]) -> Item:
        epoch, index = place
        return self.settings.item(self.examples[index], epoch, index)


class WholeClips(Dataset[Item]):
    """Test clips as the reference hears them, in the first template."""

    def __init__(self, examples: Sequence[Example], settings: ExampleSettings) -> None:
        self.examples = examples
        self.settings = settings

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Item:
        example = self.examples[index]
        with still_readable(example):
            return self._item(example, heard_whole(example.read(), self.settings.window))

    def _item(self, example: Example, features: np.ndarray) -> Item:
        caption = self.settings.templates[0].replace("{}", example.caption)
        return {"input_features": features, "caption": caption, "means": caption}


class SlidingWindows(WholeClips):
    """SLIDING_WINDOWS windows of each test clip, from the first that hears it to the last."""

    def __len__(self) -> int:
        return SLIDING_WINDOWS * len(self.examples)

    def __getitem__(self, index: int) -> Item:
        example = self.examples[index // SLIDING_WINDOWS]
        window = self.settings.window
        with still_readable(example):
            sound = example.read()
            with open_sound(sound) as file:
                end = sliding_ends(length(file), window, SLIDING_WINDOWS)[index % SLIDING_WINDOWS]
            return self._item(example, heard_at(sound, window, end, self.settings.placing.lead_in))


@dataclass(frozen=True)
class StreamSettings:
    """Settings of a stream, beside those of its examples."""

    data: DataOptions
    policy: Policy
    folder: Path  # where bad clips are noted
    test_share: float  # of the rows, held out by their hash; 0 where the test has a split of its own
    report: Progress


class ClipStream(IterableDataset[Item]):
    """A stream without end: the data set again and again, shuffled anew each time. Bad clips are noted and left out."""

    def __init__(self, streaming: StreamSettings, settings: ExampleSettings) -> None:
        self.streaming = streaming
        self.settings = settings

    def __iter__(self) -> Iterator[Item]:
        return itertools.chain.from_iterable(map(self._once, itertools.count()))

    def _once(self, epoch: int) -> Iterator[Item]:
        streaming, seed = self.streaming, self.settings.seed
        rows = stream_dataset(streaming.data, streaming.data.split, seed=seed + epoch)
        empty = True
        for place, example in enumerate(fit_only(rows, streaming, first=epoch == 0)):
            if not held_out(example.name, seed, streaming.test_share):
                empty = False
                yield self.settings.item(example, epoch, place)
        if empty:
            raise DataError(f"no clip of dataset {streaming.data.dataset} can be trained on; see {SKIPPED}")


def fit_only(rows: Iterator[Example], streaming: StreamSettings, *, first: bool = True) -> Iterator[Example]:
    """Yield clips that can be trained on; the others are noted, and told of at the `first` reading."""
    for example in rows:
        fault = find_fault(example, streaming.policy)
        if fault is None:
            yield example
        elif first:
            note_skipped(streaming.folder, fault)
            refuse_or_report(fault, streaming.policy, streaming.report)


def stream_test(streaming: StreamSettings, seed: int, most: int) -> list[Example]:
    """Return up to `most` test clips of a stream, in memory."""
    data = streaming.data
    rows = fit_only(stream_dataset(data, data.test_split or data.split), streaming)
    if data.test_split is None:
        rows = (one for one in rows if held_out(one.name, seed, streaming.test_share))
    return list(itertools.islice(rows, most))


def held_out(name: str, seed: int, share: float) -> bool:
    """Return whether the clip `name` belongs to the test: true for about `share` of all names."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:HASH_BYTES]) < share * HASHES


def split_examples(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Return what is trained on and what is tested on: as the data say, or else a seeded `share` of the clips."""
    if any(one.split == "test" for one in examples):
        return [one for one in examples if one.split != "test"], [one for one in examples if one.split == "test"]
    order = np.random.default_rng((seed, len(examples))).permutation(len(examples))
    count = max(1, round(share * len(examples))) if share else 0
    test = set(order[:count].tolist())
    return [one for i, one in enumerate(examples) if i not in test], [examples[i] for i in sorted(test)]


class Collator:
    """Examples become a batch, with the text tokens that belong to them."""

    def __init__(self, cache: TextCache) -> None:
        self.cache = cache

    def __call__(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """Return input_features float32 [B, frames / 2, 160], text float32 [B, N, D], captions int64 [B]."""
        captions = [item["caption"] for item in items]
        return {
            "input_features": torch.from_numpy(np.stack([item["input_features"] for item in items])),
            "text": self.cache.tokens(captions),
            "captions": torch.tensor([caption_key(item["means"]) for item in items]),
        }
