"""Steps are done once and timed."""

import json
import logging

import pytest

from clavilux.training.lumia.steps import Steps, Times


def test_a_step_is_done_once(tmp_path):
    done = []
    for _ in range(2):
        Steps(tmp_path).run("data", lambda: done.append(1))
    assert done == [1]


def test_a_skipped_step_is_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(2):
        Steps(tmp_path).run("data", lambda: None)
    assert "data: done before" in caplog.text


def test_a_step_that_failed_is_begun_again(tmp_path):
    steps = Steps(tmp_path)
    with pytest.raises(ZeroDivisionError):
        steps.run("data", lambda: 1 // 0)
    steps.run("data", lambda: None)
    assert list(steps.times()) == ["data"]


def test_the_time_of_a_failed_attempt_is_added(tmp_path):
    steps = Steps(tmp_path)
    (tmp_path / "data.times.json").write_text(json.dumps({"wall": 100.0, "processor": 50.0}))
    steps.run("data", lambda: None)
    assert steps.times()["data"].wall >= 100
    assert steps.times()["data"].processor >= 50


def test_a_failed_step_has_no_times(tmp_path):
    steps = Steps(tmp_path)
    with pytest.raises(ZeroDivisionError):
        steps.run("data", lambda: 1 // 0)
    assert steps.times() == {}


def test_times_are_listed_in_the_order_of_finishing(tmp_path):
    steps = Steps(tmp_path)
    for name in ("second", "first"):
        steps.run(name, lambda: None)
    assert list(steps.times()) == ["second", "first"]
    assert all(isinstance(one, Times) for one in steps.times().values())
