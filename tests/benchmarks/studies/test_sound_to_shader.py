"""Sound to shader: what is told of a page's notes; the measuring itself needs a browser and time."""

import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.studies.sound_to_shader import figures


def test_each_click_is_paired_with_the_first_that_follows_it():
    noted = {"clicks": [0.0, 500.0, 1000.0], "onsets": [20.0, 90.0, 530.0, 1040.0], "draws": [-5.0, 40.0, 560.0]}
    found = figures(noted)
    assert (found.clicks, found.told, found.drawn) == (3, 3, 2)
    assert found.told_p50 == pytest.approx(30)
    assert found.drawn_p50 == pytest.approx(50)
    assert found.drawn_p95 == pytest.approx(59)


def test_what_comes_much_later_is_of_another_click():
    noted = {"clicks": [0.0, 500.0], "onsets": [20.0, 820.0], "draws": [40.0]}
    assert figures(noted).told == 1


def test_clicks_that_nothing_follows_are_no_figures():
    with pytest.raises(BenchError, match="of 1 clicks none was told and drawn; listen longer: --seconds"):
        figures({"clicks": [0.0], "onsets": [10.0], "draws": []})
