"""Caustic sheets of the light: constants from a hash, colours on a ring, and sheets that fade in."""

from dataclasses import replace

import numpy as np
import pytest

from clavilux.runtime.output.light_sheets import RING, colour, dice, rise, sheets
from clavilux.runtime.output.light_state import LightSettings

SHOWN = LightSettings(time=3.0)


def test_draws_are_the_same_for_ever():
    assert [round(dice(number) * 2**32) for number in (0, 1, 2, 4096)] == [0, 33350994, 83415710, 1171687166]


def test_draws_are_spread_evenly():
    drawn = np.array([dice(number) for number in range(20_000)])
    assert np.histogram(drawn, 10, (0, 1))[0] == pytest.approx(np.full(10, 2000), rel=0.1)


@pytest.mark.parametrize("note", range(12))
def test_each_pitch_class_has_its_colour(note):
    assert colour(note / 12) == pytest.approx(RING[note])
    assert colour(note / 12 + 3) == pytest.approx(RING[note])


def test_no_colour_of_the_ring_is_muddy():
    """Between its neighbours each is still bright, and far from grey."""
    for hue in np.linspace(0, 1, 240, endpoint=False):
        tone = colour(hue)
        assert max(tone) > 0.6
        assert min(tone) < 0.2


def test_sheets_fade_in_one_after_the_other():
    lights = [[sheet.light for sheet in sheets(replace(SHOWN, sheets=count))] for count in (1.0, 1.001, 1.5, 2.0, 4.0)]
    assert [len(some) for some in lights] == [1, 2, 2, 2, 4]
    assert 0 < lights[1][1] < 1e-4
    assert lights[2][1] == pytest.approx(lights[2][0] / 2)


def test_a_soft_source_stays_where_it_is_however_it_is_folded():
    """The mean of its rays is told beforehand, and taken away."""
    side = np.linspace(-1.6, 1.6, 161)
    u, v = side[None, :], side[:, None]
    source = np.exp(-(u**2 + v**2) / 0.4)
    for sheet in sheets(replace(SHOWN, sheets=4.0)):
        for waves, at in ((sheet.across, sheet.middle[0]), (sheet.up, sheet.middle[1])):
            place = at + sum(size * np.sin(along * u + up * v + phase) for along, up, phase, size in waves)
            assert abs(np.average(place, weights=source)) < 0.65


def test_higher_notes_stand_higher():
    assert [rise(replace(SHOWN, place=place)) for place in (0.0, 0.5, 1.0)] == pytest.approx([-0.55, 0, 0.55])
