"""The guards without a socket: which names a server answers to. Those with one are in test_app.py."""

import pytest

from clavilux.server.settings import Settings
from clavilux.server.web.security import host_name


@pytest.mark.parametrize(
    ("settings", "name", "answers"),
    [
        (Settings(), "localhost", True),
        (Settings(), "evil.example", False),
        (Settings(host="0.0.0.0"), "stage.example", True),
        (Settings(names=("stage.example",)), "stage.example", True),
        (Settings(names=("stage.example",)), "localhost", False),
    ],
)
def test_a_server_answers_to_its_own_names(settings: Settings, name: str, answers: bool) -> None:
    assert settings.answers(name) is answers


@pytest.mark.parametrize(
    ("host", "name"),
    [("LocalHost:7860", "localhost"), ("[::1]:7860", "::1"), ("stage.example", "stage.example"), ("", ""), ("[", "")],
)
def test_a_host_header_gives_a_name(host: str, name: str) -> None:
    assert host_name(host) == name
