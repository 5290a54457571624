"""A pace lets work through as fast as it fills, and no connection below its share."""

import pytest

from clavilux.server.web.pace import FairPace, Pace


def test_a_burst_goes_at_once_and_what_is_over_it_waits() -> None:
    pace = Pace(rate=10, burst=5)
    pace.spend(5, 100.0)
    assert pace.wait(100.0) == 0
    pace.spend(2, 100.0)
    assert pace.wait(100.0) == pytest.approx(0.2)
    assert pace.wait(100.1) == pytest.approx(0.1)
    assert pace.wait(101.0) == 0


def test_rest_saves_up_no_more_than_a_burst() -> None:
    pace = Pace(rate=10, burst=5)
    pace.spend(0, 0.0)
    pace.spend(7, 1000.0)
    assert pace.wait(1000.0) == pytest.approx(0.2)


def test_in_the_long_run_the_rate_holds() -> None:
    pace, now, done = Pace(rate=10, burst=5), 0.0, 0
    while now < 100:
        pace.spend(3, now)
        done += 3
        now += max(0.01, pace.wait(now))
    assert done == pytest.approx(1005, abs=3)


def fair(together: Pace) -> FairPace:
    return FairPace(Pace(500, 500), Pace(100, 100), together)


def test_alone_a_connection_is_as_fast_as_it_may_be() -> None:
    one = fair(Pace(1000, 1000))
    one.spend(500, 0.0)
    assert one.wait(0.0) == 0
    one.spend(50, 0.0)
    assert one.wait(0.0) == pytest.approx(0.1)


def test_where_all_are_too_fast_each_keeps_its_share() -> None:
    together = Pace(1000, 1000)
    greedy, modest = fair(together), fair(together)
    for _ in range(3):
        other = fair(together)
        other.spend(400, 0.0)
    greedy.spend(400, 0.0)
    modest.spend(50, 0.0)
    assert greedy.wait(0.0) > 0.1
    assert modest.wait(0.0) == 0
