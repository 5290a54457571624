"""How pictures grow into each other; tests/server/page/test_screen_states.py compares with the page's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.output.pictures import MAX_INTERVAL, Pacing

intervals = st.lists(st.floats(0.005, 3.0), min_size=2, max_size=40)


def used(interval: float, count: int = 60) -> tuple[Pacing, float]:
    pacing = Pacing()
    for picture in range(count):
        pacing.arrive(picture * interval)
    return pacing, (count - 1) * interval


@given(intervals)
def test_the_newest_picture_is_there_in_full_one_usual_interval_after_it_came(gaps: list[float]):
    pacing, now = Pacing(), 0.0
    for gap in gaps:
        now += gap
        pacing.arrive(now)
    assert pacing.interval <= MAX_INTERVAL
    assert pacing.share(now + pacing.interval * 1.0001) == 1


@given(intervals, st.floats(0, 1))
def test_what_grows_begins_where_what_was_shown_ended(gaps: list[float], part: float):
    pacing, now = Pacing(), 0.0
    pacing.arrive(now)
    for gap in gaps:
        now += gap * part
        shown = pacing.share(now)
        assert pacing.arrive(now) == shown
        assert pacing.share(now) == 0


def test_a_stall_is_no_interval():
    pacing, last = used(0.05)
    pacing.arrive(last + 10)
    assert pacing.interval == pytest.approx(0.0625, abs=1e-3)


def test_a_rate_that_falls_for_good_is_learned():
    pacing, last = used(0.033)
    for picture in range(1, 30):
        pacing.arrive(last + 0.2 * picture)
    assert pacing.interval == pytest.approx(0.2, abs=0.01)


def test_what_is_held_goes_on_where_it_was():
    pacing, last = used(0.1)
    pacing.hold(last + 0.025)
    pacing.release(last + 5)
    assert pacing.share(last + 5.025) == pytest.approx(0.5, abs=0.01)
