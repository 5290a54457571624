"""The hop follows what a look costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.manifest import FRAME_STEP, SAMPLE_RATE
from runtime.pacing import LONGEST, REMEMBERED, SHARE, HopPacer


def paced(*costs: float) -> int:
    pacer = HopPacer(1600)
    for seconds in costs:
        pacer.note(seconds)
    return pacer.hop_samples


def test_before_the_first_look_the_hop_is_the_bundles() -> None:
    assert paced() == 1600


@pytest.mark.parametrize(("cost", "hop"), [(0.001, 160), (0.007, 480), (0.025, 1600), (0.060, 3840), (9.0, 16_000)])
def test_a_quarter_of_the_time_may_go_into_listening(cost: float, hop: int) -> None:
    assert paced(cost) == hop


def test_one_slow_look_changes_nothing() -> None:
    assert paced(*[0.007] * 6, 0.5) == paced(0.007)


def test_a_machine_that_became_slower_is_noticed() -> None:
    assert paced(*[0.007] * REMEMBERED, *[0.05] * REMEMBERED) == paced(0.05)


def test_a_look_that_cost_nothing_says_nothing() -> None:
    assert paced(0.007, 0.0, 0.0, 0.0) == paced(0.007)


@given(st.lists(st.floats(1e-5, 10.0), min_size=1, max_size=20))
def test_hops_are_whole_frames_that_keep_to_the_share(costs: list[float]) -> None:
    hop = paced(*costs)
    assert hop % FRAME_STEP == 0
    assert FRAME_STEP <= hop <= LONGEST * SAMPLE_RATE
    newest = sorted(costs[-REMEMBERED:])
    middle = (newest[len(newest) // 2] + newest[(len(newest) - 1) // 2]) / 2
    assert hop / SAMPLE_RATE >= min(middle / SHARE, LONGEST) - 1e-9
