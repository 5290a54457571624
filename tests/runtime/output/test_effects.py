"""Effects one by one; tests/server/page/test_screen.py compares them with the page's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.control.parameters import RANGES, Parameters
from clavilux.runtime.output.colour import LUMINANCE
from clavilux.runtime.output.effects import (
    EFFECTS,
    NEUTRAL,
    bled,
    colour_matrix,
    glow_sizes,
    glowing,
    grain_noise,
    grained,
    recolour,
    spilled_light,
    trailed,
)

LIGHT = np.random.default_rng(1).random((36, 64, 3), np.float32)


def test_every_effect_is_a_parameter_that_begins_neutral():
    first = Parameters().values()
    assert {effect.name: first[effect.name] for effect in EFFECTS} == NEUTRAL
    assert all(RANGES[effect.name].on == "screen" and effect.formula for effect in EFFECTS)


def test_neutral_colours_are_the_same_array():
    assert recolour(LIGHT, colour_matrix(NEUTRAL)) is LIGHT


@pytest.mark.parametrize(("degrees", "becomes"), [(120, 1), (-120, 2), (240, 2), (360, 0)])
def test_hue_leads_round_the_circle(degrees: float, becomes: int):
    red = recolour(np.array([[[0.8, 0, 0]]], np.float32), colour_matrix(NEUTRAL | {"hue": degrees}))[0, 0]
    assert red == pytest.approx(0.8 * np.eye(3)[becomes], abs=1e-5)


@given(st.floats(-180, 180), st.floats(0, 2))
def test_grey_stays_grey(hue: float, saturation: float):
    matrix = colour_matrix(NEUTRAL | {"hue": hue, "saturation": saturation})
    grey = recolour(np.full((1, 1, 3), 0.4, np.float32), matrix)
    assert grey == pytest.approx(np.full((1, 1, 3), 0.4), abs=1e-5)


def test_without_saturation_only_luminance_is_left():
    grey = recolour(LIGHT, colour_matrix(NEUTRAL | {"saturation": 0}))
    assert np.allclose(grey, (LIGHT @ LUMINANCE)[..., None], atol=1e-5)


def test_a_stop_is_twice_the_light():
    assert np.allclose(recolour(LIGHT, colour_matrix(NEUTRAL | {"exposure": 1})), 2 * LIGHT)


def test_light_that_can_be_shown_does_not_bleed_and_the_rest_goes_towards_white():
    assert bled(LIGHT) is LIGHT
    assert bled(np.array([[[3.0, 0.1, 0.0]]], np.float32))[0, 0] == pytest.approx([3.4, 0.5, 0.4])


def test_glow_falls_beside_what_is_bright_and_burns_nothing_out():
    dark = np.full((90, 160, 3), 0.02, np.float32)
    dark[40:50, 75:85] = 0.9
    glow = glowing(dark, 1.0)
    assert glow[45, 70].min() > 0.1 > 0.025 > glow[45, 5].max()
    assert np.all(glow >= dark)
    assert glow.max() <= 1
    assert np.allclose(glowing(np.full((9, 16, 3), 0.04, np.float32), 1.0), 0.04)


def test_glow_is_as_wide_on_every_screen():
    def spilled(scale: int):
        light = np.zeros((90 * scale, 160 * scale, 3), np.float32)
        light[40 * scale : 50 * scale, 75 * scale : 85 * scale] = 0.9
        return spilled_light(light)[scale // 2 :: scale, scale // 2 :: scale]

    assert np.abs(spilled(2) - spilled(4)).max() < 0.06
    assert glow_sizes(1080, 1920) == ((120, 213), (30, 54))


def test_noise_is_even_grey_and_another_one_each_time():
    noise = grain_noise(200, 300, 5)
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(1 / np.sqrt(6), abs=0.01)
    assert -1 <= noise.min() < -0.95 < 0.95 < noise.max() <= 1
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise.ravel(), grain_noise(200, 300, 6).ravel())[0, 1]) < 0.02


def test_grain_stays_for_a_film_frame_and_lifts_no_black():
    assert np.array_equal(grained(LIGHT, 0.5, 1.0), grained(LIGHT, 0.5, 1.04))
    assert not np.array_equal(grained(LIGHT, 0.5, 1.0), grained(LIGHT, 0.5, 1.05))
    assert grained(np.zeros((60, 60, 3), np.float32), 1.0, 0.0).mean() < 0.002
    assert np.allclose(grained(LIGHT, 0.0, 3.0), LIGHT, atol=1e-6)


@given(st.floats(0.05, 0.98), st.integers(2, 8))
def test_trails_do_not_hang_on_the_rate_of_the_screen(trails: float, draws: int):
    dark = np.zeros_like(LIGHT)
    often = LIGHT
    for _ in range(draws):
        often = trailed(dark, often, trails, 0.2 / draws)
    assert np.allclose(often, trailed(dark, LIGHT, trails, 0.2), atol=1e-4)


def test_trails_darken_nothing_and_stay_by_their_value_for_a_thirtieth_of_a_second():
    assert np.all(trailed(LIGHT, LIGHT[::-1], 0.9, 0.05) >= LIGHT)
    assert np.allclose(trailed(np.zeros_like(LIGHT), LIGHT, 0.7, 1 / 30), 0.7 * LIGHT)
    assert trailed(LIGHT, None, 0.9, 0.1) is LIGHT
    assert trailed(LIGHT, LIGHT[::-1], 0.0, 0.1) is LIGHT
