"""One measurement by its name: lines of JSON that grow, or one line that says what is missing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.on_card import measure
from clavilux.benchmarks.on_card.measure import OF_BUNDLE, OF_CARD, main
from clavilux.benchmarks.on_card.plan import HERE, steps
from clavilux.runtime.loading import DEFAULT_BUNDLE


def growing() -> Iterator[dict[str, Any]]:
    yield {"x": 1}
    yield {"x": 1, "y": 2}
    raise BenchError("that was all")


def test_all_that_was_known_was_printed_before_it_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(OF_CARD, "machine", growing)
    assert main(["machine"]) == 2
    said = capsys.readouterr()
    assert [json.loads(line) for line in said.out.splitlines()] == [{"x": 1}, {"x": 1, "y": 2}]
    assert said.err == "measure machine: that was all\n"


def test_a_bundle_is_opened_for_what_measures_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(OF_BUNDLE, "parity", lambda bundle: iter([{"name": bundle.name}]))
    assert main(["parity"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "lumia"}


def test_every_measurement_is_a_step_of_the_plan() -> None:
    asked = {step.words[1] for step in steps(DEFAULT_BUNDLE, None) if step.words[:1] == (f"{HERE}.measure",)}
    assert asked == {*OF_CARD, *OF_BUNDLE}
    assert measure.__name__ == f"{HERE}.measure"
