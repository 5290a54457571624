"""A connection is overdue when it has not asked, read or gone in time, and not before."""

import pytest

from clavilux.server.web.deadlines import Deadlines
from clavilux.server.web.limits import Limits

LIMITS = Limits(head_seconds=10, unread_seconds=30, closing_seconds=5)


def test_who_asks_for_nothing_is_overdue() -> None:
    deadlines = Deadlines(LIMITS, 100.0)
    assert deadlines.overdue(110.0, closing=False) is None
    assert deadlines.overdue(110.1, closing=False) == "asking"


def test_who_is_being_answered_is_not() -> None:
    deadlines = Deadlines(LIMITS, 100.0)
    deadlines.asking = None
    assert deadlines.overdue(1000.0, closing=False) is None


@pytest.mark.parametrize(("now", "reason"), [(130.0, None), (130.1, "unread")])
def test_who_does_not_read_is_overdue(now: float, reason: str | None) -> None:
    deadlines = Deadlines(LIMITS, 0.0)
    deadlines.asking, deadlines.unread = None, 100.0
    assert deadlines.overdue(now, closing=False) == reason


def test_closing_counts_from_when_it_is_seen_first_and_nothing_else_does_then() -> None:
    deadlines = Deadlines(LIMITS, 0.0)
    assert deadlines.overdue(100.0, closing=True) is None
    assert deadlines.overdue(105.0, closing=True) is None
    assert deadlines.overdue(105.1, closing=True) == "closing"
