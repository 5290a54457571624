"""Films as they are composed; tests/server/page/test_screen.py compares them with the page."""

import numpy as np
import pytest

from clavilux.runtime.output.colour import to_linear, to_srgb
from clavilux.runtime.output.light_state import light_mask
from clavilux.runtime.output.screen import Screen, divide_light

DARK, BRIGHT = (np.full((8, 8, 3), value, np.uint8) for value in (40, 200))
LATER = 10.0  # s, when everything has come to rest


def screen(*pictures: np.ndarray, **options: object) -> Screen:
    made = Screen(24, 24, **options)
    for index, picture in enumerate(pictures):
        made.show(picture, 0.1 * index)
    return made


def test_before_the_first_picture_it_is_black():
    assert not screen().draw(0.0, {}).any()


def test_the_first_picture_is_there_at_once_and_as_it_is():
    assert np.abs(screen(DARK).draw(0.0, {}).astype(int) - 40).max() <= 1


def test_a_picture_grows_over_the_one_before_in_linear_light():
    made = screen(DARK, BRIGHT)
    half = 0.1 + 0.5 * made.pacing.interval
    expected = to_srgb((to_linear(DARK) + to_linear(BRIGHT)) / 2)[0, 0, 0]
    assert np.abs(made.draw(half, {}).astype(int) - expected).max() <= 1
    assert np.abs(made.draw(LATER, {}).astype(int) - 200).max() <= 1


def test_nothing_leaps_when_a_picture_comes_early_or_after_a_stall():
    made = screen(DARK, BRIGHT)
    for time in (0.12, LATER):
        before = made.draw(time, {})
        made.show(DARK, time)
        assert np.abs(made.draw(time, {}).astype(int) - before).max() <= 1


def test_a_picture_of_another_size_is_there_at_once():
    made = screen(DARK)
    made.show(np.full((16, 32, 3), 200, np.uint8), 1.0)
    assert np.abs(made.draw(1.0, {})[12].astype(int) - 200).max() <= 1


def test_light_is_added_and_the_master_dims_all_of_it():
    light = np.full((24, 24, 3), 0.2, np.float32)
    shown = screen(DARK).draw(LATER, {}, light=light, gain=0.5)
    expected = to_srgb(0.5 * (to_linear(DARK) + np.float32(0.2) * (1 - to_linear(DARK))))[0, 0, 0]
    assert np.abs(shown.astype(int) - expected).max() <= 1


def test_light_shines_before_the_first_picture():
    assert screen().draw(0.0, {}, light=np.full((24, 24, 3), 0.2, np.float32)).min() > 100


def test_the_limiter_has_the_last_word():
    seen: list[float] = []

    def limit(light: np.ndarray, time: float) -> np.ndarray:
        seen.append(time)
        return 0 * light

    assert not screen(BRIGHT, limit=limit).draw(LATER, {}).any()
    assert seen == [LATER]


def test_trails_keep_light_and_forget_it_once_they_are_off():
    made = screen(BRIGHT)
    made.draw(1.0, {"trails": 0.9})
    made.show(DARK, 1.0)
    made.draw(1.001, {"trails": 0.9})
    kept = made.draw(1.1, {"trails": 0.9})
    assert kept.min() > 100
    made.draw(1.2, {})
    assert made.draw(1.3, {"trails": 0.9}).max() <= 41


@pytest.mark.parametrize(
    "values", [{"glow": 0.5}, {"grain": 0.5}, {"mirror": 3}, {"hue": 90.0, "exposure": 1.0}, {"displacement": 0.1}]
)
def test_every_effect_reaches_the_screen(values: dict[str, float]):
    picture = np.random.default_rng(4).integers(0, 255, (8, 8, 3), np.uint8)
    plain, changed = (screen(picture).draw(LATER, chosen).astype(int) for chosen in ({"react": 2.0}, values))
    assert np.abs(plain - changed).mean() > 1


@pytest.mark.parametrize(("field", "rim"), [(0.6, 0.0), (0.0, 0.3), (0.2, 0.2), (0.0, 0.0)])
def test_light_is_divided_over_the_wall_as_the_light_says(field: float, rim: float):
    divided = divide_light(np.ones((9, 16, 3), np.float32), field, rim)
    places = [(row, column) for row in range(9) for column in range(16)]
    expected = [light_mask((column + 0.5 - 8) * 2 / 9, (row + 0.5 - 4.5) * 2 / 9, field, rim) for row, column in places]
    assert divided[..., 1].ravel() == pytest.approx(expected, abs=1e-5)
