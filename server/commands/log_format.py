"""Formats of the log: lines for people, or one JSON object a line for programs that gather logs."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from clavilux.server.commands.log_writer import LogWriter

FORMATS = ("text", "json")


class JsonLines(logging.Formatter):
    """Formatter that makes one JSON object of a record.

    Fields: `time` (ISO 8601, UTC), `level`, `logger`, `message`; `traceback` where there is one; and whatever stands in
    the record's `facts`, a dict, such as `event`, `peer` and `code`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, without a line end."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields | getattr(record, "facts", {}), default=str)


def begin_log(wanted: str, *, verbose: bool) -> None:
    """Let the process log to standard error as `wanted` ("text" or "json"), warnings alone unless it is `verbose`."""
    handler = _handler()
    handler.setFormatter(JsonLines() if wanted == "json" else logging.Formatter("clavilux: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])


def _handler() -> logging.Handler:
    try:
        return LogWriter(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # none, or one that is no file
        return logging.StreamHandler()
