"""Percentiles in milliseconds, and a warm-up that ends when the times stand still."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from clavilux.benchmarks.measurements.alternate import alternate, ratio
from clavilux.benchmarks.measurements.percentiles import WINDOW, summary, warm_up
from clavilux.benchmarks.measurements.rhythm import pacing


@dataclass
class Worker:
    """Work that takes as long as it is told, on a clock of its own."""

    times: Iterator[float]
    now: float = 0.0
    runs: int = field(default=0)

    def clock(self) -> float:
        return self.now

    def run(self) -> None:
        self.runs += 1
        self.now += next(self.times)


def worker(*times: float) -> Worker:
    """Return work that takes these seconds, and the last of them from then on."""

    def endless() -> Iterator[float]:
        yield from times
        while True:
            yield times[-1]

    return Worker(endless())


def test_percentiles_are_interpolated_and_in_milliseconds():
    told = summary([index / 1000 for index in range(101)])
    assert (told.count, told.p50, told.p95, told.p99, told.mean) == (101, 50.0, 95.0, 99.0, 50.0)


def test_jitter_is_how_far_slow_ones_lie_from_the_usual_one():
    assert summary([index / 1000 for index in range(101)]).jitter == 45.0


def test_no_times_give_zeros():
    assert summary([]).p99 == 0.0


def test_a_warm_up_goes_on_while_it_gets_faster():
    work = worker(*(2.0**-index for index in range(8)), 0.01)
    warmed = warm_up(work.run, 100.0, work.clock)
    assert warmed.stable
    assert warmed.runs == work.runs > 2 * WINDOW


def test_a_steady_warm_up_ends_at_once():
    work = worker(0.5)
    assert warm_up(work.run, 100.0, work.clock).runs == 2 * WINDOW


def test_a_warm_up_that_never_settles_ends_in_time_and_says_so():
    work = worker(*(float(index) for index in range(1, 50)))
    warmed = warm_up(work.run, 20.0, work.clock)
    assert not warmed.stable
    assert warmed.seconds >= 20.0


def test_a_warm_up_runs_once_in_any_case():
    work = worker(60.0)
    assert warm_up(work.run, 1.0, work.clock).runs == 1


def test_contenders_take_turns_and_nobody_is_always_first():
    order: list[str] = []

    def play(name: str) -> float:
        order.append(name)
        return 1.0

    alternate({"a": lambda: play("a"), "b": lambda: play("b")}, 3)
    assert "".join(order) == "abbaab"


def test_what_slows_a_whole_round_leaves_the_ratio_alone():
    slow = [1.0, 1.0, 5.0, 1.0, 3.0]
    found = ratio([2 * one for one in slow], slow)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


def test_the_interval_holds_the_ratio_and_is_the_same_again():
    times, reference = [3.0, 3.2, 2.8, 3.1, 2.9], [1.0, 1.1, 0.9, 1.05, 0.95]
    found = ratio(times, reference)
    assert found.low <= found.value <= found.high
    assert found == ratio(times, reference)
    assert str(found).startswith("3.00 (")


def test_a_small_ratio_keeps_its_digits():
    assert ratio([0.000123456], [1.0]).value == pytest.approx(0.0001235)


@pytest.mark.parametrize(("times", "reference"), [([], []), ([1.0], [1.0, 2.0])])
def test_a_ratio_needs_the_same_rounds(times: list[float], reference: list[float]):
    with pytest.raises(ValueError, match="times; expected as many"):
        ratio(times, reference)


def test_an_even_rhythm_has_no_jitter():
    pace = pacing([index * 0.25 for index in range(9)])
    assert (pace.frames_per_second, pace.jitter_ms, pace.late) == (4.0, 0.0, 0.0)


def test_a_missed_picture_is_late():
    pace = pacing([0.0, 1.0, 2.0, 4.0, 5.0])
    assert (pace.intervals.p50, pace.late) == (1000.0, 0.25)


def test_one_picture_has_no_rhythm():
    assert pacing([1.0]).frames_per_second == 0.0
