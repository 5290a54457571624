"""Arrivals: connections of one address, at once and in the long run."""

import pytest

from clavilux.server.web import arrivals
from clavilux.server.web.arrivals import Arrivals


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_an_address_may_come_often_at_once_and_then_so_many_times_a_second(clock: Clock) -> None:
    counted = Arrivals(3, 2, clock=clock)
    assert [counted.admit("192.0.2.7") for _ in range(5)] == [True, True, True, False, False]
    clock.now = 1.0
    assert [counted.admit("192.0.2.7") for _ in range(3)] == [True, True, False]
    assert counted.admit("192.0.2.8")


def test_neighbours_of_one_network_count_together_in_ipv6_alone(clock: Clock) -> None:
    counted = Arrivals(1, 1, clock=clock)
    assert [counted.admit(address) for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")] == [
        True,
        False,
        True,
    ]
    assert [counted.admit(address) for address in ("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.2")] == [True, True, False]


def test_a_proxy_that_was_named_may_bring_anyone(clock: Clock) -> None:
    counted = Arrivals(1, 1, ["10.0.0.0/8", "::1/128"], clock)
    for address in ("10.1.2.3", "::1"):
        assert all(counted.admit(address) for _ in range(5))
    assert [counted.admit("11.0.0.1") for _ in range(2)] == [True, False]


def test_a_clock_that_stands_still_gives_nothing_back(clock: Clock) -> None:
    counted = Arrivals(1, 1000, clock=clock)
    assert [counted.admit("192.0.2.7") for _ in range(3)] == [True, False, False]


def test_only_so_many_addresses_are_remembered(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MAX_ADDRESSES", 2)
    counted = Arrivals(1, 1, clock=clock)
    assert [counted.admit(f"192.0.2.{number}") for number in (1, 2, 1, 3, 2)] == [True, True, False, True, True]
