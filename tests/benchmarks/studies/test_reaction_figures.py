"""Figures of films: change, onset strength, correlation, on films whose answer is known."""

import numpy as np
import pytest

from clavilux.benchmarks.studies.reaction_figures import (
    change,
    correlation,
    descriptor,
    height_of_light,
    onset_strength,
    peak_after,
    rank_correlation,
)
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.sound_file import Clip

RATE = 30.0  # frames a second


def test_change_is_the_mean_difference_from_the_picture_before() -> None:
    pictures = np.zeros((3, 2, 2, 3), np.uint8)
    pictures[1:, 0] = 100
    assert change(pictures).tolist() == [0.0, 50.0, 0.0]


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_onset_strength_rises_where_a_sound_begins(channels: int) -> None:
    samples = np.zeros(2 * SAMPLE_RATE, np.float32)
    samples[SAMPLE_RATE:] = 0.3 * np.sin(np.arange(SAMPLE_RATE) * 0.3)
    strength = onset_strength(Clip(samples[:, None].repeat(channels, axis=1), SAMPLE_RATE), RATE, 60)
    assert np.argmax(strength) in (31, 32)
    assert strength[:30].max() < 0.01 * strength.max()


@pytest.mark.parametrize("lag", [0, 2])
def test_what_follows_the_sound_correlates_at_its_lag(lag: int) -> None:
    strength = np.random.default_rng(1).uniform(size=300) ** 4
    shown = np.roll(strength, lag) + 1.0
    value, found = correlation(strength, shown, RATE)
    assert value == pytest.approx(1.0, abs=0.02)
    assert found == pytest.approx(lag / RATE)


def test_what_has_nothing_to_do_with_the_sound_does_not_correlate() -> None:
    one, other = np.random.default_rng(2).uniform(size=(2, 900))
    assert abs(correlation(one, other, RATE)[0]) < 0.2


def test_the_peak_is_told_from_the_click_on() -> None:
    times = np.arange(60) / 60
    shown = np.zeros(60)
    shown[33] = 1.0
    assert peak_after(shown, times, 0.5) == pytest.approx(0.05)


def test_light_at_the_head_is_high_and_the_square_in_the_middle_does_not_count() -> None:
    picture = np.full((10, 20, 3), 20, np.uint8)
    picture[9, 5:15] = 255
    picture[0, :5] = 255
    assert height_of_light(picture) == pytest.approx(1.0)
    assert height_of_light(picture[::-1]) == pytest.approx(0.0)


def test_painted_light_is_looked_for_in_the_square_in_the_middle():
    picture = np.zeros((90, 160, 3), np.uint8)
    picture[-1, :20] = 255  # beside it
    picture[0, 60:100] = 255
    assert height_of_light(picture, inside=True) == pytest.approx(1.0)
    assert height_of_light(picture) == pytest.approx(0.0)


def test_a_picture_is_nearest_to_itself_however_bright_and_whatever_is_beside_it() -> None:
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 128, (4, 32, 40, 3)).astype(np.uint8)
    own = np.stack([descriptor(picture) for picture in pictures])
    brighter = np.minimum(pictures[2] * 1.5, 255).astype(np.uint8)
    brighter[:, :4] = 0
    assert np.argmax(own @ descriptor(brighter)) == 2
    assert np.linalg.norm(own, axis=1) == pytest.approx(1.0)


def test_a_black_picture_is_like_none() -> None:
    assert not descriptor(np.zeros((8, 8, 3), np.uint8)).any()


def test_ranks_correlate_however_a_series_is_bent() -> None:
    series = np.linspace(1, 5, 20)
    assert rank_correlation(series, series**3) == pytest.approx(1.0)
    assert rank_correlation(series, -np.exp(series)) == pytest.approx(-1.0)
