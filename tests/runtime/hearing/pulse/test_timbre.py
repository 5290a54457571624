import numpy as np
import pytest

from clavilux.runtime.hearing.pulse.filters import BANK
from clavilux.runtime.hearing.pulse.spectrum import Steps
from clavilux.runtime.hearing.pulse.timbre import Timbre
from tests.runtime.hearing.pulse.sounds import tone


def heard(samples: np.ndarray, level_db: float = -10) -> Timbre:
    timbre = Timbre()
    for step in Steps().push(samples.astype(np.float32)):
        timbre.push(np.sqrt(step.power), BANK @ step.power, level_db)
    return timbre


def test_brightness_rises_with_pitch_on_a_scale_of_octaves():
    low, high = heard(tone(400, 1)).brightness, heard(tone(3200, 1)).brightness
    assert high - low == pytest.approx(3 / np.log2(80), abs=0.02)


def test_noise_is_noisy_and_a_tone_is_not():
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    assert heard(noise).noisiness > 0.97
    assert heard(tone(440, 1)).noisiness < 0.1
    assert 0.3 < heard(tone(440, 1) + noise / 5).noisiness < 0.95


def test_silence_leaves_the_readings_where_they_are():
    assert heard(tone(440, 1), level_db=-80).brightness == 0
