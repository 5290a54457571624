"""Bounds on the fields of JSON from outside, and the words for what is beyond them."""

import json
from dataclasses import dataclass
from typing import Annotated

import pytest

from clavilux.runtime.bundle.bounds import decode, line, number, one_of, show, whole
from clavilux.runtime.errors import BundleError


@dataclass(frozen=True)
class Lamp:
    """A lamp: one field of each kind."""

    name: Annotated[str, line(shortest=1)]
    watts: Annotated[int, whole(10, 100, 5)]
    colours: tuple[Annotated[str, one_of(("red", "green"))], ...]
    days: dict[Annotated[int, whole(1, 7)], Annotated[float, number(0.0, 24.0)]]
    twin: "Lamp | None" = None


LAMP = {"name": "a", "watts": 60, "colours": ["red"], "days": {"1": 2.5}}


def refusal(**changes: object) -> str:
    with pytest.raises(BundleError) as caught:
        decode(json.dumps(LAMP | changes), Lamp, "lamp.json")
    return str(caught.value)


def test_what_fits_becomes_a_dataclass():
    twin = Lamp("a", 60, ("red",), {1: 2.5})
    assert decode(json.dumps(LAMP | {"twin": LAMP}), Lamp, "lamp.json") == Lamp("a", 60, ("red",), {1: 2.5}, twin)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": ""}, "lamp.json: name is ''; expected one line of text, 1 to 500 characters"),
        ({"name": "a" * 501}, "expected one line of text, 1 to 500 characters"),
        ({"name": "a\nb"}, "lamp.json: name is 'a\\nb'; expected one line of text"),
        ({"watts": 12}, "lamp.json: watts is 12; expected a whole number, 10 to 100, a multiple of 5"),
        ({"watts": 60.0}, "lamp.json: watts is 60.0; expected a whole number"),
        ({"watts": True}, "lamp.json: watts is true; expected a whole number"),
        ({"colours": "red"}, "lamp.json: colours is 'red'; expected a list"),
        ({"colours": ["red", "grey"]}, "lamp.json: colours[1] is 'grey'; expected one of red, green"),
        ({"colours": ["redgreen"]}, "lamp.json: colours[0] is 'redgreen'; expected one of red, green"),
        ({"days": []}, "lamp.json: days is []; expected an object"),
        ({"days": {"8": 1}}, "lamp.json: days has the key '8'; expected a whole number, 1 to 7"),
        ({"days": {"01": 1}}, "lamp.json: days has the key '01'; expected a whole number, 1 to 7"),
        ({"days": {"1.0": 1}}, "lamp.json: days has the key '1.0'; expected a whole number, 1 to 7"),
        ({"days": {"1": 1, "2": 25}}, "lamp.json: days: 2 is 25; expected a number, 0 to 24"),
        ({"twin": {"watts": 60}}, "lamp.json: twin: name is missing; expected one line of text"),
        ({"twin": LAMP | {"watts": 0}}, "lamp.json: twin: watts is 0; expected a whole number"),
    ],
)
def test_the_smallest_part_that_does_not_fit_is_named(changes: dict[str, object], told: str):
    assert told in refusal(**changes)


def test_python_s_json_takes_more_than_there_is_in_json():
    assert "not JSON (NaN is no number of JSON)" in refusal(unknown=float("nan"))


def test_text_that_is_no_unicode_is_json_all_the_same():
    assert "lamp.json holds what cannot be read (JSON is malformed" in refusal(name="\ud800")


def test_a_number_that_no_float_holds_is_ignored_where_nobody_knows_the_field():
    assert decode(json.dumps(LAMP)[:-1] + ', "unknown": 1e999}', Lamp, "lamp.json").watts == 60


def test_of_a_key_that_stands_twice_the_last_counts():
    assert decode(json.dumps(LAMP)[:-1] + ', "watts": 20}', Lamp, "lamp.json").watts == 20


def test_of_a_key_that_stands_twice_both_values_must_fit():
    with pytest.raises(BundleError, match=r"lamp.json has a key twice, once with a wrong value .*at `\$.watts`"):
        decode('{"watts": 0, ' + json.dumps(LAMP)[1:], Lamp, "lamp.json")


def test_a_value_is_shown_short_and_none_as_missing():
    assert (show(None), show("a"), len(show("x" * 1000))) == ("missing", "'a'", 60)


def test_a_number_of_thousands_of_digits_is_told_without_advice_to_programmers():
    with pytest.raises(BundleError, match=r"lamp\.json is not JSON \(a number of 5000 digits\)"):
        decode(json.dumps(LAMP).replace("60", "6" * 5000), Lamp, "lamp.json")
