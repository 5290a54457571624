"""Figures and gates."""

import numpy as np
import pytest

from clavilux.export.models.image_encoder import usual_pictures
from clavilux.export.parity.figures import FIGURES, MAX_PSNR, compare, ssim, table
from clavilux.export.spec import COMPONENTS, Gate
from clavilux.runtime.bundle.manifest import ParityFigure
from clavilux.runtime.errors import ExportError

ONES = np.ones((2, 3), np.float32)


def figure(name: str, expected: np.ndarray, found: np.ndarray) -> float:
    return FIGURES[name](expected.astype(np.float64), found.astype(np.float64))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_abs_error", 0.5),
        ("relative_error", 0.5 / 4),
        ("relative_l2", 0.5 / 20**0.5),
        ("cosine", 21 / (20 * 22.25) ** 0.5),
    ],
)
def test_a_figure_has_its_textbook_value(name: str, value: float):
    assert figure(name, np.array([2.0, 4.0]), np.array([2.5, 4.0])) == pytest.approx(value)


def test_psnr_of_one_level_everywhere_is_48_decibels():
    picture = np.full((1, 4, 4, 3), 100, np.uint8)
    assert figure("psnr", picture, picture + 1) == pytest.approx(48.13, abs=0.01)


def test_identical_pictures_score_a_finite_best():
    assert figure("psnr", ONES, ONES) == MAX_PSNR


def photograph(height: int = 48, width: int = 40, seed: int = 0) -> np.ndarray:
    """Return smooth colours with a little noise, float64 [1, H, W, 3], 0 to 255."""
    return usual_pictures(height, width, seed).astype(np.float64)


def blurred(pictures: np.ndarray, sigma: float) -> np.ndarray:
    reach = np.arange(-4, 5)
    weights = np.exp(-(reach**2) / (2 * sigma**2))
    weights /= weights.sum()
    for axis in (1, 2):
        pictures = sum(weight * np.roll(pictures, int(by), axis) for weight, by in zip(weights, reach, strict=True))
    return pictures


def test_ssim_of_equal_pictures_is_1():
    assert ssim(photograph(), photograph()) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("one", "other"), [(100, 101), (0, 255), (20, 80)])
def test_ssim_of_even_pictures_compares_their_light_alone(one: int, other: int):
    light = (0.01 * 255) ** 2
    expected = (2 * one * other + light) / (one**2 + other**2 + light)
    found = ssim(*(np.full((1, 16, 20, 3), float(value)) for value in (one, other)))
    assert found == pytest.approx(expected, rel=1e-9)


def plain_ssim(expected: np.ndarray, found: np.ndarray) -> float:
    """Equation 13 of Wang et al. 2004, window by window, as it is written."""
    reach = np.arange(-5, 6)
    weights = np.exp(-(reach[:, None] ** 2 + reach[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for top in range(expected.shape[1] - 10):
        for left in range(expected.shape[2] - 10):
            for colour in range(3):
                x, y = (one[0, top : top + 11, left : left + 11, colour] for one in (expected, found))
                mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
                var_x, var_y = (weights * (x - mean_x) ** 2).sum(), (weights * (y - mean_y) ** 2).sum()
                both = (weights * (x - mean_x) * (y - mean_y)).sum()
                light, contrast = 6.5025, 58.5225
                top_line = (2 * mean_x * mean_y + light) * (2 * both + contrast)
                values.append(top_line / ((mean_x**2 + mean_y**2 + light) * (var_x + var_y + contrast)))
    return float(np.mean(values))


def test_ssim_is_the_papers_formula():
    expected, found = photograph(20, 18), photograph(20, 18, 1)
    assert ssim(expected, found) == pytest.approx(plain_ssim(expected, found), rel=1e-9)


def test_ssim_is_symmetrical():
    assert ssim(photograph(), photograph(seed=1)) == pytest.approx(ssim(photograph(seed=1), photograph()), rel=1e-12)


def test_a_slight_blur_costs_a_little_and_a_strong_one_much():
    slight, strong = (ssim(photograph(), blurred(photograph(), sigma)) for sigma in (1.0, 3.0))
    assert slight == pytest.approx(0.915, abs=0.005)
    assert strong < slight - 0.05


def test_ssim_falls_with_noise_and_stays_above_that_of_another_picture():
    noise = np.random.default_rng(0).normal(0, 1, photograph().shape)
    little, more = (ssim(photograph(), photograph() + scale * noise) for scale in (3, 30))
    assert 1 > little > more > ssim(photograph(), photograph(seed=5)) > -1


def test_pictures_smaller_than_the_window_have_an_ssim_too():
    small = photograph(8, 8)
    assert ssim(small, small) == pytest.approx(1.0)
    assert ssim(small, 255 - small) < 0.5


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_empty_signals_give_finite_figures(name: str):
    black = np.zeros((1, 16, 16, 3), np.uint8)
    assert np.isfinite(figure(name, black, black))


def test_a_figure_is_the_worst_over_all_arrays():
    (found,) = compare("unet", [Gate("max_abs_error", 9)], [ONES, ONES], [ONES + 1, ONES + 2])
    assert found == ParityFigure("unet", "max_abs_error", 2.0, 9)


def test_the_worst_of_what_should_be_large_is_the_smallest():
    (found,) = compare("unet", [Gate("cosine", -2, at_least=True)], [ONES, ONES], [ONES, -ONES])
    assert found.value == pytest.approx(-1)


def test_a_missed_gate_names_component_figure_value_and_threshold():
    with pytest.raises(ExportError, match=r"^unet: max_abs_error is 0\.5; expected at most 0\.1$"):
        compare("unet", [Gate("max_abs_error", 0.1)], [ONES], [ONES + 0.5])


def test_a_missed_lower_bound_says_at_least():
    with pytest.raises(ExportError, match=r"cosine is -1; expected at least 0\.9"):
        compare("unet", [Gate("cosine", 0.9, at_least=True)], [ONES], [-ONES])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_passes(wrong: float):
    with pytest.raises(ExportError, match="the exported graph gives NaN or infinity"):
        compare("unet", [], [ONES], [ONES * wrong])
    with pytest.raises(ExportError, match="the original gives NaN or infinity"):
        compare("unet", [], [ONES * wrong], [ONES])


def test_another_shape_never_passes():
    with pytest.raises(ExportError, match=r"unet gives shape \[3, 2\]; expected \[2, 3\]"):
        compare("unet", [], [ONES], [ONES.T])


def test_a_gate_is_never_passed_by_nan():
    assert not Gate("psnr", 0, at_least=True).passes(np.nan)
    assert not Gate("psnr", 0).passes(np.nan)


def test_every_declared_gate_has_a_figure():
    assert {gate.figure for component in COMPONENTS for gate in component.exact + component.stored} <= set(FIGURES)


def test_the_table_lines_its_columns_up():
    lines = table([ParityFigure("denoiser", "cosine", 0.99999, 0.999), ParityFigure("unet", "psnr", 41.234, 40)])
    assert lines.splitlines() == [
        "component  figure  value  threshold",
        "denoiser   cosine  1      0.999",
        "unet       psnr    41.2   40",
    ]
