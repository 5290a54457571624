"""Control messages: what is encoded reads back the same, and whatever comes in, only ProtocolError is raised."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clavilux.runtime.errors import ProtocolError
from clavilux.runtime.frame import STAGES
from clavilux.server.protocol.decoding import MAX_BRACKETS
from clavilux.server.protocol.messages import (
    Acknowledge,
    Bye,
    ClientMessage,
    ErrorEvent,
    Hello,
    Marker,
    MarkerReached,
    ParameterValues,
    PictureFormat,
    Ping,
    Pong,
    ServerMessage,
    SoundFormat,
    Start,
    Started,
    Status,
    Tap,
)
from clavilux.server.protocol.text import encode, error_event, message_id, parse_event, parse_text
from clavilux.server.protocol.words import (
    ERROR_CHARACTERS,
    MARKER_CHARACTERS,
    MAX_SEQUENCE,
    MAX_TIME,
    MESSAGE_BYTES,
    PICTURE_ENCODINGS,
    SOUND_ENCODINGS,
    WIRE_STAGES,
)

words = st.text(max_size=20)
finite = st.floats(-1e9, 1e9)
sequences = st.integers(0, MAX_SEQUENCE)
times = st.integers(0, MAX_TIME)
flat = st.dictionaries(words, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | words, max_size=5)
channels = st.integers(1, 32)
used = channels.flatmap(lambda count: st.lists(st.integers(1, count), min_size=1, max_size=count, unique=True))
rates = st.integers(8000, 192_000)
sounds = st.builds(SoundFormat, st.sampled_from(SOUND_ENCODINGS), rates, channels=channels) | st.builds(
    lambda encoding, rate, use: SoundFormat(encoding, rate, max(use), tuple(use)),
    st.sampled_from(SOUND_ENCODINGS),
    rates,
    used,
)
pictures = st.builds(PictureFormat, st.sampled_from(PICTURE_ENCODINGS), st.integers(1, 100))

CLIENT: st.SearchStrategy[ClientMessage] = st.one_of(
    st.builds(Start, st.just("performer"), st.none() | sounds, pictures, st.none() | words),
    st.builds(Start, st.just("viewer"), st.none(), pictures, st.none() | words, st.booleans(), st.booleans(), words),
    st.builds(Tap, times),
    st.builds(ParameterValues, flat),
    st.builds(Marker, st.text(max_size=MARKER_CHARACTERS)),
    st.builds(Acknowledge, sequences, times),
    st.builds(Ping, finite),
    st.builds(Bye, words),
)
SERVER: st.SearchStrategy[ServerMessage] = st.one_of(
    st.builds(
        Hello,
        protocol=st.just(1),
        server=words,
        server_time=times,
        bundle=words,
        picture=flat,
        sound=st.none() | flat,
        limits=flat,
        parameters=flat,
        stages=st.lists(words).map(tuple),
        token_required=st.booleans(),
    ),
    st.builds(Started, st.sampled_from(["performer", "viewer"]), words, flat),
    st.builds(ParameterValues, flat),
    st.builds(
        Status,
        level=finite,
        heard=st.none() | flat,
        frame_rate=finite,
        viewers=sequences,
        dropped_seconds=finite,
        latency=st.none() | flat,
    ),
    st.builds(MarkerReached, st.text(max_size=MARKER_CHARACTERS), sequences, times),
    st.builds(ErrorEvent, words, words, st.booleans(), st.none() | words | sequences, st.none() | finite),
    st.builds(Pong, finite, times),
    st.builds(Bye, words),
)
TYPES = ["start", "parameters", "marker", "acknowledge", "ping", "bye", "hello", "started", "status", "error", "pong"]
FORMAT = ["encoding", "rate", "channels", "use"]
FIELDS = ["role", "sound", "picture", "token", "values", "id", "sequence", "shown_at", "client_time", "reason", *FORMAT]
NOISE = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=8,
)


PIECES = st.text(max_size=3) | st.sampled_from(
    [
        *(
            "NaN",
            "-Infinity",
            "1e999",
            "9" * 5000,
            "3.0",
            "null",
            "[" * 400,
            "{" * 40,
            '{"type":"bye"}',
            "\\",
            '"',
            "\0",
        ),
        *('"\\ud800"', '"\\u2028"', '"\\u0000"', "\ud800", "\x85", '"' + "x" * 600 + '"', '"type":"start",', '"id":7,'),
    ]
)
"""Pieces that stand in no message, and some that stand elsewhere."""


@given(CLIENT)
def test_what_a_client_encodes_a_server_reads(message: ClientMessage) -> None:
    assert parse_text(encode(message)) == message


@given(SERVER)
def test_what_a_server_encodes_a_client_reads(message: ServerMessage) -> None:
    assert parse_event(encode(message)) == message


@given(CLIENT)
def test_messages_are_one_line_of_ascii(message: ClientMessage) -> None:
    text = encode(message)
    assert text.isascii()
    assert "\n" not in text


@given(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(FIELDS), NOISE))
def test_any_json_is_read_or_refused_with_a_protocol_error(kind: str, body: dict[str, Any]) -> None:
    codes = set()
    for parse in (parse_text, parse_event):
        try:
            parse(json.dumps({**body, "type": kind}))
        except ProtocolError as error:
            codes.add(error.code)
    assert codes <= {"bad_message", "bad_sound", "unknown_type", "too_large"}


@given(st.text())
def test_any_text_is_read_or_refused_with_a_protocol_error(text: str) -> None:
    for parse in (parse_text, parse_event):
        try:
            parse(text)
        except ProtocolError:
            continue


@given(CLIENT | SERVER, st.integers(0, 2**16), st.integers(0, 20), PIECES)
def test_a_message_with_a_foreign_piece_is_read_or_refused_in_one_line_that_travels(
    message: ClientMessage | ServerMessage, place: int, length: int, piece: str
) -> None:
    text = encode(message)
    place %= len(text)
    spoilt = text[:place] + piece + text[place + length :]
    for parse in (parse_text, parse_event):
        try:
            parse(spoilt)
        except ProtocolError as error:
            event = error_event(error, reply_to=message_id(spoilt))
            assert parse_event(encode(event)) == event
            assert event.message.splitlines() == [event.message]
            assert len(event.message) <= ERROR_CHARACTERS


@given(NOISE, PIECES)
def test_of_a_field_that_comes_twice_the_last_value_counts_whatever_the_first_one_is(first: Any, piece: str) -> None:
    for value in (json.dumps(first), json.dumps(piece)):
        assume(value.count("[") + value.count("{") < MAX_BRACKETS)  # which no message may have, whatever they mean
        assert parse_text(f'{{"type":"tap","at":{value},"at":7}}') == Tap(7)


@pytest.mark.parametrize("field", ["token", "session"])
@pytest.mark.parametrize("value", ['["hush"]', '"' + "hush" * 300 + '"', "17"])
def test_no_error_repeats_a_secret(field: str, value: str) -> None:
    with pytest.raises(ProtocolError, match=f"start.{field} is of another kind; expected ") as caught:
        parse_text(f'{{"type": "start", "role": "viewer", "{field}": {value}}}')
    assert "hush" not in str(caught.value)
    assert "17" not in str(caught.value)


def refused(**body: Any) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        parse_text(json.dumps(body))
    return caught.value


def test_an_unknown_type_from_a_client_is_named_and_the_known_ones_listed() -> None:
    error = refused(type="dance")
    assert error.code == "unknown_type"
    assert "'dance'" in str(error)
    assert "acknowledge" in str(error)


def test_an_unknown_type_from_a_server_is_nothing() -> None:
    assert parse_event('{"type": "news"}') is None


def test_unknown_fields_are_ignored() -> None:
    assert parse_text('{"type": "bye", "mood": "blue"}') == Bye()


def test_a_message_over_the_limit_is_too_large() -> None:
    assert refused(type="marker", id="x" * MESSAGE_BYTES).code == "too_large"


def test_the_limit_counts_bytes_and_not_characters() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_text('{"type": "bye", "reason": "' + "é" * (MESSAGE_BYTES - 100) + '"}')
    assert caught.value.code == "too_large"


def test_a_viewer_cannot_announce_sound() -> None:
    sound = {"encoding": "pcm16", "rate": 48_000}
    assert "only a performer sends sound" in str(refused(type="start", role="viewer", sound=sound))


def test_a_sound_format_names_its_encoding_and_rate() -> None:
    error = refused(type="start", role="performer", sound={"rate": 8000})
    assert error.code == "bad_sound"
    assert str(error) == 'start.sound has no "encoding"; it is required'


def test_a_start_names_its_role() -> None:
    assert str(refused(type="start")) == 'start has no "role"; it is required'


def test_a_picture_of_null_is_left_to_the_server() -> None:
    assert parse_text('{"type": "start", "role": "viewer", "picture": null}') == Start("viewer", picture=None)


def test_a_sound_format_out_of_range_is_bad_sound() -> None:
    error = refused(type="start", role="performer", sound={"encoding": "pcm16", "rate": 7999, "channels": 1})
    assert error.code == "bad_sound"
    assert "start.sound.rate is 7999; expected a whole number, 8000 to 192000" in str(error)


@pytest.mark.parametrize(("sound", "shown"), [(5, "5"), ("pcm16", "'pcm16'"), ([], "[]"), (True, "true")])
def test_a_sound_that_is_no_format_is_named(sound: object, shown: str) -> None:
    error = refused(type="start", role="performer", sound=sound)
    assert (error.code, str(error)) == ("bad_message", f"start.sound is {shown}; expected an object")


@pytest.mark.parametrize(
    ("use", "line"),
    [
        ([3], "start.sound.use has channel 3; the sound has 2, counted from 1"),
        ([1, 1], "start.sound.use is [1, 1]; expected each channel once"),
        ([], "start.sound.use is []; expected a list of channel numbers, which count from 1"),
        (2, "start.sound.use is 2; expected a list of channel numbers, which count from 1"),
        ([0], "start.sound.use[0] is 0; expected a whole number, 1 to 32"),
        (["1"], "start.sound.use[0] is '1'; expected a whole number, 1 to 32"),
        ([1.5], "start.sound.use[0] is 1.5; expected a whole number, 1 to 32"),
    ],
)
def test_channels_to_use_that_cannot_be_are_bad_sound(use: object, line: str) -> None:
    sound = {"encoding": "pcm16", "rate": 48_000, "channels": 2, "use": use}
    error = refused(type="start", role="performer", sound=sound)
    assert (error.code, str(error)) == ("bad_sound", line)


@pytest.mark.parametrize("use", ["[2]", "[2.0]"])
def test_channels_to_use_are_read(use: str) -> None:
    sound = f'{{"encoding": "pcm16", "rate": 48000, "channels": 2, "use": {use}}}'
    start = parse_text(f'{{"type": "start", "role": "performer", "sound": {sound}}}')
    assert start == Start("performer", SoundFormat("pcm16", 48_000, 2, (2,)))


def test_start_without_a_picture_gets_jpeg() -> None:
    assert parse_text('{"type": "start", "role": "viewer"}') == Start("viewer", None, PictureFormat("jpeg", 85))


def test_a_picture_may_name_its_encoding_only() -> None:
    start = parse_text('{"type": "start", "role": "viewer", "picture": {"encoding": "rgb"}}')
    assert start == Start("viewer", None, PictureFormat("rgb", 85))


def test_a_marker_longer_than_the_limit_is_refused() -> None:
    assert refused(type="marker", id="x" * 65).code == "bad_message"


def test_an_error_event_is_one_line_of_bounded_length() -> None:
    event = error_event(ProtocolError("bad_message", "a\nb" + "x" * 10_000), fatal=True)
    assert event.message.startswith("a bx")
    assert len(event.message) == ERROR_CHARACTERS
    assert event.message.endswith("xx…")
    assert event.fatal


def test_a_token_never_shows_in_a_representation() -> None:
    assert "secret" not in repr(Start("viewer", token="secret"))


def test_compression_is_the_last_stage_on_the_wire() -> None:
    assert WIRE_STAGES == ("queue", "features", "encode", "condition", "denoise", "decode", "compress")
    assert (*STAGES, "compress") == WIRE_STAGES


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (Bye("né"), '{"type":"bye","reason":"n\\u00e9"}'),
        (ParameterValues({"b": 1.0}), '{"type":"parameters","values":{"b":1.0}}'),
        (Pong(5, 7), '{"type":"pong","client_time":5,"server_time":7}'),
        (Pong(1e-7, 7), '{"type":"pong","client_time":1e-07,"server_time":7}'),
        (
            ErrorEvent("bad_sound", "no", fatal=False),
            '{"type":"error","code":"bad_sound","message":"no","fatal":false,"reply_to":null,"retry_after":null}',
        ),
        (
            ErrorEvent("try_again", "no", fatal=True, reply_to="a", retry_after=5),
            '{"type":"error","code":"try_again","message":"no","fatal":true,"reply_to":"a","retry_after":5}',
        ),
        (MarkerReached("a", 1, 2), '{"type":"marker","id":"a","sequence":1,"heard_until":2}'),
        (
            Started("viewer", "main", {"b": 1.0}, "s"),
            '{"type":"started","role":"viewer","stage":"main","parameters":{"b":1.0},"session":"s"}',
        ),
        (
            Status(level=-20.0, heard=None, frame_rate=30.0, viewers=1, dropped_seconds=0.0, latency={"p50": 1.5}),
            '{"type":"status","level":-20.0,"heard":null,"frame_rate":30.0,"viewers":1,"dropped_seconds":0.0,'
            '"latency":{"p50":1.5},"known":0.0,"sounding":false,"source":"none","gate":-120.0,"gain":0.0,"warnings":[],'
            '"channels":[],"taken":null,"engine":"playing"}',
        ),
        (
            Start("performer", SoundFormat("pcm16", 8000), token="t"),
            '{"type":"start","role":"performer","sound":{"encoding":"pcm16","rate":8000,"channels":1,"use":null},'
            '"picture":{"encoding":"jpeg","quality":85},"token":"t","pulse":false,"limits_flashes":false,"session":null,'
            '"take_over":false}',
        ),
    ],
)
def test_a_message_is_written_byte_for_byte_as_ever(message: ClientMessage | ServerMessage, line: str) -> None:
    assert encode(message) == line


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"type": "dance", "id": "a"}', "a"),
        ('{"id": "a", "type": "start", "role": 7}', "a"),
        (f'{{"id": "{"x" * 64}"}}', "x" * 64),
        (f'{{"id": "{"x" * 65}"}}', None),
        ('{"id": 7}', None),
        ('{"id": null}', None),
        ("{}", None),
        ("[]", None),
        ('{"id": "a"', None),
        ('{"x": ' + "[" * 60_000, None),
        ('{"id": "a", "x": "' + "x" * 65_536 + '"}', None),
        ('{"id": "\ud800"}', None),
    ],
)
def test_a_message_that_is_wrong_may_still_have_a_name(text: str, name: str | None) -> None:
    assert message_id(text) == name


def test_no_secret_is_shown_where_a_message_is() -> None:
    shown = repr(Start("viewer", token="secret", session="secret")) + repr(Started("viewer", "main", {}, "secret"))
    assert "secret" not in shown


def test_a_number_that_json_has_no_word_for_is_not_sent() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode(Pong(float("nan"), 1))


def test_text_that_no_file_could_hold_is_sent_all_the_same() -> None:
    assert encode(Bye("\ud800")) == '{"type":"bye","reason":"\\ud800"}'


def test_a_number_comes_back_to_its_client_as_it_was() -> None:
    for written in ("5", "5.0", "-0.0", "1700000000123456789"):
        ping = parse_text(f'{{"type":"ping","client_time":{written}}}')
        assert isinstance(ping, Ping)
        assert f'"client_time":{written},' in encode(Pong(ping.client_time, 1))


@pytest.mark.parametrize("parse", [parse_text, parse_event])
def test_of_a_key_that_comes_twice_the_last_value_counts_in_both_directions(parse: Any) -> None:
    assert parse('{"type": "ping", "reason": "a", "type": "bye", "reason": "b"}') == Bye("b")
    assert parse('{"type": "parameters", "values": {"glide": 1, "glide": 2}}') == ParameterValues({"glide": 2})


@pytest.mark.parametrize("text", ["\ud800", "no file a\udcffb"])
def test_a_lone_surrogate_passes_both_ways(text: str) -> None:
    event = error_event(ProtocolError("engine_failed", text), fatal=True)
    assert parse_event(encode(event)) == event
    assert parse_text(f'{{"type":"ping","client_time":3.0,"x":"{text}"}}') == Ping(3)
