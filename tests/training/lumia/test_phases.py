"""Phases are done once and timed."""

import json
import logging

import pytest

from clavilux.training.lumia.phases import Duration, PhaseRunner, TimeUpError


def test_a_step_is_done_once(tmp_path):
    done = []
    for _ in range(2):
        PhaseRunner(tmp_path).run("data", lambda: done.append(1))
    assert done == [1]


def test_a_skipped_step_is_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(2):
        PhaseRunner(tmp_path).run("data", lambda: None)
    assert "data: done before" in caplog.text


def test_a_step_that_failed_is_begun_again(tmp_path):
    phases = PhaseRunner(tmp_path)
    with pytest.raises(ZeroDivisionError):
        phases.run("data", lambda: 1 // 0)
    phases.run("data", lambda: None)
    assert list(phases.times()) == ["data"]


def test_the_time_of_a_failed_attempt_is_added(tmp_path):
    phases = PhaseRunner(tmp_path)
    (tmp_path / "data.times.json").write_text(json.dumps({"wall": 100.0, "processor": 50.0}))
    phases.run("data", lambda: None)
    assert phases.times()["data"].wall >= 100
    assert phases.times()["data"].processor >= 50


def test_a_failed_step_has_no_times(tmp_path):
    phases = PhaseRunner(tmp_path)
    with pytest.raises(ZeroDivisionError):
        phases.run("data", lambda: 1 // 0)
    assert phases.times() == {}


def test_at_the_deadline_no_phase_begins_and_what_is_done_is_no_error(tmp_path):
    PhaseRunner(tmp_path).run("data", lambda: None)
    late = PhaseRunner(tmp_path, deadline=0.0)
    late.run("data", lambda: None)
    with pytest.raises(TimeUpError, match="ear: time is up before it begins"):
        late.run("ear", lambda: None)


def test_times_are_listed_in_the_order_of_finishing(tmp_path):
    phases = PhaseRunner(tmp_path)
    for name in ("second", "first"):
        phases.run(name, lambda: None)
    assert list(phases.times()) == ["second", "first"]
    assert all(isinstance(one, Duration) for one in phases.times().values())
