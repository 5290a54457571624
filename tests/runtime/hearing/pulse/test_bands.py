import numpy as np
import pytest

from clavilux.runtime.hearing.pulse.bands import Bands
from clavilux.runtime.hearing.pulse.spectrum import BINS, power_spectrum
from tests.runtime.hearing.pulse.sounds import tone


@pytest.mark.parametrize(("hertz", "band"), [(80, 1), (600, 2), (4000, 3)])
def test_a_tone_is_in_its_own_band(hertz: float, band: int):
    loud = Bands().push(power_spectrum(tone(hertz, 0.032)))
    assert int(np.argmax(loud.decibels[1:])) + 1 == band
    assert loud.decibels[band] == pytest.approx(loud.decibels[0], abs=0.5)


def test_decibels_are_those_of_the_mean_square():
    loud = Bands().push(power_spectrum(tone(1000, 0.032, loud=1)))
    assert loud.decibels[0] == pytest.approx(-3.01, abs=0.1)


def test_decibels_end_at_silence_and_full_scale():
    assert [Bands().push(np.full(BINS, power)).decibels[0] for power in (0.0, 4.0)] == [-120, 0]


def test_levels_fall_more_slowly_than_decibels():
    bands = Bands()
    bands.push(power_spectrum(tone(1000, 0.032)))
    silent = bands.push(np.zeros(257))
    assert silent.decibels[0] == -120
    assert silent.levels[0] > 0.8
