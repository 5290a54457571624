import pytest

from clavilux.runtime.hearing.pulse.gaps import MAX_GAP, MAX_SILENCE, Gaps


def test_sound_that_goes_on_has_no_gap_and_a_short_one_is_none():
    gaps = Gaps()
    assert [gaps.before(at, 0.1) for at in (5.0, 5.1, 5.1 + MAX_GAP, 3.0)] == [0, 0, 0, 0]


@pytest.mark.parametrize(("pause", "told"), [(0.7, 0.7), (3600.0, MAX_SILENCE)])
def test_a_gap_is_told_once_and_is_never_longer_than_counts(pause: float, told: float):
    gaps = Gaps()
    gaps.before(0.0, 1.0)
    assert gaps.before(1.0 + pause, 0.1) == pytest.approx(told)
    assert gaps.before(1.1 + pause, 0.1) == 0
