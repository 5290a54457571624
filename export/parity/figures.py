"""The proof: figures that compare two computations, held against the gates that `clavilux.export.spec` declares."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clavilux.export.spec import Gate
from clavilux.runtime.bundle.manifest import ParityFigure
from clavilux.runtime.errors import ExportError
from clavilux.runtime.providers.session import Array

MAX_PSNR = 120.0
"""Score of identical pictures, in dB: infinity has no place in a manifest."""

MAX_LEVEL = 255
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # pixels; Wang et al. 2004, section III.C
SSIM_STABILISERS = (0.01, 0.03)  # their K1 and K2
_TINY = 1e-12  # keeps quotients of empty signals finite


def max_abs_error(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the largest absolute difference."""
    return float(np.abs(found - expected).max())


def relative_error(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the largest absolute difference over the largest absolute value expected."""
    return max_abs_error(expected, found) / max(float(np.abs(expected).max()), _TINY)


def relative_l2(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the difference's Euclidean norm over that of what was expected."""
    return float(np.linalg.norm(found - expected) / max(float(np.linalg.norm(expected)), _TINY))


def cosine(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the cosine between both, as flat vectors."""
    norms = np.linalg.norm(expected) * np.linalg.norm(found)
    return float(np.vdot(expected, found) / max(float(norms), _TINY))


def psnr(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the peak signal-to-noise ratio of 8-bit pictures in dB."""
    error = float(np.mean((found - expected) ** 2))
    return MAX_PSNR if error == 0 else min(MAX_PSNR, 10 * float(np.log10(MAX_LEVEL**2 / error)))


def ssim(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the mean structural similarity of 8-bit pictures [B, H, W, C] (Wang et al. 2004, eq. 13)."""
    means = [_blur(picture) for picture in (expected, found)]
    variances = [_blur(picture**2) - mean**2 for picture, mean in zip((expected, found), means, strict=True)]
    covariance = _blur(expected * found) - means[0] * means[1]
    light, contrast = ((share * MAX_LEVEL) ** 2 for share in SSIM_STABILISERS)
    numerator = (2 * means[0] * means[1] + light) * (2 * covariance + contrast)
    denominator = (means[0] ** 2 + means[1] ** 2 + light) * (sum(variances) + contrast)
    return float(np.mean(numerator / denominator))


def _blur(pictures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the average under a Gaussian window at every place where it fits, over axes 1 and 2."""
    reach = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-(reach**2) / (2 * SSIM_SIGMA**2))
    weights /= weights.sum()
    for axis in (1, 2):
        views = np.lib.stride_tricks.sliding_window_view(pictures, min(SSIM_WINDOW, pictures.shape[axis]), axis)
        kept = weights[: views.shape[-1]]
        pictures = views @ (kept / kept.sum())
    return pictures


FIGURES = {
    "max_abs_error": max_abs_error,
    "relative_error": relative_error,
    "relative_l2": relative_l2,
    "cosine": cosine,
    "psnr": psnr,
    "ssim": ssim,
}


def compare(
    component: str, gates: Sequence[Gate], expected: Sequence[Array], found: Sequence[Array]
) -> list[ParityFigure]:
    """Return one figure per gate, the worst over all pairs of arrays.

    Raises ExportError, naming component, figure, value and threshold, for the first gate that is missed, for NaN or
    infinity, and for arrays of unequal shape.
    """
    pairs = [_pair(component, one, other) for one, other in zip(expected, found, strict=True)]
    return [_figure(component, gate, pairs) for gate in gates]


def _pair(component: str, expected: Array, found: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if expected.shape != found.shape:
        raise ExportError(f"{component} gives shape {list(found.shape)}; expected {list(expected.shape)}")
    for name, array in (("original", expected), ("exported graph", found)):
        if not np.isfinite(array.astype(np.float64)).all():
            raise ExportError(f"{component}: the {name} gives NaN or infinity; expected finite numbers")
    return expected.astype(np.float64), found.astype(np.float64)


def _figure(
    component: str, gate: Gate, pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> ParityFigure:
    values = [FIGURES[gate.figure](expected, found) for expected, found in pairs]
    value = min(values) if gate.at_least else max(values)
    if not gate.passes(value):
        bound = "at least" if gate.at_least else "at most"
        raise ExportError(f"{component}: {gate.figure} is {value:.4g}; expected {bound} {gate.threshold:g}")
    return ParityFigure(component, gate.figure, value, gate.threshold)


def table(figures: Sequence[ParityFigure]) -> str:
    """Return `figures` as a table for people."""
    rows = [("component", "figure", "value", "threshold")]
    rows += [(one.component, one.figure, f"{one.value:.3g}", f"{one.threshold:g}") for one in figures]
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return `rows` as lines of text whose cells stand under each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
