import numpy as np
import pytest

from clavilux.runtime.hearing.pulse.pitch import Pitch, fundamental
from clavilux.runtime.hearing.pulse.spectrum import Steps
from tests.runtime.hearing.pulse.sounds import sweep, tone


def heard(samples: np.ndarray) -> Pitch:
    pitch = Pitch()
    for step in Steps().push(samples.astype(np.float32)):
        pitch.push(step.history)
    return pitch


@pytest.mark.parametrize("hertz", [55, 110, 261.63, 440, 1000, 2637, 5000])
def test_a_sine_has_its_frequency(hertz: float):
    found, alike = fundamental(tone(hertz, 0.064))
    assert found == pytest.approx(hertz, rel=0.006)
    assert alike > 0.95


@pytest.mark.parametrize("hertz", [82.4, 196, 330, 659])
def test_a_voice_like_sum_of_harmonics_has_the_pitch_of_its_fundamental(hertz: float):
    sound = sum(tone(hertz * k, 0.064, loud=0.3 / k) for k in range(1, 9))
    assert fundamental(sound)[0] == pytest.approx(hertz, rel=0.006)


def test_a_missing_fundamental_is_heard():
    sound = sum(tone(150 * k, 0.064, loud=0.2) for k in range(2, 7))
    assert fundamental(sound)[0] == pytest.approx(150, rel=0.006)


@pytest.mark.parametrize(("hertz", "place"), [(261.626, 0), (440, 9 / 12), (880, 9 / 12), (466.164, 10 / 12)])
def test_the_class_counts_semitones_from_c(hertz: float, place: float):
    away = heard(tone(hertz, 0.5)).pitch_class - place
    assert abs(away - round(away)) < 0.01


def test_the_height_counts_octaves_from_the_second_lowest_a():
    assert [round(heard(tone(hertz, 0.5)).height, 2) for hertz in (55, 440, 3520, 7000)] == [0, 0.5, 1, 1]


def test_a_sweep_only_rises():
    pitch, heights = Pitch(), []
    for step in Steps().push(sweep(seconds=5, high=7500)):
        pitch.push(step.history)
        heights.append(pitch.height)
    assert np.diff(heights[8:]).min() > -1e-9
    assert (heights[8], heights[-1]) == (pytest.approx(0.04, abs=0.03), 1)


def test_noise_has_no_pitch_and_silence_none():
    noise = heard(np.random.default_rng(0).normal(0, 0.1, 16000))
    assert (noise.confidence, noise.harmonicity < 0.1) == (0, True)
    assert heard(np.zeros(8000)).confidence == 0


def test_the_pitch_stays_when_the_sound_ends():
    ended = heard(np.concatenate([tone(440, 0.5), np.zeros(8000)]))
    assert ended.confidence == 0
    assert ended.height == pytest.approx(0.5, abs=0.01)
