"""A pace lets work through as fast as it fills, and no connection below its share."""

import pytest

from clavilux.runtime.token_bucket import TokenBucket
from clavilux.server.web.pace import FairPace


def fair(together: TokenBucket) -> FairPace:
    return FairPace(TokenBucket(500, 500), TokenBucket(100, 100), together)


def test_alone_a_connection_is_as_fast_as_it_may_be() -> None:
    one = fair(TokenBucket(1000, 1000))
    one.spend(500, 0.0)
    assert one.wait(0.0) == 0
    one.spend(50, 0.0)
    assert one.wait(0.0) == pytest.approx(0.1)


def test_where_all_are_too_fast_each_keeps_its_share() -> None:
    together = TokenBucket(1000, 1000)
    greedy, modest = fair(together), fair(together)
    for _ in range(3):
        other = fair(together)
        other.spend(400, 0.0)
    greedy.spend(400, 0.0)
    modest.spend(50, 0.0)
    assert greedy.wait(0.0) > 0.1
    assert modest.wait(0.0) == 0
