"""The high-pass: what lies below it is gone, what lies above it is as it was, and its beginning makes no click."""

import numpy as np
import pytest

from clavilux.runtime.hearing.high_pass import CUTOFF, HighPass
from clavilux.runtime.sound.format import FRAME_STEP, SAMPLE_RATE
from clavilux.runtime.sound.samples import Samples


def passed(samples: Samples) -> np.ndarray:
    """Return what a new filter makes of samples, whole blocks of them."""
    high_pass = HighPass()
    return np.concatenate([high_pass.push(block) for block in np.split(samples, len(samples) // FRAME_STEP)])


def tone(hertz: float, seconds: float = 1.0) -> Samples:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.sin(2 * np.pi * hertz * time).astype(np.float32)


def gain(hertz: float) -> float:
    """Return the gain at a frequency in dB, once the filter has settled."""
    sound = tone(hertz, 2.0)
    half = len(sound) // 2
    return float(20 * np.log10(np.std(passed(sound)[half:]) / np.std(sound[half:])))


def test_it_is_three_decibels_down_at_its_cutoff() -> None:
    assert gain(CUTOFF) == pytest.approx(-3.01, abs=0.02)


@pytest.mark.parametrize(("hertz", "decibels"), [(10.0, -19.1), (100.0, -0.04), (1000.0, 0.0)])
def test_its_gain_is_that_of_a_butterworth_filter_of_second_order(hertz: float, decibels: float) -> None:
    assert gain(hertz) == pytest.approx(decibels, abs=0.05)


def test_an_offset_is_gone_from_the_first_sample_on() -> None:
    assert np.abs(passed(np.full(SAMPLE_RATE, 0.3, np.float32))).max() < 1e-12


def test_each_sample_is_the_recursion_of_the_last_ones() -> None:
    sound = np.random.default_rng(0).normal(size=4 * FRAME_STEP).astype(np.float32)
    warped = np.tan(np.pi * CUTOFF / SAMPLE_RATE)
    scale = 1 / (1 + np.sqrt(2) * warped + warped**2)
    first, second = 2 * scale * (warped**2 - 1), scale * (1 - np.sqrt(2) * warped + warped**2)
    before = [float(sound[0])] * 2  # it counts as having stood there for ever
    made = [0.0, 0.0]
    for now in sound.tolist():
        value = scale * (now - 2 * before[-1] + before[-2]) - first * made[-1] - second * made[-2]
        before.append(now)
        made.append(value)
    assert passed(sound) == pytest.approx(np.array(made[2:]), abs=1e-9)
