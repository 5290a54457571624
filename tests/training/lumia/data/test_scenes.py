"""Scenes vary as their noise says, and only so; a thing stands in its light, and is seen."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from clavilux.runtime.bundle.manifest import LIGHT_NUMBERS
from clavilux.runtime.diffusion.noise_spectrum import coloured
from clavilux.training.lumia.data import scenes
from clavilux.training.lumia.data.light import encoded, paint_ground, paint_light
from clavilux.training.lumia.data.scenes import CHANNELS, SIDE, Emoji, drawn, load_emoji, paint, paint_behind

SQUARE, BROAD = (8, 8), (8, 14)  # cells


def square(*colour: float, filled: float = 1.0) -> Emoji:
    """A square of one colour, which fills a part of its picture."""
    layers = torch.zeros(4, SIDE, SIDE)
    edge = round(SIDE * (1 - filled) / 2)
    layers[:, edge : SIDE - edge, edge : SIDE - edge] = torch.tensor([*colour, 1.0])[:, None, None]
    return Emoji(layers)


def noise(cells: tuple[int, int] = SQUARE, seed: int = 0) -> Tensor:
    return torch.randn(CHANNELS, *cells, generator=torch.Generator().manual_seed(seed))


def still(cells: tuple[int, int] = SQUARE, **channels: float) -> Tensor:
    """Noise of which only the means of some channels, `c3` for example, are not 0: so many deviations."""
    found = torch.zeros(CHANNELS, *cells)
    for name, value in channels.items():
        found[int(name[1:])] = value / math.sqrt(cells[0] * cells[1])
    return found


def numbers(**changes: float) -> Tensor:
    found = dict.fromkeys(LIGHT_NUMBERS, 0.0) | {"hue_cosine": 1.0, "turbulence": -1.0, "light": -1.0} | changes
    return torch.tensor([found[name] for name in LIGHT_NUMBERS])


WHITE, GREEN, BLACK = square(0.9, 0.9, 0.9), square(0.1, 0.9, 0.1), square(0.0, 0.0, 0.0)


@pytest.fixture
def half_red(tmp_path: Path) -> Emoji:
    """An emoji, read from a file of another size: red above, nothing below."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :, 0] = 255
    pixels[:32, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "half.webp", lossless=True)
    return load_emoji(tmp_path / "half.webp")


def test_an_emoji_is_scaled_and_its_colour_premultiplied(half_red: Emoji) -> None:
    assert half_red.layers.shape == (4, SIDE, SIDE)
    assert half_red.layers[3, 10].min() == 1
    assert not half_red.layers[:, -10:].any()


@pytest.mark.parametrize("cells", [(4, 4), (4, 7), (16, 16), (16, 28)])
def test_pictures_have_sixteen_pixels_for_a_cell_and_lie_within_one(cells: tuple[int, int]) -> None:
    pictures = paint([GREEN, None], noise(cells), numbers(light=1.0, turbulence=1.0))
    assert pictures.shape == (2, 3, 16 * cells[0], 16 * cells[1])
    assert 0 <= float(pictures.min()) <= float(pictures.max()) <= 1


def test_without_a_thing_there_is_light_on_its_ground() -> None:
    given = noise()[None], numbers(light=0.5)[None]
    (found,) = paint([None], *(one[0] for one in given))
    torch.testing.assert_close(found, encoded(paint_light(*given) + paint_ground(*given))[0])


def test_a_thing_stands_in_the_middle_in_its_own_colour() -> None:
    (picture,) = paint([GREEN], still(), numbers())
    torch.testing.assert_close(picture[:, 64, 64], torch.tensor([0.1, 0.9, 0.1]), atol=0.08, rtol=0)


def test_a_thing_covers_its_share_of_the_height() -> None:
    (picture,) = paint([GREEN], still(), numbers())
    seen = picture[1] > 0.6
    for axis in (0, 1):
        assert int(seen.any(dim=axis).sum()) == pytest.approx(128 * scenes.COVER * math.exp(-0.05), abs=3)


def test_all_things_of_a_scene_stand_in_the_same_place_and_light() -> None:
    green, white, none = paint([GREEN, WHITE, None], noise(seed=3), numbers(light=0.5))
    thing = (green - white).abs().amax(dim=0) > 0.3
    away = ~thing & ((green - white).abs().amax(dim=0) < 1e-3)
    assert thing.float().mean() > 0.3
    assert away.float().mean() > 0.05
    assert (none[:, away] - green[:, away]).abs().mean() < 0.2


def test_the_same_noise_paints_the_same_picture() -> None:
    first, second = (paint([GREEN], noise(seed=1), numbers()) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("cells", [SQUARE, BROAD])
def test_a_little_more_noise_changes_the_picture_a_little(cells: tuple[int, int]) -> None:
    given = noise(cells), 0.9998 * noise(cells) + 0.02 * noise(cells, seed=1), noise(cells, seed=1)
    first, near, far = (paint([GREEN], one, numbers(light=0.3))[0] for one in given)
    assert 0 < (near - first).abs().mean() < 0.12 * (far - first).abs().mean()


def test_the_noise_bends_a_thing() -> None:
    straight, bent = (scenes._placed(GREEN, one[None], 128, 128)[3] for one in (still(), noise(seed=2) - _means()))
    (rows,) = straight.any(dim=1).nonzero(as_tuple=True)
    assert (straight[rows[1:-1]].sum(dim=1).diff().abs() < 1).all()
    assert (bent - straight).abs().sum() > 200


def _means() -> Tensor:
    """The part of a noise that would move a thing or change its size, and not bend it."""
    return noise(seed=2).mean(dim=(1, 2), keepdim=True)


@pytest.mark.parametrize(("channel", "axis", "most"), [("c0", 0, scenes.SWAY), ("c1", 1, scenes.RISE)])
def test_the_mean_of_a_channel_says_where_the_thing_stands(channel: str, axis: int, most: float) -> None:
    places = [
        scenes._places(still(**{channel: value})[None], 1.0)[-1][0][axis] for value in (-9.0, -1.0, 0.0, 1.0, 9.0)
    ]
    assert places == sorted(places)
    assert places[-1] == pytest.approx(most, abs=1e-3)
    assert places[0] == pytest.approx(-most, abs=1e-3)


def test_the_mean_of_a_channel_says_how_large_the_thing_is() -> None:
    sizes = [scenes._places(still(c2=value)[None], 1.0)[-1][1] for value in (-9.0, 0.0, 9.0)]
    assert sizes == sorted(sizes)
    assert sizes[-1] / sizes[0] == pytest.approx(math.exp(0.2), rel=1e-3)


def test_in_a_wide_picture_a_thing_may_stand_far_aside_and_is_still_whole() -> None:
    aspect = 28 / 16
    ((across, down), size) = scenes._places(still((16, 28), c0=9.0, c1=9.0, c2=9.0)[None], aspect)[-1]
    assert across > 3 * scenes.SWAY
    assert across + size <= aspect
    assert down + size <= 1.0


@pytest.mark.parametrize(
    ("given", "sides"), [({}, []), ({"c3": 3}, [-1]), ({"c6": 3}, [1]), ({"c3": 3, "c6": 3}, [1, -1])]
)
def test_in_a_wide_picture_smaller_things_stand_aside_where_the_noise_says_so(
    given: dict[str, float], sides: list[int]
) -> None:
    wide = scenes._places(still(BROAD, **given)[None], 14 / 8)
    assert [math.copysign(1, place[0][0]) for place in wide[:-1]] == sides
    assert all(0 < size <= scenes.SMALL for _, size in wide[:-1])
    assert len(scenes._places(still(SQUARE, **given)[None], 1.0)) == 1


def test_a_smaller_thing_aside_is_painted_behind_the_large_one() -> None:
    alone, company = (paint([GREEN], still(BROAD, **given), numbers())[0, 1] for given in ({}, {"c3": 9.0}))
    left = slice(0, 50)
    assert (company[:, left] > 0.6).float().mean() > (alone[:, left] > 0.6).float().mean() + 0.1
    torch.testing.assert_close(company[:, 112:], alone[:, 112:], atol=0.1, rtol=0)


def test_things_aside_come_in_by_growing() -> None:
    sizes = [
        sum(size for _, size in scenes._places(still(BROAD, c3=i / 20)[None], 14 / 8)[:-1]) for i in range(-20, 60)
    ]
    assert sizes == sorted(sizes)
    assert all(later - one < 0.05 for one, later in pairwise(sizes))


def test_a_dark_thing_has_light_behind_it() -> None:
    black, white = (paint([one], still(), numbers())[0].mean(dim=0) for one in (BLACK, WHITE))
    seen = paint([WHITE], still(), numbers())[0, 1] > 0.6
    (rows,) = seen.any(dim=1).nonzero(as_tuple=True)
    rim = black[int(rows[0]) - 4, 48:80].mean(), white[int(rows[0]) - 4, 48:80].mean()
    assert rim[0] > 1.3 * rim[1]
    assert rim[0] > black[64, 64] + 0.1


def test_light_behind_a_thing_is_dimmed() -> None:
    kinds = [square(0.9, 0.9, 0.9, filled=0.5), None]
    thing, light = (one.mean(dim=0) for one in paint(kinds, noise(seed=5), numbers(light=1.0, extent=1.0)))
    near = torch.zeros(128, 128, dtype=torch.bool)
    near[30:98, 30:98] = True
    near[37:91, 37:91] = False
    assert thing[near].pow(2).mean() < 0.85 * light[near].pow(2).mean()


def test_a_thing_takes_the_colour_of_its_light() -> None:
    def shown(turn: float, light: float) -> Tensor:
        angle = 2 * math.pi * turn
        given = numbers(hue_cosine=math.cos(angle), hue_sine=math.sin(angle), light=light)
        return paint([square(0.6, 0.6, 0.6)], still(), given)[0, :, 64, 64]

    red, blue, dark = shown(0.0, 1.0), shown(8 / 12, 1.0), shown(0.0, -1.0)
    assert red[0] > blue[0] + 0.05
    assert blue[2] > red[2] + 0.05
    torch.testing.assert_close(dark, torch.full((3,), 0.6), atol=0.02, rtol=0)


def test_a_scene_is_the_same_for_the_same_seed_and_number_alone() -> None:
    first, again = drawn(4, 7, (4, 7), 10), drawn(4, 7, (4, 7), 10)
    assert torch.equal(first.noise, again.noise)
    assert torch.equal(first.numbers, again.numbers)
    assert first.concepts == again.concepts
    for other in (drawn(4, 8, (4, 7), 10), drawn(5, 7, (4, 7), 10)):
        assert not torch.equal(first.noise, other.noise)
        assert not torch.equal(first.numbers, other.numbers)


def test_the_noise_of_a_scene_has_the_colour_of_its_light() -> None:
    scene = drawn(4, 7, BROAD, 10)
    dice = torch.Generator().manual_seed(999_983 * 4 + 7)
    white = torch.randn(scene.noise.shape, generator=dice)
    torch.testing.assert_close(scene.noise, torch.from_numpy(coloured(white.numpy(), scene.numbers.numpy())))
    assert float((scene.noise - white).abs().mean()) > 0.2


def test_variants_differ_in_their_things_and_not_in_their_light() -> None:
    first, *others = (drawn(4, 7, BROAD, 10, variant) for variant in range(4))
    lights = [paint_behind(one.noise, one.numbers) for one in (first, *others)]
    for other, light in zip(others, lights[1:], strict=True):
        assert torch.equal(light, lights[0])
        assert other.concepts != first.concepts
        shown = [paint([square(1, 1, 1)], one.noise, one.numbers, light) for one in (first, other)]
        assert float((shown[0] - shown[1]).abs().max()) > 0.3
    assert len({one.noise.sum().item() for one in (first, *others)}) == 4


def test_scenes_show_two_of_all_concepts_by_turns_and_light_alone() -> None:
    for turn in range(3):
        shown = [drawn(1, 5 * turn + i, (4, 4), 10).concepts for i in range(5)]
        assert sorted(one for concepts in shown for one in concepts[:2]) == list(range(10))
        assert {concepts[2] for concepts in shown} == {10}
    assert drawn(1, 0, (4, 4), 10).concepts[:2] != drawn(1, 5, (4, 4), 10).concepts[:2]


@pytest.mark.parametrize("concepts", [2, 3, 7])
def test_two_things_of_a_scene_are_never_the_same(concepts: int) -> None:
    for index in range(30):
        first, second, last = drawn(0, index, (4, 4), concepts).concepts
        assert first != second
        assert last == concepts
