"""Token buckets: a burst, then so many a second."""

import pytest

from clavilux.runtime.token_bucket import TokenBucket


def test_a_burst_is_there_at_once_and_then_nothing() -> None:
    bucket = TokenBucket(burst=3, per_second=1)
    assert bucket.available(100.0) == 3
    bucket.spend(3)
    assert bucket.available(100.0) == 0


def test_tokens_come_back_up_to_the_burst() -> None:
    bucket = TokenBucket(burst=3, per_second=2)
    bucket.available(0.0)
    bucket.spend(3)
    assert bucket.available(0.5) == 1
    assert bucket.available(60.0) == 3


def test_who_spent_more_than_was_there_waits_until_it_is_paid() -> None:
    bucket = TokenBucket(burst=1, per_second=4)
    assert bucket.wait(0.0) == 0
    bucket.spend(3)
    assert bucket.wait(0.0) == pytest.approx(0.5)
    assert bucket.wait(0.5) == 0


def test_a_clock_that_goes_back_gives_nothing_twice() -> None:
    bucket = TokenBucket(burst=2, per_second=1)
    bucket.available(10.0)
    bucket.spend(2)
    assert bucket.available(5.0) == 0
    assert bucket.available(11.0) == 1


def test_rest_saves_up_no_more_than_a_burst() -> None:
    bucket = TokenBucket(burst=5, per_second=10)
    bucket.spend(0, 0.0)
    bucket.spend(7, 1000.0)
    assert bucket.wait(1000.0) == pytest.approx(0.2)


def test_in_the_long_run_the_rate_holds() -> None:
    bucket, now, done = TokenBucket(burst=5, per_second=10), 0.0, 0
    while now < 100:
        bucket.spend(3, now)
        done += 3
        now += max(0.01, bucket.wait(now))
    assert done == pytest.approx(1005, abs=3)
