"""Options that cannot be, or that no machine has room for, are one line that names the option."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clavilux.runtime.errors import ClaviluxError
from clavilux.training.alignment.data.captioned import DataOptions
from clavilux.training.alignment.data.window import Adapter
from clavilux.training.alignment.losses import Objective
from clavilux.training.alignment.options import Initialisation, TrainOptions, check_options
from clavilux.training.alignment.pretrained import Scratch
from clavilux.training.alignment.trainer import Hyperparameters

PLAIN = TrainOptions(out=Path("out"), text="text", data=DataOptions(folder=Path("data")))
NAN, INFINITE = float("nan"), float("inf")


def test_the_defaults_can_be() -> None:
    check_options(PLAIN)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"schedule": Hyperparameters(rate=NAN)}, "--rate is nan; expected 1e-12 or more"),
        ({"schedule": Hyperparameters(rate=INFINITE)}, "--rate is inf; expected 1000000 or less"),
        ({"schedule": Hyperparameters(epochs=INFINITE)}, "--epochs is inf; expected 1000000 or less"),
        ({"schedule": Hyperparameters(steps=0)}, "--steps is 0; expected 1 or more"),
        ({"schedule": Hyperparameters(batch=10**7)}, "--batch is 10000000; expected 1000000 or less"),
        ({"schedule": Hyperparameters(log_every=0)}, "--log-every is 0; expected 1 or more"),
        ({"objective": Objective(temperature=0.0)}, "--temperature is 0.0; expected 1e-12 or more"),
        ({"objective": Objective(regression=INFINITE)}, "--regression is inf; expected 1000000 or less"),
        ({"objective": Objective(norms=INFINITE)}, "--norms is inf; expected 1000000 or less"),
        ({"objective": Objective(symmetric=INFINITE)}, "--symmetric is inf; expected 1000000 or less"),
        ({"objective": Objective(negatives=10**7)}, "--negatives is 10000000; expected 1000000 or less"),
        ({"start": Initialisation(scratch=Scratch(layers=0))}, "the number of layers is 0; expected 1 or more"),
        (
            {"start": Initialisation(adapter=Adapter(layers=10**9))},
            "--adapter-layers is 1000000000; expected 16 or less",
        ),
        ({"precision": "float8"}, "--precision is 'float8'; expected one of float16, bfloat16, float32"),
        ({"data": DataOptions()}, "give a folder with a manifest (--data) or a --dataset, one of the two"),
        (
            {"data": DataOptions(folder=Path("data"), streaming=True)},
            "--streaming reads a --dataset; a folder is read as it is, without --streaming",
        ),
        (
            {"data": DataOptions(dataset="set", streaming=True)},
            "a stream has no known length; say with --steps how long to train",
        ),
        (
            {"data": DataOptions(dataset="set", streaming=True), "schedule": Hyperparameters(steps=3, workers=2)},
            "a stream is read by one process; leave --workers out",
        ),
    ],
)
def test_what_cannot_be_is_one_line(change: dict[str, Any], line: str) -> None:
    with pytest.raises(ClaviluxError) as raised:
        check_options(replace(PLAIN, **change))
    assert str(raised.value) == line


def test_a_window_is_no_longer_than_a_minute() -> None:
    check_options(replace(PLAIN, tokens=747))
    with pytest.raises(ClaviluxError, match=r"^1000 tokens need a window of 79\.99 s; expected 60 or less: give fewer"):
        check_options(replace(PLAIN, tokens=1000))
