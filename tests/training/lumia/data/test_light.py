"""Light forms: each number changes what it should and a little of it a little; the noise alone decides the rest."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate, normalize

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.diffusion.noise_spectrum import coloured
from clavilux.runtime.output.light_sheets import RING
from clavilux.training.lumia.data.light import (
    MOONLIGHT,
    blurred,
    encoded,
    field,
    figures,
    paint_ground,
    paint_light,
    random_numbers,
    tone,
)

CALM = dict.fromkeys(LIGHT_NUMBERS, 0.0) | {
    "hue_cosine": 1.0, "turbulence": -1.0, "sheets": -1.0, "symmetry": -1.0, "extent": -0.5, "light": 0.3,
}  # fmt: skip
LIT = 0.08  # of linear light: what counts as lit
STEP = 1 / 64  # a small change of a number


def noise(count: int = 3, cells: tuple[int, int] = (8, 8), seed: int = 0) -> Tensor:
    return torch.randn(count, 12, *cells, generator=torch.Generator().manual_seed(seed))


def numbers(count: int = 3, **changes: float) -> Tensor:
    return torch.tensor([(CALM | changes)[name] for name in LIGHT_NUMBERS]).expand(count, -1)


def light(count: int = 3, **changes: float) -> Tensor:
    """Light [count, 3, 128, 128] of one kind under several noises of its colour."""
    told = numbers(count, **changes)
    return paint_light(torch.from_numpy(coloured(noise(count).numpy(), told[0].numpy())), told)


def hue(turns: float, colour: float = 1.0) -> dict[str, float]:
    return {
        "hue_cosine": colour * math.cos(2 * math.pi * turns),
        "hue_sine": colour * math.sin(2 * math.pi * turns),
    }


def detail(pictures: Tensor) -> float:
    """How much of the light changes within four pixels."""
    soft = interpolate(avg_pool2d(pictures, 4), scale_factor=4.0, mode="bilinear")
    return float((pictures - soft).pow(2).mean() / pictures.pow(2).mean())


def scale(pictures: Tensor) -> float:
    """Mean scale of the forms inside lights [n, 3, H, H], as cells of 8 pixels show them: octaves above one wave."""
    shown = encoded(avg_pool2d(pictures.mean(dim=1), 8))
    side = shown.shape[-1]
    window = torch.hann_window(side, periodic=False)
    seen = (shown - shown.mean(dim=(1, 2), keepdim=True)) * window[:, None] * window
    power = torch.fft.fft2(seen).abs().square().mean(dim=0)
    waves = torch.hypot(*(torch.fft.fftfreq(side).reshape(shape) * side for shape in ((-1, 1), (1, -1))))
    inside = waves > 2.5  # what is larger is where the light stands
    return float((waves[inside].log2() * power[inside]).sum() / power[inside].sum())


@pytest.mark.parametrize("cells", [(4, 4), (4, 7), (16, 16), (16, 28)])
def test_light_has_sixteen_pixels_for_a_cell_and_lies_within_one(cells: tuple[int, int]) -> None:
    dice = torch.Generator().manual_seed(1)
    count = 8 if cells[0] == 4 else 1
    for paint in (paint_light, paint_ground):
        found = paint(noise(count, cells), random_numbers(count, dice))
        assert found.shape == (count, 3, 16 * cells[0], 16 * cells[1])
        assert torch.isfinite(found).all()
        assert 0 <= float(found.min()) < float(found.max()) <= 1


def test_lights_are_painted_independently_of_their_company() -> None:
    given = noise(4, (4, 7)), random_numbers(4, torch.Generator().manual_seed(2))
    for paint in (paint_light, paint_ground):
        together = paint(*given)
        alone = torch.cat([paint(*(one[i : i + 1] for one in given)) for i in range(4)])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_the_same_noise_and_numbers_give_the_same_light() -> None:
    assert torch.equal(light(1), light(1))


def test_other_noise_folds_the_light_in_another_way() -> None:
    first, second = light(2)
    assert (first - second).abs().mean() > 0.1 * first.mean()


def test_a_little_more_noise_changes_the_light_a_little() -> None:
    lights = [
        paint_light(one, numbers(turbulence=0.0, sheets=0.0))
        for one in (noise(), 0.9998 * noise() + 0.02 * noise(seed=1), noise(seed=1))
    ]
    near, far = ((one - lights[0]).abs().mean() for one in lights[1:])
    assert near < 0.1 * far


@pytest.mark.parametrize("name", LIGHT_NUMBERS)
def test_a_small_change_of_any_number_changes_the_light_a_little(name: str) -> None:
    middle = {"hue_cosine": 0.3, "sheets": 0.1, "symmetry": 0.0, "turbulence": 0.0}
    here = (CALM | middle)[name]
    given = [light(2, **(middle | {name: here + by})) for by in (0.0, STEP, 32 * STEP)]
    near, far = (float((one - given[0]).abs().mean()) for one in given[1:])
    assert 0 < near < 0.15 * far


@pytest.mark.parametrize("step", range(0, 12, 3))
def test_the_angle_of_the_hue_is_the_colour_of_the_light(step: int) -> None:
    mean = light(2, **hue(step / 12)).mean(dim=(0, 2, 3))
    nearest = int((normalize(torch.tensor(RING), dim=1) @ normalize(mean, dim=0)).argmax())
    assert (nearest - step + 1) % 12 in (0, 1, 2)


def test_the_colour_is_that_of_the_tone_and_paler_towards_the_middle() -> None:
    turns = [*range(12), 5, 5]
    given = torch.cat([numbers(1, **hue(turn / 12)) for turn in range(12)])
    torch.testing.assert_close(tone(given), torch.tensor(RING), atol=1e-4, rtol=0)
    pale = tone(numbers(1, **hue(turns[-1] / 12, 0.0)))
    torch.testing.assert_close(pale[0], torch.tensor(MOONLIGHT))
    half = tone(numbers(1, **hue(0, 0.5)))[0]
    torch.testing.assert_close(half, (torch.tensor(RING[0]) + torch.tensor(MOONLIGHT)) / 2)


def test_what_has_no_hue_is_moonlight() -> None:
    mean = light(2, hue_cosine=0.0, hue_sine=0.0).mean(dim=(0, 2, 3))
    assert float(normalize(mean, dim=0) @ normalize(torch.tensor(MOONLIGHT), dim=0)) > 0.99


def test_a_higher_place_is_higher_on_the_wall() -> None:
    rows = torch.arange(128.0)
    middles = []
    for place in (-1.0, -0.5, 0.0, 0.5, 1.0):
        found = light(place=place).sum(dim=(0, 1, 3))
        middles.append(float((rows * found).sum() / found.sum()))
    assert middles == sorted(middles, reverse=True)
    assert middles[0] - middles[-1] > 0.3 * 128


def test_a_larger_extent_lights_a_larger_area() -> None:
    areas = [float((light(extent=extent).amax(dim=1) > LIT).float().mean()) for extent in (-1.0, -0.3, 0.4, 1.0)]
    assert areas == sorted(areas)
    assert areas[-1] > 1.5 * areas[0]


def test_more_light_is_more_light() -> None:
    sums = [float(light(light=share).sum()) for share in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    assert sums == sorted(sums)
    assert sums[-1] > 5 * sums[0]


def test_turbulence_tears_the_light_and_throws_sparks() -> None:
    details = [detail(light(turbulence=share, fineness=-1.0)) for share in (-1.0, 0.0, 1.0)]
    assert details == sorted(details)
    assert details[-1] > 2 * details[0]


def test_more_sheets_light_more_of_the_wall() -> None:
    areas = [float((light(sheets=share, extent=-0.9).amax(dim=1) > LIT).float().mean()) for share in (-1.0, 0.0, 1.0)]
    assert areas == sorted(areas)
    assert areas[-1] > 1.3 * areas[0]


def test_a_symmetric_light_is_more_like_itself_turned_by_a_sixth() -> None:
    turn = math.pi / 3
    theta = torch.tensor([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0]])
    likenesses = []
    for share in (-1.0, 1.0):
        found = light(symmetry=share, fineness=0.6).mean(dim=1, keepdim=True)
        found = found - torch.stack([blurred(one, 6.0) for one in found])  # what stands where is no symmetry
        grid = affine_grid(theta.expand(3, 2, 3), [3, 1, 128, 128], align_corners=False)
        turned = grid_sample(found, grid, align_corners=False)
        likenesses.append(float(torch.corrcoef(torch.stack([found.flatten(), turned.flatten()]))[0, 1]))
    assert likenesses[1] > likenesses[0] + 0.1
    assert likenesses[1] > 0.6


def test_a_symmetric_light_is_like_its_mirror_image() -> None:
    likenesses = []
    for share in (-1.0, 0.0, 1.0):
        found = light(8, symmetry=share, fineness=0.2).mean(dim=1)
        found = found - blurred(found, 6.0)  # what stands in the middle is its own image in any light
        likenesses.append(float(torch.corrcoef(torch.stack([found.flatten(), found.flip(2).flatten()]))[0, 1]))
    assert likenesses == sorted(likenesses)
    assert likenesses[0] < 0.4
    assert likenesses[-1] > 0.9


def test_a_finer_light_is_sharper() -> None:
    details = [detail(light(fineness=share)) for share in (-1.0, 0.0, 1.0)]
    assert details == sorted(details)
    assert details[-1] > 3 * details[0]


@pytest.mark.parametrize("symmetry", [-0.8, 0.6])
@pytest.mark.parametrize("turbulence", [-0.8, -0.4])
def test_a_finer_light_has_smaller_forms_that_latents_can_hold(symmetry: float, turbulence: float) -> None:
    told = [
        numbers(12, symmetry=symmetry, turbulence=turbulence, extent=0.2, fineness=share) for share in (-1.0, 0.0, 1.0)
    ]
    white = noise(12, (16, 16)).numpy()
    found = [scale(paint_light(torch.from_numpy(coloured(white, one[0].numpy())), one)) for one in told]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.4


def test_the_ground_is_dark_and_goes_up_to_the_edges() -> None:
    ground = paint_ground(noise(), numbers(light=1.0))
    assert ground.max() < 0.06
    rim = torch.cat([ground[..., 0, :], ground[..., -1, :], ground[..., :, 0], ground[..., :, -1]], dim=-1)
    assert (rim[:, 2] > 0.003).all()


def test_the_ground_has_an_afterglow_of_the_lights_colour() -> None:
    red, blue = (paint_ground(noise(), numbers(light=1.0, **hue(turn))).mean(dim=(0, 2, 3)) for turn in (0.0, 8 / 12))
    assert red[0] > 2 * blue[0]
    assert blue[2] > 1.3 * red[2]


def test_pictures_are_stored_with_a_gamma_of_two() -> None:
    assert encoded(torch.tensor([-1.0, 0.0, 0.25, 1.0, 7.0])).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_numbers_have_names() -> None:
    known = figures(torch.tensor([[0.0, -0.5, -1, -0.5, 0, 0.5, 1, 0.2, -0.2], [2.0, 0, 0, 0, 0, 0, 0, 0, 0]]))
    assert known.hue.flatten().tolist() == [0.75, 0.0]
    assert known.colour.flatten().tolist() == [0.5, 1.0]
    shares = [known.place, known.fineness, known.turbulence, known.sheets, known.symmetry, known.extent, known.light]
    assert [round(float(share[0]), 6) for share in shares] == [0, 0.25, 0.5, 0.75, 1, 0.6, 0.4]
    assert known.place.shape == (2, 1, 1)


def test_random_numbers_are_lights_of_all_kinds() -> None:
    found = random_numbers(2000, torch.Generator().manual_seed(0))
    assert found.shape == (2000, len(LIGHT_NUMBERS))
    assert found.abs().max() <= 1
    assert (found.amin(dim=0) < -0.95).all()
    assert (found.amax(dim=0) > 0.95).all()
    turns = figures(found).hue.flatten()
    assert torch.histc(turns, 4, 0, 1).min() > 400
    assert found[:, 4].mean() < -0.1  # calm more often than torn
    assert torch.equal(found[:9], random_numbers(2000, torch.Generator().manual_seed(0))[:9])


@pytest.mark.parametrize("width", [0.7, 2.1, 3.2])
def test_a_field_has_unit_variance_and_is_smooth_between_its_cells(width: float) -> None:
    found = field(noise(400)[:, 0], width, 32, 48)
    assert found.shape == (400, 32, 48)
    assert float(found.var()) == pytest.approx(1.0, abs=0.15)
    assert float(found.diff(dim=2).pow(2).mean()) < 0.15 / width**2


def test_a_blur_keeps_the_light_and_spreads_it() -> None:
    point = torch.zeros(1, 128, 128)
    point[0, 64, 64] = 1.0
    for width in (2.0, 7.9, 8.1, 12.0):
        found = blurred(point, width)[0]
        assert float(found.sum()) == pytest.approx(1.0, abs=0.02)
        assert float(found.max()) == pytest.approx(1 / (2 * math.pi * width**2), rel=0.12)
        down = torch.arange(128.0) - 64
        assert float((found.sum(dim=1) * down**2).sum()) ** 0.5 == pytest.approx(width, rel=0.1)


def test_beyond_the_edges_it_is_dark() -> None:
    found = blurred(torch.ones(1, 64, 64), 4.0)[0]
    assert float(found[32, 32]) == pytest.approx(1.0, abs=1e-3)
    assert float(found[32, 0]) == pytest.approx(0.5, abs=0.1)
