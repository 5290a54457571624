"""The finish moves UNet and decoder together, by pixels, and leaves the encoder alone."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor, nn

from clavilux.training.lumia.models import autoencoder, finish, unet
from clavilux.training.lumia.models.finish import Painted
from clavilux.training.lumia.models.scene_set import Pictures
from clavilux.training.lumia.models.train_loop import Recipe
from tests.training.lumia.models.test_models import CHANNELS, WIDTH, material, moved, state

Networks = tuple[UNet2DConditionModel, AutoencoderTiny]


@pytest.fixture
def pair() -> Networks:
    torch.manual_seed(0)
    return unet.build(WIDTH, CHANNELS), autoencoder.build(8)


def painted() -> tuple[Painted, ...]:
    """Pictures of one colour for the first scenes of both sizes of the material: bright square ones, dark wide ones."""
    return tuple(
        Painted(Pictures([np.full((2, 3, 3, 128, width), level, np.uint8)]), i)
        for i, (width, level) in enumerate([(128, 200), (192, 30)])
    )


def test_unet_and_decoder_move_and_the_encoder_stays(pair: Networks, tmp_path: Path) -> None:
    model, codec = pair
    before, coded = state(model), state(codec)
    finish.fit(model, codec, material(), painted(), Recipe(steps=2, rate=1e-3), tmp_path / "finish.pt", batch=1)
    assert moved(before, model)
    changed = moved(coded, codec)
    assert changed
    assert all(name.startswith("decoder.") for name in changed)


def test_finishing_lowers_the_loss(pair: Networks, tmp_path: Path) -> None:
    model, codec = pair

    def loss() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return float(finish._loss(model, codec, material(), painted()[0], 4))

    before = loss()
    recipe = Recipe(steps=15, rate=3e-3, warmup=2)
    finish.fit(model, codec, material(), painted()[:1], recipe, tmp_path / "finish.pt", batch=1)
    assert loss() < 0.9 * before


def test_pictures_of_all_sizes_are_learnt_from(pair: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def noticed(model: nn.Module, _codec: object, _material: object, one: Painted, _batch: int) -> Tensor:
        seen.append(one.scenes)
        return next(model.parameters()).sum()

    monkeypatch.setattr(finish, "_loss", noticed)
    finish.fit(*pair, material(), painted(), Recipe(steps=12, rate=0.0), tmp_path / "finish.pt")
    assert set(seen) == {0, 1}


class Knowing(nn.Module):
    """A UNet that is right: it knows a scene by its noise, and which of its pictures by the prompt."""

    def __init__(self, data: unet.Material) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))  # says where the model is, as a weight does
        self.data = data

    def forward(self, noise: Tensor, time: int, encoder_hidden_states: Tensor) -> Any:
        assert time == unet.TRAIN_STEPS - 1
        pairs = zip(noise, encoder_hidden_states, strict=True)
        return SimpleNamespace(sample=torch.stack([self._latents(*one) for one in pairs]))

    def _latents(self, noise: Tensor, prompt: Tensor) -> Tensor:
        scenes = self.data.scenes[0]
        scene = int((scenes.noise - noise).abs().sum(dim=(1, 2, 3)).argmin())
        tokens = prompt[1:] - scenes.numbers[scene] @ self.data.light
        concept = int((self.data.table - tokens).pow(2).sum(dim=(1, 2)).argmin())
        return scenes.latents[scene, scenes.concepts[scene].tolist().index(concept)]


class Mosaic(nn.Module):
    """A decoder that is right: the first three channels of a cell are the colour of its square."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))

    def forward(self, latents: Tensor) -> Tensor:
        side = 16 // autoencoder.BLOCK
        wide = latents[:, :3].repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
        return wide.repeat_interleave(autoencoder.BLOCK**2, dim=1)


CODEC: Any = SimpleNamespace(decoder=Mosaic(), config=SimpleNamespace(scaling_factor=1.0))


def exact() -> tuple[unet.Material, Painted]:
    """Scenes whose pictures are mosaics of their latents."""
    torch.manual_seed(0)
    data = material()
    scenes = replace(data.scenes[0], latents=torch.rand(4, 3, 12, 8, 8) * 2 - 1)
    colours = scenes.latents[:, :, :3].repeat_interleave(16, dim=3).repeat_interleave(16, dim=4)
    pictures = Pictures([((colours + 1) * 127.5).round().byte().numpy()])
    return replace(data, scenes=(scenes, data.scenes[1])), Painted(pictures, 0)


def test_networks_that_are_right_cost_nothing() -> None:
    """Scene, concept, light, latents and picture belong together."""
    data, shown = exact()
    assert float(finish._loss(Knowing(data), CODEC, data, shown, 16)) < 0.02


def test_latents_beside_the_encoders_cost_something_though_the_picture_is_right() -> None:
    data, shown = exact()
    scenes = data.scenes[0]
    away = scenes.latents.clone()
    away[:, :, 3:] += 1.0  # of which the mosaic shows nothing
    other = replace(data, scenes=(replace(scenes, latents=away), data.scenes[1]))
    cost = float(finish._loss(Knowing(data), CODEC, other, shown, 8))
    assert cost == pytest.approx(finish.LATENTS * 9 / 12, abs=0.02)
