"""Phases are done once and timed."""

import json
import logging
from concurrent.futures import Future

import pytest

from clavilux.training.lumia import phases as phases_module
from clavilux.training.lumia.phases import Duration, PhaseRunner, TimeUpError, all_ended, times_record


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


def test_times_are_noted_while_a_phase_runs_for_a_process_that_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(phases_module, "NOTED", 0.001)
    record, found = times_record(tmp_path, "data"), []

    def work():
        while not record.exists():
            pass
        found.append(json.loads(record.read_text()))

    PhaseRunner(tmp_path).run("data", work)
    assert 0 < found[0]["wall"] <= PhaseRunner(tmp_path).times()["data"].wall


def ended(*reasons):
    lines = [Future() for _ in reasons]
    for line, reason in zip(lines, reasons, strict=True):
        line.set_result(None) if reason is None else line.set_exception(reason)
    return lines


@pytest.mark.parametrize("reasons", [(TimeUpError("late"), ValueError("wrong")), (ValueError("wrong"), None)])
def test_a_mistake_beside_is_logged_and_goes_before_a_deadline(caplog, reasons):
    with pytest.raises(ValueError, match="wrong"):
        all_ended(ended(*reasons))
    assert "wrong; what runs beside it goes on to its end" in caplog.text


def test_lines_that_end_well_raise_nothing():
    all_ended(ended(None, None))
