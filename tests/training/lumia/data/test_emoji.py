"""Pictures vary as their noise says, and only so."""

import numpy as np
import pytest
import torch
from PIL import Image

from clavilux.training.lumia.data.emoji import (
    BEND,
    COVER,
    LATENT_SIZE,
    SIZE,
    Emoji,
    fields,
    gradients,
    load_emoji,
    paint,
)


def noise(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 12, LATENT_SIZE, LATENT_SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def red_square(tmp_path) -> Emoji:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., 0] = pixels[..., 3] = 255
    pixels[..., 1] = 40
    Image.fromarray(pixels).save(tmp_path / "square.webp", lossless=True)
    return load_emoji(tmp_path / "square.webp")


def test_an_emoji_is_scaled_into_a_square_with_a_border(red_square):
    assert red_square.colour.shape == (3, SIZE, SIZE)
    assert red_square.alpha.shape == (1, SIZE, SIZE)
    assert red_square.alpha[0, SIZE // 2, SIZE // 2] == 1
    assert not red_square.alpha[0, 0].any()


def test_an_emoji_of_any_size_covers_its_share_of_the_middle(red_square):
    seen = red_square.alpha[0] > 0.5
    for axis in (0, 1):
        (places,) = seen.any(dim=axis).nonzero(as_tuple=True)
        assert len(places) == round(SIZE * COVER)
        assert abs(int(places[0]) - (SIZE - 1 - int(places[-1]))) <= 1


def test_colour_is_premultiplied(red_square):
    assert not red_square.colour[:, red_square.alpha[0] == 0].any()


def test_pictures_have_their_size_and_range(red_square):
    pictures = paint(red_square, noise(2))
    assert pictures.shape == (2, 3, SIZE, SIZE)
    assert 0 <= float(pictures.min()) <= float(pictures.max()) <= 1


def test_the_emoji_covers_the_ground_in_the_middle(red_square):
    middle = paint(red_square, noise(4))[:, :, SIZE // 2, SIZE // 2]
    torch.testing.assert_close(middle, torch.tensor([1.0, 40 / 255, 0.0]).expand(4, 3), atol=0.02, rtol=0)


def test_the_same_noise_paints_the_same_picture(red_square):
    torch.testing.assert_close(paint(red_square, noise(1)), paint(red_square, noise(1)))


def test_other_noise_bends_the_picture(red_square):
    first, second = paint(red_square, noise(2))
    assert (first - second).abs().amax() > 0.5


def test_steady_noise_moves_the_whole_emoji_but_no_further_than_it_bends(red_square):
    rows = []
    for sign in (1.0, -1.0):
        steady = torch.zeros(1, 12, LATENT_SIZE, LATENT_SIZE)
        steady[:, 1] = sign / float(fields(torch.ones(1, 5, LATENT_SIZE, LATENT_SIZE))[0, 0, 8, 8])
        seen = paint(red_square, steady)[0, 0, :, SIZE // 2] > 0.9
        rows.append(float(seen.nonzero().float().mean()))
    assert 0.6 * BEND * SIZE < rows[1] - rows[0] <= BEND * SIZE  # the fields are weaker towards the rim


def test_a_little_more_noise_changes_the_picture_a_little(red_square):
    near = paint(red_square, noise(1)) - paint(red_square, 0.99 * noise(1) + 0.14 * noise(1, seed=1))
    far = paint(red_square, noise(1)) - paint(red_square, noise(1, seed=1))
    assert near.abs().mean() < 0.5 * far.abs().mean()


def test_idle_is_dark_at_the_rim_and_not_black_within():
    pictures = paint(None, noise(8))
    assert pictures[:, :, 0, 0].amax() < 0.25
    assert pictures.amax(dim=(2, 3)).mean() > 0.2


def test_smooth_fields_keep_the_variance_of_the_noise():
    assert fields(noise(200)).var() == pytest.approx(1.0, abs=0.1)


def test_neighbours_in_a_smooth_field_are_alike():
    smooth = fields(noise(50))
    assert (smooth[..., 1:] - smooth[..., :-1]).pow(2).mean() < 0.2


def test_gradients_are_differences_to_the_next_pixel():
    picture = torch.arange(12.0).reshape(1, 1, 3, 4)
    found = gradients(picture)
    assert found.shape == (1, 2, 2, 3)
    assert (found[:, 0] == 1).all()
    assert (found[:, 1] == 4).all()


def test_a_flat_picture_has_no_gradients():
    assert not gradients(torch.full((2, 3, 8, 8), 0.3)).any()
