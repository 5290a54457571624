"""Routes: one line of text each, read or refused in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clavilux.runtime.control.routes import SOURCES, Route, parse_route


def test_a_line_is_read_with_all_its_parts() -> None:
    line = "onset > exposure 0.8, attack 0.01, release 0.2, curve 2"
    assert parse_route(line) == Route("onset", "exposure", 0.8, attack=0.01, release=0.2, curve=2.0)


def test_what_is_left_out_has_its_usual_value() -> None:
    assert parse_route(" low>zoom -0.1 ") == Route("low", "zoom", -0.1, attack=0.0, release=0.1, curve=1.0)


def test_parts_come_in_any_order() -> None:
    assert parse_route("low > zoom 1, curve 3, attack 2") == Route("low", "zoom", 1.0, attack=2.0, curve=3.0)


@pytest.mark.parametrize("line", ["", "   ", "\t"])
def test_an_empty_line_is_no_route(line: str) -> None:
    assert parse_route(line) is None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("onset", "expected a line like"),
        ("onset > exposure", "expected a line like"),
        ("onset > exposure 1, attack", "expected a line like"),
        ("onset > exposure 1" + " " * 200, "expected a line like"),
        ("onset > exposure 0,8", "expected a line like"),
        ("onset > exposure 0.8, attack 0,1", "expected a line like"),
        ("onset > exposure 0.8 attack 0.1", "expected a line like"),
        ("drum > exposure 1", "there is no source 'drum'; expected one of level, low"),
        ("onset > exposure 1_0", "amount is '1_0'; expected a number from -1000 to 1000"),
        ("onset > exposure \uff11", "amount is '\uff11'; expected a number from -1000 to 1000"),
        ("onset > exposure much", "amount is 'much'; expected a number from -1000 to 1000"),
        ("onset > exposure nan", "amount is 'nan'; expected"),
        ("onset > exposure 1, attack 31", "attack is '31'; expected a number from 0 to 30"),
        ("onset > exposure 1, curve 0", "curve is '0'; expected a number from 0.1 to 10"),
        ("onset > exposure 1, decay 1", "'decay' is no part of a route"),
        ("onset > exposure 1, curve 1, curve 2", "'curve' is no part of a route, or came twice"),
    ],
)
def test_a_wrong_line_is_refused_in_words(line: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_route(line)


@given(st.text() | st.builds("{} > {}".format, st.sampled_from(SOURCES), st.text()))
def test_whatever_is_written_is_read_or_refused(line: str) -> None:
    try:
        route = parse_route(line)
    except ValueError:
        return
    assert route is None or route.source in SOURCES
