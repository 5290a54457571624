"""Limits shrink with the descriptors that a process may have, and say so."""

from dataclasses import replace

import pytest

from clavilux.server.settings import Settings
from clavilux.server.web import limits as module
from clavilux.server.web import run
from clavilux.server.web.limits import FEWEST_CONNECTIONS, RESERVED_DESCRIPTORS, Limits, affordable, free_descriptors
from clavilux.server.web.listener import SLACK
from tests.server.fakes import FakeEngine, serving


@pytest.mark.parametrize("free", [None, 100_000])
def test_where_there_are_descriptors_enough_nothing_changes(free: int | None) -> None:
    assert affordable(Limits(), free) == Limits()


@pytest.mark.parametrize("free", [RESERVED_DESCRIPTORS + SLACK + 20, 138, 256, 1024])
def test_connections_their_files_and_what_is_closing_fit_into_the_descriptors(free: int) -> None:
    few = affordable(Limits(), free)
    assert few.connections + few.answers + SLACK + RESERVED_DESCRIPTORS <= free
    assert few.connections > few.answers > 0


def test_of_next_to_nothing_a_few_connections_are_tried_all_the_same() -> None:
    few = affordable(Limits(), 0)
    assert (few.connections, few.answers) == (FEWEST_CONNECTIONS, 1)


def test_this_process_has_descriptors_left_or_no_bound() -> None:
    free = free_descriptors()
    assert free is None or free > 0


def test_a_system_without_such_a_bound_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "resource", None)
    assert free_descriptors() is None


def test_a_stage_that_does_not_fit_is_said_at_the_beginning(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "free_descriptors", lambda: 138)
    with serving(engine, replace(settings, max_viewers=64)):
        pass
    assert any("64 connections are the most; a full stage is 80: ulimit -n 320" in line for line in caplog.messages)
