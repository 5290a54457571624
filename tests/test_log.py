"""That no test hears the log of another."""

import logging

import pytest

LOUD = logging.DEBUG


@pytest.fixture(scope="module")
def loud() -> None:
    """Turn the log up for good, as a command does that has a log of its own."""
    logging.basicConfig(level=LOUD, handlers=[logging.NullHandler()], force=True)


def test_what_several_tests_share_leaves_the_log_as_it_was(loud: None, caplog: pytest.LogCaptureFixture) -> None:
    assert logging.getLogger().level != LOUD
    logging.warning("heard")
    assert caplog.messages == ["heard"]


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_test_that_turns_the_log_up_is_alone(turn: str) -> None:
    assert logging.getLogger().level != LOUD, turn
    logging.getLogger().setLevel(LOUD)
