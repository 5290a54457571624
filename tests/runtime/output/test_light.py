"""Caustics of the light in NumPy: pictures that follow their settings, and lose no light where they fold."""

from dataclasses import replace

import numpy as np
import pytest

from clavilux.runtime.output.light import GAUSSIANS, _blur, _fill, _fold, _gaussian, _triangles, draw_light
from clavilux.runtime.output.light_sheets import RING, sheets
from clavilux.runtime.output.light_state import LightSettings, LightState
from clavilux.runtime.pulse import Pulse

SIZE = (90, 160)
MESH = 80
SHOWN = LightSettings(time=3.0)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
TONE = Pulse(
    level=0.6, level_db=-24.0, brightness=0.4, harmonicity=0.3, pitch_confidence=0.9, pitch_class=0.6, density=0.3
)


def draw(settings: LightSettings) -> np.ndarray:
    return draw_light(settings, *SIZE, mesh=MESH)


def srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def seen(light: np.ndarray) -> float:
    """Return the mean luminance of a picture as it is coded for screens, 0 to 255."""
    return float(255 * srgb(light @ LUMINANCE).mean())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"turbulence": 1.0, "fineness": 1.0},
        {"fineness": 0.0, "extent": 1.0, "light": 1.0, "sheets": 4.0},
        {"symmetry": 1.0, "ripple": (1.0,) * 8, "breath": 1.0},
        {"light": 0.0, "extent": 0.0, "sheets": 1.0},
    ],
    ids=str,
)
def test_light_is_finite_and_never_quite_1(changes):
    light = draw(replace(SHOWN, **changes))
    assert (light.shape, light.dtype) == ((*SIZE, 3), np.float32)
    assert np.isfinite(light).all()
    assert light.min() >= 0
    assert light.max() < 1


def test_amount_is_a_factor_of_the_finished_light():
    assert draw(replace(SHOWN, amount=0.25)) == pytest.approx(0.25 * draw(SHOWN), abs=1e-6)


@pytest.mark.parametrize("level_db", [-42.0, -30.0, -18.0])
def test_12_db_are_another_picture(level_db):
    """Where the automatic range has settled, so that the level alone would be the same."""
    shown = []
    for db in (level_db, level_db + 12):
        state = LightState()
        for _ in range(200):
            settings = state.advance(replace(TONE, level_db=db), 1 / 50)
        shown.append(seen(draw(settings)))
    assert shown[1] - shown[0] >= 10


def test_a_glow_stays_in_silence():
    state = LightState()
    for _ in range(40):
        state.advance(TONE, 0.1)
    for _ in range(300):
        settings = state.advance(Pulse(), 0.1)
    assert 0.2 < seen(draw(settings)) < 20


def test_light_stands_higher_with_the_pitch():
    places = np.linspace(0, 1, 9)
    rows = 1 - (np.arange(SIZE[0]) + 0.5) / SIZE[0]
    for time in (3.0, 9.0):
        lights = [draw(replace(SHOWN, time=time, place=place)).sum((1, 2)) for place in places]
        heights = [np.average(rows, weights=light) for light in lights]
        ranks = np.argsort(np.argsort(heights))
        assert np.corrcoef(ranks, np.arange(9))[0, 1] >= 0.9


@pytest.mark.parametrize("note", range(0, 12, 2))
def test_the_colour_is_that_of_the_pitch_class(note):
    """Of all colours of the ring, the nearest to the picture's own is at most a note away."""
    light = draw(replace(SHOWN, hue=note / 12, sheets=1.0)).mean((0, 1))
    ring = np.array(RING) / np.linalg.norm(RING, axis=1, keepdims=True)
    nearest = int((ring @ light).argmax())
    assert (nearest - note + 1) % 12 in (0, 1, 2)


@pytest.mark.parametrize(
    "setting", ["hue", "place", "fineness", "turbulence", "sheets", "symmetry", "extent", "light", "breath", "time"]
)
def test_small_changes_of_a_setting_are_small_changes_of_the_picture(setting):
    near = replace(SHOWN, **{setting: getattr(SHOWN, setting) + 0.002})
    change = np.abs(srgb(draw(near)) - srgb(draw(SHOWN)))
    assert 0 < change.mean() < 0.004


def test_arms_fade_in():
    none, little = (draw(replace(SHOWN, symmetry=value)) for value in (0.0, 0.004))
    change = np.abs(none - little)
    assert change.mean() < 0.002
    assert np.quantile(change, 0.99) < 0.05


def test_an_onset_lifts_the_light_a_little_and_not_at_once():
    """No strobe: at most 8 % of full, spread over 80 ms, though the folds are pushed."""
    state = LightState()
    for i in range(100):
        before = state.advance(replace(TONE, index=i), 0.02)
    still = draw(before)
    state.advance(replace(TONE, index=100, onset=1.0), 0.0)
    pictures = [draw(state.advance(replace(TONE, index=101), 0.02)) for _ in range(15)]
    lights = np.array([float((picture @ LUMINANCE).mean()) for picture in [still, *pictures]])
    assert np.abs(lights - lights[0]).max() < 0.04
    assert np.abs(np.diff(lights)).max() < 0.015
    assert max(np.abs(picture - still).mean() for picture in pictures) > 0.01


def test_a_ripple_moves_folds_and_makes_little_light():
    pushed = draw(replace(SHOWN, ripple=(0.0, 0.0, 0.5, 0.8, 0.5, 0.2, 0.0, 0.0)))
    still = draw(SHOWN)
    assert np.abs(pushed - still).mean() > 0.01
    assert pushed.mean() == pytest.approx(still.mean(), abs=0.02)


def test_triangles_are_filled_as_graphics_processors_fill_them():
    """The middles of pixels that lie inside get the plane through the corners' light; two halves of a square meet."""
    picture = np.zeros((3, 6, 8))
    xs, ys = np.array([[1.0, 6.0], [6.0, 1.0], [1.0, 6.0]]), np.array([[1.0, 5.0], [1.0, 5.0], [5.0, 1.0]])
    lights = np.repeat((xs + 10 * ys)[:, None, :], 3, 1)
    _triangles(picture, xs, ys, lights)
    columns, rows = np.meshgrid(np.arange(8) + 0.5, np.arange(6) + 0.5)
    inside = (columns > 1) & (columns < 6) & (rows > 1) & (rows < 5)
    assert picture[1] == pytest.approx(np.where(inside, columns + 10 * rows, 0), abs=1e-9)


def test_folding_neither_makes_nor_loses_light():
    """A sheet twice as fine, or bent, sends about the same light to a wall that is large enough."""
    totals = []
    for fineness in (0.2, 0.5, 0.8):
        (sheet,) = sheets(replace(SHOWN, fineness=fineness, sheets=1.0))
        x, y, lights = _fold(sheet, SHOWN.ripple, MESH)
        wall = np.zeros((3, 400, 400))
        _fill(wall, 200 + 60 * x, 200 - 60 * y, lights / sum(map(np.array, sheet.colours))[:, None, None])
        totals.append(wall.sum() / 60**2)
    assert totals == pytest.approx([np.mean(totals)] * 3, rel=0.12)


def test_a_blur_keeps_an_even_light():
    assert _blur(np.full((3, 8, 9), 0.5), 2.5) == pytest.approx(np.full((3, 8, 9), 0.5))


def test_a_film_keeps_no_blur_for_each_of_its_settings():
    for k in range(20):
        draw_light(LightSettings(fineness=k / 20), 20, 30, mesh=16)
    assert _gaussian.cache_info().currsize <= GAUSSIANS
