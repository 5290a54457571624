"""Changes of the source: a few at once, then one a second, whatever somebody sends."""

from collections.abc import Callable

import numpy as np
import pytest

from clavilux.runtime.playing.source_changes import BURST, SourceChanges
from clavilux.runtime.queues import Chunk


def chunk(at: float = 0.0, rate: int = 16_000, channels: int = 1) -> Chunk:
    return Chunk(np.zeros((rate // 10, channels), np.float32), rate, at)


def test_a_source_that_goes_on_is_admitted_for_ever() -> None:
    changes = SourceChanges()
    assert all(changes.admit(chunk(k / 10), 0.0) for k in range(100))


CHANGES = int(BURST)


@pytest.mark.parametrize("other", [lambda k: chunk(rate=8_000 + k), lambda k: chunk(channels=1 + k)])
def test_changes_are_bounded_whatever_their_kind(other: Callable[[int], Chunk]) -> None:
    changes = SourceChanges()
    assert changes.admit(chunk(), 0.0)
    admitted = [changes.admit(other(k), 0.0) for k in range(1, 2 * CHANGES)]
    assert admitted == [True] * CHANGES + [False] * (CHANGES - 1)


def test_a_gap_counts_as_long_as_it_was_up_to_a_few_seconds() -> None:
    changes = SourceChanges()
    admitted = [changes.admit(chunk(9.0 * (k % 2)), 0.0) for k in range(6)]
    assert admitted == [True, True, True, True, True, False]
    assert changes.admit(chunk(1.1), 0.0)
    assert not changes.admit(chunk(4.0), 0.0)


def test_whoever_comes_after_one_that_leapt_waits_for_seconds_at_most() -> None:
    changes = SourceChanges()
    for k in range(100):
        changes.admit(chunk(91.0 + 9.0 * (k % 2)), 100.0)
    assert changes.admit(chunk(103.0), 103.0)


def test_gaps_that_took_their_time_are_never_refused() -> None:
    changes, now = SourceChanges(), 0.0
    for gap in [0.6, 30.0, 9.9, 5.0, 1.0, *[0.6] * 40, 10.0] * 5:
        now += gap
        assert changes.admit(chunk(now), now)
        now += 0.1


def test_after_a_second_there_is_one_more() -> None:
    changes = SourceChanges()
    for k in range(2 * CHANGES):
        changes.admit(chunk(rate=8_000 + k), 0.0)
    assert [changes.admit(chunk(rate=20_000 + k), 1.0) for k in range(2)] == [True, False]


def test_the_source_that_played_goes_on_while_others_are_refused() -> None:
    changes = SourceChanges()
    for k in range(CHANGES + 1):
        changes.admit(chunk(rate=8_000 + k), 0.0)
    assert not changes.admit(chunk(rate=9_999), 0.0)
    assert changes.admit(chunk(rate=8_000 + CHANGES), 0.0)
