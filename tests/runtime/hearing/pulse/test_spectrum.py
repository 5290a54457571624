import numpy as np
import pytest

from clavilux.runtime.hearing.pulse.spectrum import BIN_HZ, Steps, power_spectrum
from tests.runtime.hearing.pulse.sounds import tone


def test_powers_sum_to_the_mean_square():
    noise = np.random.default_rng(0).normal(0, 0.1, (400, 512))
    assert np.mean([power_spectrum(one).sum() for one in noise]) == pytest.approx(0.01, rel=0.02)


def test_a_tone_lies_in_its_bin():
    assert np.argmax(power_spectrum(tone(1000, 0.032))) == 1000 / BIN_HZ


def test_a_constant_part_is_not_there():
    assert power_spectrum(np.full(512, 0.7)).max() < 1e-30


def test_a_step_waits_for_its_ten_milliseconds():
    steps = Steps()
    assert list(steps.push(np.ones(159, np.float32))) == []
    (step,) = steps.push(np.full(1, 0.5, np.float32))
    assert step.history[-1] == 0.5
    assert len(list(steps.push(np.zeros(480, np.float32)))) == 3
