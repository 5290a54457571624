"""The log is lines for people, or one JSON object a line."""

import json
import logging
from collections.abc import Iterator

import pytest

from clavilux.server.commands.log_format import JsonLines, begin_log


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was again at the end."""
    logger = logging.getLogger()
    level, handlers = logger.level, logger.handlers
    yield logger
    logger.handlers = handlers
    logger.setLevel(level)


def test_a_line_for_people_is_its_message(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    root.handlers = []
    begin_log("text", verbose=False)
    logging.getLogger("clavilux.test").info("unsaid")
    logging.getLogger("clavilux.test").warning("%d connections", 4)
    assert capsys.readouterr().err == "clavilux: 4 connections\n"


def test_a_line_for_programs_is_an_object_with_the_facts(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    root.handlers = []
    begin_log("json", verbose=True)
    facts = {"event": "closed", "peer": "192.0.2.7:50112", "code": 1000}
    logging.getLogger("clavilux.test").info("%s left", "somebody", extra={"facts": facts})
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert said.pop("time").endswith("+00:00")
    assert said == {"level": "info", "logger": "clavilux.test", "message": "somebody left", **facts}


def test_a_traceback_is_one_field_of_one_line() -> None:
    try:
        raise OSError("broken")
    except OSError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "x.py", 1, "it failed", (), (OSError, error, error.__traceback__)
        )
    line = JsonLines().format(record)
    assert "\n" not in line
    assert "OSError: broken" in json.loads(line)["traceback"]
