"""Figures and gates."""

import numpy as np
import pytest

from export.components import COMPONENTS, Gate
from export.parity import BEST_PSNR, FIGURES, compare, table
from runtime.errors import ExportError
from runtime.manifest import ParityFigure

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
    assert figure("psnr", ONES, ONES) == BEST_PSNR


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_empty_signals_give_finite_figures(name: str):
    assert np.isfinite(figure(name, ONES * 0, ONES * 0))


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
