"""Devices: without a card, each network's loss is computed on torch's device `meta`, which holds shapes alone.

There every operation must find all its tensors on that device, as on a card: a tensor that was left on the processor
is noticed. Numbers, speed and bfloat16 are a card's own, and are not tried here.
"""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from clavilux.training.lumia.data.scenes import drawn
from clavilux.training.lumia.models import autoencoder, encoder, finish, judge, unet, words
from clavilux.training.lumia.models.scene_set import Pictures
from clavilux.training.lumia.models.train_loop import Recipe, device_of
from tests.training.lumia.models.test_models import CHANNELS, labelled_noise, material, pupil_of

MOVES = {"aten::_to_copy", "aten::copy_", "aten::index.Tensor"}  # operators that may meet two devices, as on a card
RECIPE = Recipe(steps=3, rate=1e-3, warmup=1, checkpoint=2, average=0.5, seed=3)


class OneDevice(TorchDispatchMode):
    """Raises where an operator is given tensors of several devices; single numbers of the processor may come along."""

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [one for one in tree_leaves((args, kwargs or {})) if isinstance(one, torch.Tensor)]
        devices = {one.device.type for one in tensors if one.dim() or one.device.type != "cpu"}
        assert len(devices) < 2 or operator.name() in MOVES, f"{operator.name()} is given tensors of {devices}"
        if operator.name() == "aten::_ctc_loss.Tensor":  # of which torch has no version for `meta`
            return tuple(args[0].new_empty(args[0].shape[1]) for _ in range(2))
        return operator(*args, **(kwargs or {}))


def pictures(scenes: int = 4, width: int = 128) -> Pictures:
    return Pictures([torch.randint(256, (scenes, 3, 3, 128, width), dtype=torch.uint8).numpy()])


def fit_ear(folder: Path, recipe: Recipe = RECIPE) -> nn.Module:
    pupil = pupil_of(encoder.build(16, 16, layers=2))
    encoder.fit(pupil, labelled_noise(), recipe, folder / "ear.pt", batch=3)
    return pupil


def fit_maker(folder: Path, recipe: Recipe = RECIPE) -> nn.Module:
    model = unet.build(16, CHANNELS)
    unet.fit(model, material(), recipe, folder / "maker.pt", batch=1)
    return model


def fit_codec(folder: Path, recipe: Recipe = RECIPE) -> nn.Module:
    return autoencoder.fit(autoencoder.build(8), pictures(), recipe, folder / "codec.pt", batch=2)


def fit_finish(folder: Path, recipe: Recipe = RECIPE) -> nn.Module:
    model, codec = unet.build(16, CHANNELS), autoencoder.build(8)
    sizes = ((pictures(), (8, 8)), (pictures(2, 192), (8, 12)))
    painted = tuple(finish.Painted(one, [drawn(0, i, cells, 2) for i in range(len(one))]) for one, cells in sizes)
    finish.fit(model, codec, material(), painted, recipe, folder / "finish.pt", batch=2)
    return codec


def fit_judge(folder: Path, recipe: Recipe = RECIPE) -> nn.Module:
    small = torch.randint(256, (3, 2, 3, 64, 64), dtype=torch.uint8)
    return judge.fit(judge.build(3), small, recipe, folder / "judge.pt", batch=4)


def fit_words(folder: Path, recipe: Recipe = RECIPE) -> nn.Module:
    tokenizer = words.build_tokenizer(folder / "tokenizer")
    model = words.build(tokenizer, 16, 26)
    known = words.space(len(words.NAMES) + 1, 16, 0)
    words.fit(model, tokenizer, known, recipe, folder / "words.pt", batch=4)
    return model


FITS = [fit_ear, fit_maker, fit_codec, fit_finish, fit_judge, fit_words]


def elsewhere(model: nn.Module, loss: Callable[[int], torch.Tensor], recipe: Recipe, checkpoint: Path) -> nn.Module:
    """Stand in for `train`: take the model to `meta`, compute one loss there, and give back weights of any kind."""
    model.to("meta")
    with OneDevice():
        assert loss(0).device.type == "meta"
    return model.to_empty(device="cpu")


@pytest.mark.parametrize("fit", FITS)
def test_all_that_meets_a_model_is_where_the_model_is(
    fit: Callable[[Path], nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (autoencoder, encoder, finish, judge, unet, words):
        monkeypatch.setattr(module, "train", elsewhere)
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype: nullcontext())  # which does not know `meta`
    fit(tmp_path)


def test_a_tensor_that_was_left_behind_is_noticed() -> None:
    with OneDevice(), pytest.raises(AssertionError, match="mm is given tensors of"):
        torch.ones(2, 2, device="meta") @ torch.ones(2, 2)


@pytest.mark.parametrize("fit", FITS)
def test_naming_the_processor_changes_no_bit(fit: Callable[..., nn.Module], tmp_path: Path) -> None:
    made = []
    for recipe in (RECIPE, Recipe(**(vars(RECIPE) | {"device": "cpu"}))):
        folder = tmp_path / f"run{len(made)}"
        folder.mkdir()
        torch.manual_seed(0)
        made.append(fit(folder, recipe))
    first, second = (one.state_dict() for one in made)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert device_of(made[0]).type == "cpu"
