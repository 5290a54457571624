"""The finish moves the decoder, by pixels and by a critic, and leaves UNet and encoder alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor

from clavilux.training.lumia.data.scenes import Scene, drawn
from clavilux.training.lumia.models import autoencoder, finish, unet
from clavilux.training.lumia.models.finish import Painted, Pair
from clavilux.training.lumia.models.scene_set import Pictures
from clavilux.training.lumia.models.train_loop import Recipe
from tests.training.lumia.models.test_models import CHANNELS, WIDTH, material, moved, state

CELLS = ((8, 8), (8, 12))
Networks = tuple[UNet2DConditionModel, AutoencoderTiny]


@pytest.fixture
def pair() -> Networks:
    torch.manual_seed(0)
    return unet.build(WIDTH, CHANNELS).eval(), autoencoder.build(8)


def scenes(cells: tuple[int, int], count: int = 2) -> list[Scene]:
    return [drawn(0, i, cells, len(material().table) - 1) for i in range(count)]


def painted() -> tuple[Painted, ...]:
    """Pictures of one colour for scenes of two sizes: bright square ones, dark wide ones."""
    return tuple(
        Painted(Pictures([np.full((2, 3, 3, 128, 16 * cells[1]), level, np.uint8)]), scenes(cells))
        for cells, level in zip(CELLS, (200, 30), strict=True)
    )


def test_the_decoder_moves_and_unet_and_encoder_stay(pair: Networks, tmp_path: Path) -> None:
    model, codec = pair
    before, coded = state(model), state(codec)
    finish.fit(model, codec, material(), painted(), Recipe(steps=2, rate=1e-3), tmp_path / "finish.pt", batch=1)
    assert not moved(before, model)
    changed = moved(coded, codec)
    assert changed
    assert all(name.startswith("decoder.") for name in changed)


def test_finishing_brings_what_is_shown_nearer_to_what_is_painted(pair: Networks, tmp_path: Path) -> None:
    model, codec = pair
    known, square = material(), painted()[0]

    def away() -> float:
        torch.manual_seed(1)
        latents, pictures = finish._imagined(model, known, square, 4)
        with torch.no_grad():
            return float(autoencoder.difference(autoencoder.shown(codec, latents), autoencoder.signed(pictures)))

    before = away()
    finish.fit(model, codec, known, (square,), Recipe(steps=15, rate=3e-3, warmup=2), tmp_path / "finish.pt", batch=1)
    assert away() < 0.9 * before


def test_crops_of_latents_and_pictures_lie_at_the_same_place_of_the_same_scene(
    monkeypatch: pytest.MonkeyPatch, pair: Networks
) -> None:
    """Latents that are the picture: its mean in each cell, of a slope that differs from scene to scene."""
    drawings = scenes(CELLS[1], 3)
    slope = np.arange(192, dtype=np.uint8)[None, None, None, None] // 16 * 16
    shown = np.broadcast_to(slope, (3, 3, 3, 128, 192)) + np.arange(3, dtype=np.uint8)[:, None, None, None, None]
    given: list[Tensor] = []

    def imagined(_model: object, noise: Tensor, prompts: Tensor) -> Tensor:
        given.append(noise)
        numbers = [next(i for i, one in enumerate(drawings) if torch.equal(one.noise, each)) for each in noise]
        cells = [torch.from_numpy(shown[i, 0, 0, ::16, ::16].copy()).float() for i in numbers]
        return torch.stack(cells)[:, None].expand(-1, 12, -1, -1)

    monkeypatch.setattr(unet, "imagined", imagined)
    for seed in range(6):
        torch.manual_seed(seed)
        latents, pictures = finish._imagined(pair[0], material(), Painted(Pictures([shown]), drawings), 4)
        assert (latents.shape, pictures.shape) == ((4, 12, 8, 8), (4, 3, 128, 128))
        torch.testing.assert_close(pictures[:, 0, ::16, ::16].float(), latents[:, 0])
    assert len({one.noise.sum().item() for one in drawings} & {float(n.sum()) for each in given for n in each}) == 3


def test_the_critic_learns_from_both_and_the_decoder_only_from_its_answer(pair: Networks) -> None:
    both = Pair(pair[1])
    seen, real = torch.zeros(2, 3, 64, 64, requires_grad=True), torch.ones(2, 3, 64, 64)
    both.confused(seen, real).backward()
    assert seen.grad is None
    assert all(one.grad is not None for one in both.critic.parameters())
    both.zero_grad(set_to_none=True)
    both.apart(seen).backward()
    assert float(seen.grad.abs().sum()) > 0
    assert all(one.grad is None and one.requires_grad for one in both.critic.parameters())


def test_a_critic_that_learns_tells_painted_from_shown(pair: Networks) -> None:
    torch.manual_seed(0)
    both = Pair(pair[1])
    soft, sharp = torch.zeros(4, 3, 64, 64), torch.randn(4, 3, 64, 64).sign()
    learner = torch.optim.Adam(both.critic.parameters(), 2e-3)
    costs = []
    for _ in range(40):
        learner.zero_grad()
        cost = both.confused(soft, sharp)
        cost.backward()
        learner.step()
        costs.append(float(cost.detach()))
    assert costs[-1] < 0.5 * costs[0]


def test_pictures_of_all_sizes_are_learnt_from(pair: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def noticed(_model: object, _material: object, one: Painted, _batch: int) -> tuple[Tensor, Tensor]:
        seen.append(one.scenes[0].noise.shape[2])
        return torch.zeros(1, 12, 4, 4), torch.zeros(1, 3, 64, 64, dtype=torch.uint8)

    monkeypatch.setattr(finish, "_imagined", noticed)
    finish.fit(*pair, material(), painted(), Recipe(steps=12, rate=0.0), tmp_path / "finish.pt")
    assert set(seen) == {8, 12}
