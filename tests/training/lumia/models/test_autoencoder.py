"""The picture codec works on blocks, keeps sizes and ranges, and learns what its loss says."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle

from clavilux.training.lumia.models import autoencoder
from clavilux.training.lumia.models.autoencoder import BLOCK, CROP
from clavilux.training.lumia.models.scene_set import Pictures
from clavilux.training.lumia.models.train_loop import Recipe


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def codec() -> AutoencoderTiny:
    torch.manual_seed(0)
    return autoencoder.build(8).eval()


def bytes_of(count: int, height: int = 128, width: int = 128) -> Tensor:
    """Smooth pictures, uint8 [count, 3, height, width]."""
    small = torch.rand(count, 3, height // 16, width // 16, generator=torch.Generator().manual_seed(0))
    return (interpolate(small, size=(height, width), mode="bilinear") * 255).byte()


def pictures(count: int) -> Pictures:
    return Pictures([bytes_of(count)[:, None].numpy()])


@pytest.mark.parametrize("size", [(256, 256), (64, 112), (256, 448)])
def test_latents_are_sixteen_times_smaller_than_pictures(codec: AutoencoderTiny, size: tuple[int, int]) -> None:
    latents = autoencoder.encoded(codec, bytes_of(2, *size))
    assert latents.shape == (2, autoencoder.LATENT_CHANNELS, size[0] // 16, size[1] // 16)
    assert latents.dtype == torch.float32


def test_decoded_pictures_are_bytes_of_full_size(codec: AutoencoderTiny) -> None:
    found = autoencoder.decoded(codec, torch.randn(autoencoder.ROUND + 1, autoencoder.LATENT_CHANNELS, 4, 7))
    assert (found.shape, found.dtype) == ((autoencoder.ROUND + 1, 3, 64, 112), torch.uint8)


def test_pictures_are_encoded_independently_of_their_company(codec: AutoencoderTiny) -> None:
    given = bytes_of(autoencoder.ROUND + 2, 64, 64)
    together = autoencoder.encoded(codec, given)
    torch.testing.assert_close(together[-1:], autoencoder.encoded(codec, given[-1:]), atol=1e-5, rtol=1e-4)


def test_the_networks_see_blocks_of_pixels(codec: AutoencoderTiny) -> None:
    assert (codec.config.in_channels, codec.config.out_channels) == (3 * BLOCK**2, 3 * BLOCK**2)


class Mirror(nn.Module):
    """Encodes and decodes blocks as they are."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.encoder = self.decoder = Same()
        self.config = SimpleNamespace(scaling_factor=scale)


class Same(nn.Module):
    """Gives back what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))  # says where the model is, as a weight does

    def forward(self, given: Tensor) -> Tensor:
        return given


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_blocks_that_are_encoded_are_decoded_in_their_places(scale: float) -> None:
    given = torch.randint(256, (2, 3, 16, 24), dtype=torch.uint8)
    latents = autoencoder.encoded(Mirror(scale), given)
    torch.testing.assert_close(pixel_shuffle(latents, BLOCK), scale * autoencoder.signed(given))
    assert torch.equal(autoencoder.decoded(Mirror(scale), latents), given)
    shown = autoencoder.shown(Mirror(scale), latents)
    assert shown.dtype == torch.float32
    torch.testing.assert_close(shown, autoencoder.signed(given))


def test_from_what_is_shown_latents_can_be_learnt(codec: AutoencoderTiny) -> None:
    latents = torch.randn(1, autoencoder.LATENT_CHANNELS, 4, 4, requires_grad=True)
    torch.autograd.backward(autoencoder.shown(codec, latents).sum())
    assert latents.grad is not None
    assert latents.grad.abs().max() > 0


def test_bytes_are_signed_from_minus_one_to_one() -> None:
    assert autoencoder.signed(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]


def test_after_training_scaled_latents_have_unit_deviation(tmp_path: Path) -> None:
    found = pictures(4)
    model = autoencoder.fit(autoencoder.build(8), found, Recipe(steps=2, rate=1e-3), tmp_path / "codec.pt", batch=2)
    whole = torch.stack([found.at(i, 0) for i in range(4)])
    assert float(autoencoder.encoded(model, whole).std()) == pytest.approx(1.0, abs=0.01)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    model, found = autoencoder.build(8), pictures(4)

    def loss() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return float(autoencoder._loss(model, autoencoder._crops(found, 4)))

    before = loss()
    autoencoder.fit(model, found, Recipe(steps=20, rate=5e-3, warmup=2), tmp_path / "codec.pt", batch=2)
    assert loss() < 0.9 * before


def test_the_loss_compares_pictures_whose_blocks_are_in_their_places() -> None:
    """Of a codec without loss it is what the noise of the latents costs."""
    given = autoencoder.signed(torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8))
    assert float(autoencoder._loss(Mirror(1.0), given)) < 8 * autoencoder.LATENT_NOISE
    wrong = pixel_unshuffle(given, BLOCK).reshape(2, 3, 16, 16)
    assert float(autoencoder.difference(wrong, given)) > 8 * autoencoder.LATENT_NOISE


def test_the_loss_of_a_picture_adds_edges_and_colour_to_its_pixels() -> None:
    grey, red = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    red[:, 0] = 0.3
    assert float(autoencoder.difference(grey, grey)) == 0
    assert float(autoencoder.difference(grey + 0.3, grey)) == pytest.approx(0.3)
    assert float(autoencoder.difference(red, grey)) == pytest.approx(0.1 + 0.4 / 3)


def test_gradients_are_differences_to_the_next_pixel() -> None:
    found = autoencoder.gradients(torch.arange(12.0).reshape(1, 1, 3, 4))
    assert found.shape == (1, 2, 2, 3)
    assert (found[:, 0] == 1).all()
    assert (found[:, 1] == 4).all()
    assert not autoencoder.gradients(torch.full((2, 3, 8, 8), 0.3)).any()


@pytest.mark.parametrize("size", [(CROP, CROP), (CROP + 32, 256)])
def test_crops_are_pieces_of_the_pictures_and_half_of_them_mirrored(size: tuple[int, int]) -> None:
    ramp = np.broadcast_to(np.arange(size[1], dtype=np.uint8), (1, 2, 3, *size))
    crops = autoencoder._crops(Pictures([ramp]), 64)
    steps = crops[:, 0, 0].diff(dim=1) * 127.5
    assert crops.shape == (64, 3, CROP, CROP)
    torch.testing.assert_close(steps.abs(), torch.ones_like(steps), atol=1e-3, rtol=0)
    assert float((steps[:, 0] > 0).float().mean()) == pytest.approx(0.5, abs=0.2)


def test_crops_begin_at_every_block_and_come_from_every_picture_of_a_scene() -> None:
    width = CROP + 3 * BLOCK
    ramp = np.broadcast_to(np.arange(width, dtype=np.uint8), (1, 1, 3, CROP, width))
    crops = autoencoder._crops(Pictures([np.concatenate([ramp, ramp + 100], axis=1)]), 200)
    starts = {round(float(crop.min() + 1) * 127.5) for crop in crops}
    assert starts == {start + BLOCK * i for start in (0, 100) for i in range(4)}
