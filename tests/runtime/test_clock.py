"""Clocks: they tell the time, and waiting ends at the time or at the wake-up."""

import threading
import time

from clavilux.runtime.clock import ManualClock, MonotonicClock


def test_the_monotonic_clock_is_the_machines() -> None:
    before = time.monotonic()
    assert before <= MonotonicClock().now() <= time.monotonic()


def test_waiting_for_the_past_returns_at_once() -> None:
    MonotonicClock().wait_until(time.monotonic() - 1, threading.Event())


def test_waiting_on_the_monotonic_clock_reaches_the_time() -> None:
    clock = MonotonicClock()
    until = clock.now() + 0.01
    clock.wait_until(until, threading.Event())
    assert clock.now() >= until


def test_a_wake_up_ends_the_wait() -> None:
    wake = threading.Event()
    wake.set()
    MonotonicClock().wait_until(time.monotonic() + 3600, wake)
    ManualClock().wait_until(3600, wake)


def test_a_manual_clock_stands_still_until_it_is_set() -> None:
    clock = ManualClock(2.0)
    assert (clock.now(), clock.now()) == (2.0, 2.0)
    clock.set(3.0)
    assert clock.now() == 3.0


def test_a_manual_clock_releases_who_waits() -> None:
    clock = ManualClock()
    waiter = threading.Thread(target=clock.wait_until, args=(5.0, threading.Event()))
    waiter.start()
    clock.set(4.0)
    clock.set(5.0)
    waiter.join(timeout=10)
    assert not waiter.is_alive()
