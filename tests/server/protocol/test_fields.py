"""Reading fields: each kind takes what it should, and says what it found otherwise."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.errors import ProtocolError
from clavilux.server.protocol.fields import MOST_BRACKETS, SHOWN_CHARACTERS, Fields, brief, read_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def fields(**body: Any) -> Fields:
    return Fields("thing", body)


READERS: dict[str, Callable[[Fields], Any]] = {
    "text": lambda f: f.text("x", 5),
    "choice": lambda f: f.choice("x", ("a", "b")),
    "integer": lambda f: f.integer("x", 0, 10),
    "number": lambda f: f.number("x"),
    "flag": lambda f: f.flag("x"),
    "strings": lambda f: f.strings("x"),
    "mapping": lambda f: f.mapping("x"),
}


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        ("text", "abc", "abc"),
        ("choice", "b", "b"),
        ("integer", 3, 3),
        ("integer", 3.0, 3),
        ("number", 2.5, 2.5),
        ("flag", True, True),
        ("strings", ["a"], ("a",)),
        ("mapping", {"a": 1}, {"a": 1}),
    ],
)
def test_a_field_of_the_right_kind_is_returned(kind: str, value: Any, result: Any) -> None:
    assert READERS[kind](fields(x=value)) == result


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 3),
        ("text", "too long"),
        ("choice", "c"),
        ("choice", ["a"]),
        ("integer", 3.5),
        ("integer", 11),
        ("integer", True),
        ("number", "1"),
        ("number", 1e301),
        ("number", 10**4000),
        ("flag", 1),
        ("strings", "a"),
        ("strings", [1]),
        ("mapping", [1]),
    ],
)
def test_a_field_of_another_kind_is_refused_with_its_name_and_what_was_expected(kind: str, value: Any) -> None:
    with pytest.raises(ProtocolError, match=r"thing\.x is .*; expected ") as caught:
        READERS[kind](fields(x=value))
    assert caught.value.code == "bad_message"


@pytest.mark.parametrize("kind", READERS)
def test_a_missing_field_is_named(kind: str) -> None:
    with pytest.raises(ProtocolError, match='thing has no "x"'):
        READERS[kind](fields())


def test_a_missing_field_with_a_default_gets_it() -> None:
    assert fields().text("x", 5, None) is None
    assert fields().integer("x", 0, 9, 7) == 7


def test_a_null_object_reads_as_none() -> None:
    assert fields(x=None).nested("x") is None
    assert fields().nested("x") is None


def test_a_nested_object_names_both_levels_in_its_errors() -> None:
    inner = fields(x={"y": 1}).nested("x")
    assert inner is not None
    with pytest.raises(ProtocolError, match=r"thing\.x\.y is 1"):
        inner.flag("y")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"a"', "null", "{}", '{"type": 3}', '{"type": "a", "x": NaN}'])
def test_text_that_is_no_typed_object_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_object(text)
    assert caught.value.code == "bad_message"


def test_nesting_deeper_than_the_interpreter_bears_is_refused() -> None:
    with pytest.raises(ProtocolError, match=f"more than {MOST_BRACKETS} brackets"):
        read_object("[" * 100_000)


def test_a_number_with_thousands_of_digits_is_refused() -> None:
    with pytest.raises(ProtocolError, match="is not JSON"):
        read_object('{"type": "a", "x": ' + "1" * 5000 + "}")


def test_a_long_value_is_cut_in_messages() -> None:
    assert len(brief("x" * 1000)) == SHOWN_CHARACTERS
    assert brief("x") == "'x'"


@given(st.text())
def test_any_text_gives_fields_or_a_protocol_error(text: str) -> None:
    try:
        read_object(text)
    except ProtocolError:
        return


@given(st.sampled_from(sorted(READERS)), JSON)
def test_any_json_value_is_read_or_refused_in_one_line(kind: str, value: Any) -> None:
    line = ""
    try:
        READERS[kind](fields(x=value))
    except ProtocolError as error:
        line = str(error)
    assert "\n" not in line
