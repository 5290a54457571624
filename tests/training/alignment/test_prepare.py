"""Data that the contrast cannot learn from are named before it is trained on."""

from dataclasses import replace
from pathlib import Path

from clavilux.training.alignment.data.captioned import DataOptions, Example
from clavilux.training.alignment.losses import Objective
from clavilux.training.alignment.options import TrainOptions
from clavilux.training.alignment.prepare import without_contrast
from clavilux.training.alignment.trainer import Hyperparameters

PLAIN = TrainOptions(out=Path("out"), text="text", data=DataOptions(folder=Path("data")))
ALONE = replace(PLAIN, schedule=Hyperparameters(batch=1))


def clips(*captions: str) -> list[Example]:
    return [Example(f"{i}.wav", caption, Path()) for i, caption in enumerate(captions)]


def test_one_caption_teaches_the_contrast_nothing() -> None:
    assert without_contrast(clips("rain", "rain"), PLAIN) == (
        "all 2 clips to train on have one caption: the contrast teaches nothing; give other captions"
    )


def test_a_batch_of_one_needs_negatives_from_elsewhere() -> None:
    assert without_contrast(clips("rain", "dog"), ALONE).startswith("a batch of 1 has no negatives: the contrast is 0")
    for objective in (Objective(negatives=1), Objective(gather=True)):
        assert without_contrast(clips("rain", "dog"), replace(ALONE, objective=objective)) == ""


def test_otherwise_nothing_is_said() -> None:
    assert without_contrast(clips("rain", "dog"), PLAIN) == ""
