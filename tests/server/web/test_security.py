"""The guards without a socket: which names a server answers to. Those with one are in test_app.py."""

import socket
from dataclasses import replace

import pytest
from starlette.datastructures import Headers

from clavilux.server.settings import Settings
from clavilux.server.web.security import host_name, refusal

HERE = Settings()
WIDE = Settings(host="0.0.0.0", names=("stage.example",))


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Piano.lan")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST."])
def test_a_server_on_a_loopback_address_answers_to_loopback_names_alone(host: str) -> None:
    settings = replace(HERE, host=host)
    for name in ("localhost", "localhost.", "127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"):
        assert settings.answers(name), name
    for name in ("evil.example", "localhost.evil.example", "192.168.1.7", "0.0.0.0", "piano.lan", "127.0.0.1.", ""):
        assert settings.answers(name) is (name == "127.0.0.1."), name


@pytest.mark.parametrize(
    "name", ["stage.example", "Stage.Example.", "localhost", "192.168.1.7", "fe80::1", "piano.lan"]
)
def test_a_server_that_others_reach_answers_to_its_names_and_to_addresses(name: str) -> None:
    assert WIDE.answers(name)


@pytest.mark.parametrize("name", ["piano.local", "piano.lan.local", "band.example"])
def test_a_server_that_others_reach_answers_to_what_it_was_given_and_to_its_machine(name: str) -> None:
    assert replace(WIDE, host="band.example").answers(name)


@pytest.mark.parametrize("name", ["evil.example", "stage.example.evil.example", "piano", "1.2.3", ""])
def test_a_server_that_others_reach_answers_to_no_name_that_anyone_may_have_pointed_at_it(name: str) -> None:
    assert not WIDE.answers(name)


def test_a_server_behind_a_proxy_answers_to_the_name_that_it_was_given() -> None:
    assert replace(HERE, names=("stage.example",)).answers("stage.example")


@pytest.mark.parametrize(
    ("host", "name"),
    [("LocalHost:7860", "localhost"), ("[::1]:7860", "::1"), ("stage.example", "stage.example"), ("", ""), ("[", "")],
)
def test_a_host_header_gives_a_name(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("headers", "protocols"),
    [
        ({"host": "localhost", "origin": "http://" + "x" * 60_000}, []),
        ({"host": "y" * 60_000, "origin": "http://evil.example"}, []),
        ({"host": "y" * 60_000}, []),
        ({"host": "localhost"}, ["z" * 500] * 100),
        ({"host": "localhost", "origin": "http://a\x85b"}, []),
    ],
)
def test_a_refusal_repeats_no_more_than_a_line_of_what_was_asked(headers: dict[str, str], protocols: list[str]) -> None:
    answer = refusal(Headers(headers), protocols, HERE)
    assert answer is not None
    line = bytes(answer.body).decode()
    assert len(line) < 500
    assert line.splitlines() == [line[:-1]]
