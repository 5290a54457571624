"""The watchdog: silence that follows what frames take, and failures that are forgiven."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.supervision.watchdog import FEW, MAX_STEP, Bounds, RestartBudget, Watchdog

BOUNDS = Bounds()


def settled(cost: float, bounds: Bounds = BOUNDS) -> Watchdog:
    """Return a watchdog that has seen frames of `cost` seconds."""
    watchdog = Watchdog(bounds)
    for _ in range(FEW + 1):
        watchdog.frame(cost)
    return watchdog


@pytest.mark.parametrize(("cost", "bound"), [(0.01, 2.0), (0.15, 2.0), (0.5, 2.5), (3.0, 15.0)])
def test_the_bound_follows_what_frames_take(cost: float, bound: float) -> None:
    assert settled(cost).bound(pause=0.0) == pytest.approx(bound)


def test_the_slowest_of_the_last_frames_counts_and_the_first_one_does_not() -> None:
    watchdog = Watchdog(BOUNDS)
    for cost in (20.0, 0.1, 0.9, 0.1):
        watchdog.frame(cost)
    assert watchdog.bound(0.0) == pytest.approx(4.5)


def test_what_is_left_between_frames_on_purpose_is_no_silence() -> None:
    assert settled(0.1).bound(pause=1.0) == pytest.approx(3.0)


def test_it_is_patient_at_the_beginning_and_after_a_change() -> None:
    watchdog = Watchdog(BOUNDS)
    assert watchdog.bound(0.0) == BOUNDS.patience
    watchdog = settled(0.1)
    watchdog.change()
    assert watchdog.bound(0.0) == BOUNDS.patience


def test_silence_ends_with_a_frame() -> None:
    watchdog = settled(0.1)
    assert not any(watchdog.tick(0.1, 0.0) for _ in range(19))
    watchdog.frame(0.1)
    assert not watchdog.tick(0.1, 0.0)
    assert sum(watchdog.tick(0.1, 0.0) for _ in range(25)) > 0


@given(st.floats(allow_nan=False), st.floats(0.0, 10.0))
def test_a_clock_that_jumps_makes_nobody_look_dead(jump: float, cost: float) -> None:
    watchdog = settled(cost)
    assert not watchdog.tick(jump, 0.0)
    assert 0 <= watchdog.silence <= MAX_STEP


@pytest.mark.parametrize(
    ("times", "forgiven"),
    [
        ([0.0, 10.0, 20.0], [True, True, False]),
        ([0.0, 10.0, 61.0], [True, True, True]),
        ([0.0, 50.0, 100.0, 109.0], [True, True, True, False]),
        ([0.0, 60.0, 120.0, 180.0], [True, True, True, True]),
    ],
)
def test_three_failures_in_a_minute_are_final(times: list[float], forgiven: list[bool]) -> None:
    budget = RestartBudget(BOUNDS)
    assert [budget.forgives(time) for time in times] == forgiven
