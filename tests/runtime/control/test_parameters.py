"""Parameters: declared once, checked on the way in, described for whoever shows them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.control.parameters import RANGES, Parameters, describe
from clavilux.runtime.control.routes import SOURCES
from clavilux.runtime.errors import ParameterError


def test_merging_takes_the_new_values_and_keeps_the_rest() -> None:
    merged = Parameters().merge({"glide": 2, "noise": "fresh", "freeze": True, "steps": 4})
    assert (merged.glide, merged.noise, merged.freeze, merged.steps) == (2.0, "fresh", True, 4)
    assert merged.seed == Parameters().seed


def test_merging_leaves_the_original_alone() -> None:
    original = Parameters()
    original.merge({"glide": 2.0})
    assert original == Parameters()


def test_whole_floats_are_whole_numbers() -> None:
    assert Parameters().merge({"steps": 2.0}).steps == 2


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("glide", -1, "glide is -1; expected 0 to 30 s"),
        ("glide", float("nan"), "glide is nan; expected 0 to 30 s"),
        ("glide", "1", "glide is '1'; expected a number"),
        ("glide", True, "glide is true; expected a number"),
        ("steps", 2.5, "steps is 2.5; expected a whole number"),
        ("steps", 1001, "steps is 1001; expected 1 to 1000"),
        ("steps", float("inf"), "steps is inf; expected"),
        ("frame_rate", 0.5, "frame_rate is 0.5; expected 0, or 1 to 120 per second"),
        ("frame_rate", 121, "frame_rate is 121; expected 0, or 1 to 120 per second"),
        ("freeze", 1, "freeze is 1; expected true or false"),
        ("noise", "pink", "noise is 'pink'; expected one of fixed, fresh, walk"),
        ("noise", [], r"noise is \[\]; expected one of"),
        ("colour", 1, "no parameter 'colour'; there are react, lfo_1"),
    ],
)
def test_a_wrong_value_is_named(key: str, value: Any, complaint: str) -> None:
    with pytest.raises(ParameterError, match=complaint):
        Parameters().merge({key: value})


def test_every_default_lies_in_its_range() -> None:
    assert Parameters().merge(Parameters().values()) == Parameters()


@given(st.dictionaries(st.sampled_from([*RANGES, "other"]), st.none() | st.floats() | st.text() | st.booleans()))
def test_whatever_comes_in_is_taken_or_named(values: dict[str, Any]) -> None:
    try:
        merged = Parameters().merge(values)
    except ParameterError:
        return
    assert all(merged.values()[key] == value for key, value in values.items())


def test_the_description_is_json_and_says_all_that_a_knob_needs() -> None:
    described = json.loads(json.dumps(describe()))
    assert described["glide"] == {
        "kind": "float",
        "about": "how slowly one thing melts into the next; 0 cuts",
        "group": "morph",
        "on": "picture",
        "low": 0.0,
        "high": 30.0,
        "unit": "s",
        "default": 0.35,
    }
    assert described["noise"]["choices"] == ["fixed", "fresh", "walk"]
    assert described["route_1"]["sources"] == list(SOURCES)
    assert "low" not in described["freeze"]
    assert described["frame_rate"]["or_zero"] is True
    assert "or_zero" not in described["glide"]
    assert list(described) == list(RANGES)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"flash_limit": "maybe"}, "flash_limit is 'maybe'; expected true or false"),
        ({"flash_limit": "x" * 10**5}, f"flash_limit is '{'x' * 58}…; expected true or false"),
        ({"glide": ["x"] * 10**5}, f"glide is {str(['x'] * 20)[:59]}…; expected a number"),
        ({"glide": 10**5000}, "glide is a number of 5000 digits; expected 0 to 30 s"),
        ({"noise": "x" * 10**5}, f"noise is '{'x' * 58}…; expected one of fixed, fresh, walk"),
        ({"route_1": "x" * 10**5}, f"route_1 is '{'x' * 58}…; expected a line like"),
        ({"route_1": 10**5000}, "route_1 is a number of 5000 digits; expected a line of text"),
        ({"x" * 10**5: 1}, f"no parameter '{'x' * 58}…; there are react, "),
    ],
)
def test_a_wrong_value_is_told_and_no_more_of_it_than_can_be_read(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Parameters().merge(values)
    assert str(caught.value).startswith(line)


def test_a_picture_is_bounded_whatever_its_shape() -> None:
    assert Parameters().merge({"height": 2048, "width": 8192}).width == 8192
    with pytest.raises(ParameterError, match="a picture of 8192x4096 has 33554432 pixels; expected 16777216 at most"):
        Parameters().merge({"height": 8192, "width": 4096})
