"""Listeners: called in order, gone when they leave, dropped when they fail."""

import pytest

from clavilux.runtime.playing.listeners import Listeners


def test_they_hear_until_they_leave() -> None:
    heard: list[tuple[str, int]] = []
    listeners = Listeners[int]("numbers")
    assert not listeners
    leave = listeners.add(lambda number: heard.append(("one", number)))
    listeners.add(lambda number: heard.append(("other", number)))
    listeners.tell(1)
    leave()
    leave()
    listeners.tell(2)
    assert heard == [("one", 1), ("other", 1), ("other", 2)]
    assert listeners


def test_one_that_fails_is_told_in_the_log_and_keeps_nobody_else_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []
    listeners = Listeners[int]("numbers")
    listeners.add(lambda number: print(1 / 0))
    listeners.add(heard.append)
    listeners.tell(1)
    listeners.tell(2)
    assert heard == [1, 2]
    (record,) = caplog.records
    assert record.message == "a listener of the numbers failed, and is not called again"
