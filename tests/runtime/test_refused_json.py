"""Refused JSON is named by its smallest part that does not fit; JSON that msgspec takes is left alone."""

import json
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from clavilux.runtime.refused_json import MAX_BITS, MISSING, SHOWN_CHARACTERS, Part, shortened, shown

Hour = Annotated[int, Meta(ge=0, le=23)]
Watts = Annotated[float, Meta(gt=0, le=100, description="watts, up to 100")]


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Shade(Struct, frozen=True):
    colour: Colour
    width: Annotated[int, Meta(multiple_of=5)] = 5
    level: Level = Level.LOW


class Named(Struct, frozen=True, rename="camel", tag="named"):
    short_name: str = ""


@dataclass(frozen=True)
class Lamp:
    """One field of each kind."""

    name: Annotated[str, Meta(max_length=5)]
    lit: bool
    shade: Shade
    watts: Watts = 1.0
    days: dict[Hour, tuple[Watts, ...]] | None = None
    owners: tuple[str, ...] = ()
    rooms: tuple[Annotated[str, Meta(max_length=5)], ...] = ()
    twin: "Lamp | None" = None
    place: Annotated[int, Meta(ge=0, le=9)] | Annotated[str, Meta(max_length=2)] | None = None
    weight: float = 1.0
    anything: Any = None
    free: dict[str, Any] = field(default_factory=dict)
    label: Named | None = None
    pair: tuple[int, str] = (1, "a")
    kind: Literal["floor", "desk"] = "desk"
    note: str = ""
    turns: int = 0
    version: Annotated[int, Meta(ge=1, le=1)] = 1


@dataclass(frozen=True)
class Box:
    anything: Any


LAMP: dict[str, Any] = {"name": "a", "lit": True, "shade": {"colour": "red"}}
FIELDS = [*Lamp.__dataclass_fields__, "unknown"]
KEYS = ["colour", "shortName", "type", "1", "24", "01", "1.0", "\ud800"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FIELDS, *KEYS]), inner),
    max_leaves=8,
)
LIKELY = (
    st.sampled_from(["red", "named", "desk", 5, 2.5, [], [1, "a"], ["x", "xxxxxx"], {"1": [1, 200]}, {"24": []}, LAMP])
    | JSON
)
DOCUMENTS = JSON | st.dictionaries(st.sampled_from(FIELDS), LIKELY, max_size=4).map(lambda changes: LAMP | changes)


def takes(found: object, kind: Any = Lamp, *, key: bool = False) -> bool:
    try:
        if key:
            msgspec.json.decode(json.dumps({found: 0}), type=dict[kind, int])
        else:
            msgspec.convert(found, kind, str_keys=True)
    except ValueError:
        return False
    return True


def told(**changes: object) -> str:
    misfit = Part(LAMP | changes, Lamp).misfit()
    assert misfit is not None
    return misfit.line("lamp", ".", repr)


@given(DOCUMENTS)
def test_a_part_is_named_exactly_when_msgspec_refuses_the_whole(document: object) -> None:
    assert (Part(document, Lamp).misfit() is None) == takes(document)


@given(DOCUMENTS)
def test_the_part_that_is_named_is_there_and_refused_by_itself(document: Any) -> None:
    misfit = Part(document, Lamp).misfit()
    if misfit is None:
        return
    way = misfit.path[:-1] if misfit.found is MISSING else misfit.path
    for step in way:
        document = document[step]
    if misfit.found is MISSING:
        assert misfit.path[-1] not in document
    else:
        assert misfit.found in document if misfit.is_key else misfit.found is document
        assert not takes(misfit.found, misfit.kind, key=misfit.is_key)
    assert misfit.line("lamp", ".", ascii).startswith("lamp")


@given(DOCUMENTS)
def test_json_text_that_msgspec_refuses_has_a_part_to_name(document: object) -> None:
    text = json.dumps(document)
    try:
        msgspec.json.decode(text, type=Lamp)
    except ValueError as error:
        if isinstance(error, msgspec.ValidationError) and "out of range" not in str(error):
            assert Part(json.loads(text), Lamp).misfit() is not None
    else:
        assert Part(json.loads(text), Lamp).misfit() is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"name": "abcdef"}, "lamp.name is 'abcdef'; expected a string of at most 5 characters"),
        ({"lit": 1}, "lamp.lit is 1; expected true or false"),
        ({"shade": None}, "lamp.shade is None; expected an object"),
        ({"shade": {}}, "lamp.shade.colour is UNSET; expected one of red, green"),
        ({"shade": {"colour": "grey"}}, "lamp.shade.colour is 'grey'; expected one of red, green"),
        ({"shade": {"colour": "red", "width": 5.0}}, "lamp.shade.width is 5.0; expected a whole number"),
        ({"shade": {"colour": "red", "level": 3}}, "lamp.shade.level is 3; expected one of 1, 2"),
        ({"watts": 200}, "lamp.watts is 200; expected watts, up to 100"),
        ({"days": []}, "lamp.days is []; expected an object"),
        ({"days": {"24": []}}, "lamp.days has the key '24'; expected a whole number, 0 to 23"),
        ({"days": {"1.0": []}}, "lamp.days has the key '1.0'; expected a whole number, 0 to 23"),
        ({"version": 2}, "lamp.version is 2; expected 1"),
        ({"days": {"7": 1, "8": [1, 0]}}, "lamp.days.7 is 1; expected a list"),
        ({"days": {"7": [], "8": [1, 0]}}, "lamp.days.8[1] is 0; expected watts, up to 100"),
        ({"owners": ["a", 1]}, "lamp.owners is ['a', 1]; expected a list of strings"),
        ({"rooms": ["a", 1]}, "lamp.rooms[1] is 1; expected a string of at most 5 characters"),
        ({"twin": LAMP | {"twin": LAMP | {"lit": 0}}}, "lamp.twin.twin.lit is 0; expected true or false"),
        ({"place": 10}, "lamp.place is 10; expected a whole number, 0 to 9 or a string of at most 2 characters"),
        ({"weight": "1"}, "lamp.weight is '1'; expected a number"),
        ({"label": {"shortName": 1}}, "lamp.label.shortName is 1; expected a string"),
        ({"turns": "\ud800"}, "lamp.turns is '\\ud800'; expected a whole number"),
    ],
)
def test_the_line_says_where_what_was_found_and_what_was_expected(changes: dict[str, object], line: str) -> None:
    assert told(**changes) == line


def test_what_has_no_smaller_part_to_blame_is_named_as_a_whole() -> None:
    assert told(label={"type": "lamp"}) == "lamp.label is {'type': 'lamp'}; expected an object"


def test_a_required_field_is_missed_though_it_may_be_anything() -> None:
    misfit = Part({}, Box).misfit()
    assert misfit is not None
    assert misfit.found is MISSING
    assert misfit.line("box", ".", repr) == "box.anything is UNSET; expected any value"


def test_the_whole_may_be_what_does_not_fit() -> None:
    misfit = Part([], Lamp).misfit()
    assert misfit is not None
    assert misfit.line("lamp.json", ": ", repr) == "lamp.json is []; expected an object"


def test_the_first_field_in_order_is_named_when_several_are_wrong() -> None:
    assert told(turns="x", watts=0, lit=3) == "lamp.lit is 3; expected true or false"


@pytest.mark.parametrize(
    "value", ["x" * 10**5, ["x" * 10**5] * 10**4, {"x" * 10**5: 1}, {k: [k] * 100 for k in range(10**4)}]
)
def test_of_a_long_value_the_beginning_is_shown(value: object) -> None:
    assert shown(value) == repr(value)[: SHOWN_CHARACTERS - 1] + "…"


@pytest.mark.parametrize("value", [12, -1.5, "a'b", "\ud800", [], [1, "a"], {"a": {"b": []}}, 10**50])
def test_a_short_value_is_shown_as_python_does(value: object) -> None:
    assert shown(value) == repr(value)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (True, "true"),
        (None, "null"),
        ("None", "'None'"),
        ((1, False), "[1, false]"),
        ({"a": [None, {"b": True}]}, "{'a': [null, {'b': true}]}"),
    ],
)
def test_the_words_that_json_has_of_its_own_are_shown_as_it_writes_them(value: object, line: str) -> None:
    assert shown(value) == line


def test_a_number_that_python_writes_to_nobody_is_told_by_its_length() -> None:
    assert shown(10**5000) == "a number of 5000 digits"
    assert shown({"a": [10**5000]}) == "{'a': [a number of 5000 digits]}"
    assert shown(2**MAX_BITS - 1) == str(2**MAX_BITS)[: SHOWN_CHARACTERS - 1] + "…"


def test_a_text_that_is_cut_says_so() -> None:
    assert (shortened("abc", 3), shortened("abcd", 3)) == ("abc", "ab…")
