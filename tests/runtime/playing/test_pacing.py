"""The hop follows what a look costs, the frame rate what pictures cost."""

from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.playing.pacing import (
    MAX_FRAME_RATE,
    MAX_HOP_SECONDS,
    MAX_PAUSE,
    PICTURES_SHARE,
    REMEMBERED,
    SHARE,
    FramePacer,
    HopPacer,
)
from clavilux.runtime.sound.format import FRAME_STEP, SAMPLE_RATE


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
    assert FRAME_STEP <= hop <= MAX_HOP_SECONDS * SAMPLE_RATE
    newest = sorted(costs[-REMEMBERED:])
    middle = (newest[len(newest) // 2] + newest[(len(newest) - 1) // 2]) / 2
    assert hop / SAMPLE_RATE >= min(middle / SHARE, MAX_HOP_SECONDS) - 1e-9


def interval(*costs: float, looks: tuple[float, ...] = (0.0,)) -> float:
    """Return the interval after pictures of these costs, with looks in turn."""
    pacer = FramePacer()
    for seconds, look in zip(costs, cycle(looks), strict=False):
        pacer.note(seconds, look)
    return pacer.interval


def test_a_fast_machine_gives_thirty_pictures_a_second() -> None:
    assert interval() == interval(0.001, 0.002) == 1 / 30


@pytest.mark.parametrize("cost", [0.030, 0.070, 2.0])
def test_pictures_leave_a_part_of_the_time_to_everything_else(cost: float) -> None:
    assert interval(cost) == pytest.approx(cost / PICTURES_SHARE)


def test_one_slow_picture_does_not_change_the_rhythm() -> None:
    assert interval(*[0.04] * 6, 0.5) == interval(0.04)


@pytest.mark.parametrize(
    ("looks", "cost"), [((0.01,), 0.04), ((0.0, 0.0, 0.03), 0.04), ((0.03, 0.0, 0.0), 0.04), ((0.0,), 0.03)]
)
def test_looks_count_as_often_as_they_come(looks: tuple[float, ...], cost: float) -> None:
    assert interval(*[0.03] * REMEMBERED, looks=looks) == pytest.approx(cost / PICTURES_SHARE)


@pytest.mark.parametrize(
    ("costs", "newest", "due"),
    [
        ((), 0.005, 1 / MAX_FRAME_RATE),
        ((0.045,) * 3, 0.045, 0.06),
        ((1.5,) * 3, 1.5, 1.5 + MAX_PAUSE),
        ((5.0, 0.02), 0.02, 0.02 + MAX_PAUSE),
    ],
    ids=["fast", "leaves a quarter", "no long pause", "no long pause after a slow one"],
)
def test_the_next_picture_is_due(costs: tuple[float, ...], newest: float, due: float) -> None:
    pacer = FramePacer()
    for seconds in costs:
        pacer.note(seconds, 0.0)
    assert pacer.until(10.0, 10.0 + newest) == pytest.approx(10.0 + due)


@given(st.lists(st.floats(1e-5, 10.0), min_size=REMEMBERED, max_size=30))
def test_the_rhythm_is_that_of_the_newest_pictures(costs: list[float]) -> None:
    newest = sorted(costs[-REMEMBERED:])
    assert interval(*costs) == max(1 / MAX_FRAME_RATE, newest[REMEMBERED // 2] / PICTURES_SHARE)
