"""Decoding: each kind of field takes what it should, and says what it found otherwise."""

import json
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from clavilux.runtime.errors import ProtocolError
from clavilux.runtime.refused_json import SHOWN_CHARACTERS, Part
from clavilux.server.protocol.decoding import MAX_BRACKETS, MessageDecoder, brief
from clavilux.server.protocol.messages import Number, Use
from clavilux.server.protocol.words import Role

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


class Inner(Struct, frozen=True):
    flag: bool
    count: Annotated[int, Meta(ge=0, le=10)] = 7


class Text(Struct, frozen=True, tag="text"):
    x: Annotated[str, Meta(max_length=5)]


class Choice(Struct, frozen=True, tag="choice"):
    x: Role


class Whole(Struct, frozen=True, tag="integer"):
    x: Annotated[int, Meta(ge=0, le=10)]


class Real(Struct, frozen=True, tag="number"):
    x: Number


class Flag(Struct, frozen=True, tag="flag"):
    x: bool


class Strings(Struct, frozen=True, tag="strings"):
    x: tuple[str, ...]


class Mapping(Struct, frozen=True, tag="mapping"):
    x: dict[str, Any]


class Nested(Struct, frozen=True, tag="nested"):
    x: Inner
    y: Inner | None = None
    z: Annotated[str, Meta(max_length=5)] | None = None


class Channels(Struct, frozen=True, tag="channels"):
    x: Use | None


class Integers(Struct, frozen=True, tag="integers"):
    x: tuple[int, ...]


class Counts(Struct, frozen=True, tag="counts"):
    x: dict[str, int]


DECODER: MessageDecoder[Any] = MessageDecoder(
    Text | Choice | Whole | Real | Flag | Strings | Mapping | Nested | Channels | Integers | Counts
)


def decoded(kind: str, value: Any) -> Any:
    return DECODER.decode(json.dumps({"type": kind, "x": value})).x


def refused(text: str) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        DECODER.decode(text)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        ("text", "abc", "abc"),
        ("choice", "viewer", Role.VIEWER),
        ("integer", 3, 3),
        ("integer", 3.0, 3),
        ("number", 2.5, 2.5),
        ("number", -(2**63), -(2**63)),
        ("flag", True, True),
        ("strings", ["a"], ("a",)),
        ("mapping", {"a": 1}, {"a": 1}),
        ("nested", {"flag": False}, Inner(False, 7)),
    ],
)
def test_a_field_of_the_right_kind_is_returned(kind: str, value: Any, result: Any) -> None:
    found = decoded(kind, value)
    assert found == result
    assert type(found) is type(result)


def test_a_whole_number_stays_whole_where_any_number_goes() -> None:
    assert type(decoded("number", 1_700_000_000_123_456_789)) is int


@pytest.mark.parametrize(
    ("kind", "value", "line"),
    [
        ("text", 3, "text.x is 3; expected a string of at most 5 characters"),
        ("text", "too long", "text.x is 'too long'; expected a string of at most 5 characters"),
        ("choice", "c", "choice.x is 'c'; expected one of performer, viewer"),
        ("choice", ["viewer"], "choice.x is ['viewer']; expected one of performer, viewer"),
        ("integer", 3.5, "integer.x is 3.5; expected a whole number, 0 to 10"),
        ("integer", 11, "integer.x is 11; expected a whole number, 0 to 10"),
        ("integer", 11.0, "integer.x is 11; expected a whole number, 0 to 10"),
        ("integer", True, "integer.x is true; expected a whole number, 0 to 10"),
        ("integer", None, "integer.x is null; expected a whole number, 0 to 10"),
        ("integer", "3", "integer.x is '3'; expected a whole number, 0 to 10"),
        ("number", "1", "number.x is '1'; expected a number within ±1e+300, of 64 signed bits if it is whole"),
        ("number", 1e301, "number.x is 1e+301; expected a number within ±1e+300"),
        ("number", 2**63, "number.x is 9223372036854775808; expected a number within ±1e+300, of 64 signed bits"),
        ("flag", 1, "flag.x is 1; expected true or false"),
        ("strings", "a", "strings.x is 'a'; expected a list of strings"),
        ("strings", [1], "strings.x is [1]; expected a list of strings"),
        ("mapping", [1], "mapping.x is [1]; expected an object"),
        ("nested", None, "nested.x is null; expected an object"),
        ("nested", {"flag": 1}, "nested.x.flag is 1; expected true or false"),
        ("nested", {"flag": True, "count": 11.0}, "nested.x.count is 11; expected a whole number, 0 to 10"),
    ],
)
def test_a_field_of_another_kind_is_refused_with_what_was_found_and_expected(kind: str, value: Any, line: str) -> None:
    error = refused(json.dumps({"type": kind, "x": value}))
    assert error.code == "bad_message"
    assert str(error).startswith(line)


@pytest.mark.parametrize("kind", DECODER.types)
def test_a_missing_field_is_named(kind: str) -> None:
    assert str(refused(json.dumps({"type": kind}))) == f'{kind} has no "x"; it is required'


def test_a_missing_field_of_a_nested_object_is_named_with_it() -> None:
    assert str(refused('{"type": "nested", "x": {}}')) == 'nested.x has no "flag"; it is required'


def test_a_field_that_may_be_null_tells_what_else_it_may_be() -> None:
    error = refused('{"type": "nested", "x": {"flag": true}, "z": 3}')
    assert str(error) == "nested.z is 3; expected a string of at most 5 characters"
    error = refused('{"type": "nested", "x": {"flag": true}, "y": 3}')
    assert str(error) == "nested.y is 3; expected an object"


def test_several_whole_numbers_may_be_written_with_a_point() -> None:
    message = DECODER.decode('{"type": "nested", "x": {"flag": true, "count": 1.0}, "y": {"flag": true, "count": 2.0}}')
    assert (message.x.count, message.y.count) == (1, 2)


@pytest.mark.parametrize("written", ["2.5", "1e+299", "-1e+19"])
def test_a_number_that_is_not_whole_or_beyond_64_bits_stays_as_it_is(written: str) -> None:
    assert repr(DECODER.decode(f'{{"type": "number", "x": {written}, "y": "\ud800"}}').x) == repr(float(written))


def test_unknown_fields_are_ignored() -> None:
    assert DECODER.decode('{"type": "flag", "mood": "blue", "x": true}') == Flag(True)


def test_an_unknown_type_is_named_and_the_known_ones_listed() -> None:
    error = refused('{"type": "dance"}')
    assert error.code == "unknown_type"
    assert str(error).startswith("no message type 'dance'; there are text, choice, ")


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "integer", "x": 1, "x": 2}',
        '{"type": "integer", "x": "one", "x": 2}',
        '{"type": "flag", "x": 2, "type": "integer"}',
        '{"type": "dance", "x": 2, "type": "integer"}',
    ],
)
def test_of_a_key_that_comes_twice_the_last_value_counts(text: str) -> None:
    assert DECODER.decode(text) == Whole(2)


def test_of_a_key_that_comes_twice_a_wrong_last_value_is_refused() -> None:
    assert "integer.x is 'two'" in str(refused('{"type": "integer", "x": 1, "x": "two"}'))


def test_in_a_free_object_too_the_last_value_of_a_key_counts() -> None:
    assert DECODER.decode('{"type": "mapping", "x": {"a": 1, "a": 2}}') == Mapping({"a": 2})


@pytest.mark.parametrize("text", ["[]", "3", '"a"', "null", "{}", '{"type": 3}', '{"type": null}'])
def test_json_that_is_no_typed_object_is_refused(text: str) -> None:
    error = refused(text)
    assert error.code == "bad_message"
    assert 'expected an object with a string "type"' in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"type": "flag", "x": true} and more',
        '{"type": "number", "x": NaN}',
        '{"type": "number", "x": -Infinity}',
        '{"type": "number", "x": ' + "1" * 5000 + "}",
        '{"type": "mapping", "x": {"a": ' + "1" * 5000 + "}}",
        '{"type": "text", "x": NaN, "y": "\\ud800"}',
        '{"type": "text", "y": "\\ud800"',
        '{"type": "text", "x": 3',
        '{"type": "integer", "x": ' + "1" * 5000 + "}",
    ],
)
def test_text_that_is_not_json_is_refused_with_the_reason(text: str) -> None:
    error = refused(text)
    assert error.code == "bad_message"
    assert "cannot be read as JSON (" in str(error)
    assert "sys." not in str(error)  # advice for programmers of Python


@pytest.mark.parametrize("more", ["", ', "z": "\\ud800"'], ids=["read once", "read again"])
def test_a_number_that_no_float_holds_is_refused_where_it_counts_and_ignored_where_not(more: str) -> None:
    assert str(refused(f'{{"type": "number", "x": 1e999{more}}}')).startswith("number.x is inf; expected a number")
    assert DECODER.decode(f'{{"type": "integer", "x": 3.0, "unknown": 1e999{more}}}').x == 3


def test_a_list_that_is_too_long_is_not_searched_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    fits = Part._fits
    monkeypatch.setattr(Part, "_fits", lambda part: looked.append(part) or fits(part))
    found = ", ".join(["1.0"] * 5000)
    assert "expected a list of channel numbers" in str(refused(f'{{"type": "channels", "x": [{found}]}}'))
    assert len(looked) < 10


def test_many_whole_numbers_with_a_point_are_read_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    fits = Part._fits
    monkeypatch.setattr(Part, "_fits", lambda part: looked.append(part) or fits(part))
    found = ", ".join(["1.0"] * 500)
    assert DECODER.decode(f'{{"type": "integers", "x": [{found}]}}').x == (1,) * 500
    assert len(looked) < 1000


def test_a_key_that_somebody_made_up_is_shown_in_the_way_to_what_is_wrong() -> None:
    name = "k" * 1000
    line = str(refused(f'{{"type": "counts", "x": {{"{name}": "three"}}}}'))
    assert line == f"counts.x.{brief(name)} is 'three'; expected a whole number"
    line = str(refused('{"type": "counts", "x": {"\\ud800": "three"}}'))
    assert line == "counts.x.'\\ud800' is 'three'; expected a whole number"


@pytest.mark.parametrize("bomb", ["[" * 100_000, '{"type": "flag", "y": ' + "[" * 100_000, '{"a":' * 100_000])
def test_nesting_deeper_than_the_interpreter_bears_is_refused(bomb: str) -> None:
    assert f"more than {MAX_BRACKETS} brackets" in str(refused(bomb))


def test_a_long_value_is_cut_in_messages() -> None:
    assert len(brief("x" * 1000)) == SHOWN_CHARACTERS
    assert brief("x") == "'x'"


@given(st.text())
def test_any_text_gives_a_message_or_a_protocol_error(text: str) -> None:
    try:
        DECODER.decode(text)
    except ProtocolError:
        return


@given(st.sampled_from(sorted(DECODER.types)), JSON)
def test_any_json_value_is_read_or_refused_in_one_line(kind: str, value: Any) -> None:
    line = ""
    try:
        decoded(kind, value)
    except ProtocolError as error:
        line = str(error)
    assert "\n" not in line


@pytest.mark.parametrize("text", ["\ud800", "\\ud800"])
def test_text_with_a_lone_surrogate_is_text(text: str) -> None:
    assert DECODER.decode(f'{{"type": "text", "x": "{text}"}}').x == "\ud800"


@pytest.mark.parametrize("kind", ["number", "integer", "flag"])
def test_a_lone_surrogate_where_no_text_belongs_is_refused_in_one_line(kind: str) -> None:
    error = refused(f'{{"type": "{kind}", "x": "\\ud800"}}')
    assert error.code == "bad_message"
    assert str(error).startswith(f"{kind}.x is '\\ud800'; expected ")
    assert str(error).encode()
    assert "\n" not in str(error)


@pytest.mark.parametrize("more", ["", ', "b": "\\ud800"'], ids=["read once", "read again"])
def test_a_number_without_a_kind_stays_as_it_was_written(more: str) -> None:
    found = DECODER.decode(f'{{"type": "mapping", "x": {{"a": 3.0{more}}}}}').x["a"]
    assert (found, type(found)) == (3.0, float)
