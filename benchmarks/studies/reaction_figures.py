"""Figures of films for `clavilux.benchmarks.studies.reaction`: change, onset strength, correlation. Pure NumPy."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.output.colour import LUMINANCE, to_linear
from clavilux.runtime.output.resampling import box_matrix
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.resample import Resampler
from clavilux.runtime.sound.sound_file import Clip

Floats = NDArray[np.float64]

WINDOW = 512  # samples of a spectrum
BANDS = 24  # on a scale of octaves, from MIN_HZ to half the rate
MIN_HZ = 60.0  # Hz
COMPRESSION = 100.0  # of amplitudes before the logarithm
SMOOTHING = 0.1  # s, a Hann window over both sides of a correlation
MAX_LAG = 0.1  # s that the picture may come after the sound
MOSAIC = 16  # parts of a picture each way, by which it is recognised
BOX_TAPS = 2  # samples a side for each of them
PEAK_REACH = 0.2  # s round a click in which the greatest change is looked for


def change(pictures: NDArray[np.uint8]) -> Floats:
    """Return how much each of the pictures [frames, H, W, 3] differs from the one before, of 255; 0 for the first."""
    steps = np.abs(np.diff(pictures.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
    return np.concatenate([[0.0], steps])


def onset_strength(clip: Clip, rate: float, count: int) -> Floats:
    """Return the rise of a clip's loudness in bands, for each of `count` frames at `rate` a second."""
    resampler = Resampler(clip.rate, clip.samples.shape[1])
    sound = np.concatenate([resampler.push(clip.samples), resampler.finish()])
    edges = np.geomspace(MIN_HZ, SAMPLE_RATE / 2, BANDS + 1) * WINDOW / SAMPLE_RATE
    before, found = None, np.zeros(count)
    for index in range(count):
        end = round(index / rate * SAMPLE_RATE)
        block = sound[max(0, end - WINDOW) : end]
        spectrum = np.abs(np.fft.rfft(np.pad(block, (WINDOW - len(block), 0)) * np.hanning(WINDOW)))
        parts = [spectrum[int(a) : max(int(a) + 1, int(b))].mean() for a, b in pairwise(edges)]
        bands = np.log1p(COMPRESSION * np.array(parts))
        if before is not None:
            found[index] = np.maximum(bands - before, 0).sum()
        before = bands
    return found


def correlation(strength: Floats, shown: Floats, rate: float) -> tuple[float, float]:
    """Return the greatest correlation of `shown` with `strength` up to MAX_LAG before it, and that lag in seconds."""
    taps = np.hanning(round(SMOOTHING * rate) + 2)
    ours, theirs = (np.convolve(one, taps / taps.sum(), "same") for one in (shown, strength))
    lags = range(round(MAX_LAG * rate) + 1)
    found = [float(np.corrcoef(theirs[: len(theirs) - lag], ours[lag:])[0, 1]) for lag in lags]
    best = int(np.argmax(found))
    return found[best], best / rate


def peak_after(shown: Floats, times: Floats, click: float) -> float:
    """Return how long after a click the change is greatest, in seconds; before it below 0."""
    near = np.flatnonzero(np.abs(times - click) <= PEAK_REACH)
    return float(times[near[np.argmax(shown[near])]] - click)


def height_of_light(picture: NDArray[np.uint8], *, inside: bool = False) -> float:
    """Return how high the light of a picture [H, W, 3] stands: 0 at the foot of the wall, 1 at its head.

    It is looked for left and right of the square in the middle, where the page draws it, or inside of that, where a
    bundle paints it; light is what is brighter there than half of all pixels.
    """
    rows, columns = picture.shape[:2]
    side = (columns - rows) // 2
    beside = np.concatenate([picture[:, :side], picture[:, columns - side :]], axis=1)
    luminance = to_linear(picture[:, side : columns - side] if inside else beside) @ LUMINANCE
    light = np.maximum(luminance - np.median(luminance), 0).sum(axis=1)
    heights = np.linspace(1, 0, rows)
    return float((light * heights).sum() / max(light.sum(), 1e-9))


def descriptor(picture: NDArray[np.uint8]) -> Floats:
    """Return the square in the middle of a picture [H, W, 3] as a unit vector of MOSAIC x MOSAIC means, mean free."""
    rows, columns = picture.shape[:2]
    square = picture[:, (columns - rows) // 2 :][:, :rows].astype(np.float64)
    across = box_matrix(rows, MOSAIC, BOX_TAPS).astype(np.float64)
    vector = np.einsum("ir,jc,rcx->ijx", across, across, square, optimize=True).ravel()
    vector -= vector.mean()
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))


def rank_correlation(one: Floats, other: Floats) -> float:
    """Return Spearman's rank correlation of two series."""
    ranks = [np.argsort(np.argsort(series)).astype(np.float64) for series in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
