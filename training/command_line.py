"""Command lines that are no part of `clavilux`, `python -m clavilux.training.NAME`: their log and exit code."""

import logging
from collections.abc import Callable
from pathlib import Path

from clavilux.command import EXIT_INTERRUPTED, EXIT_MISTAKE
from clavilux.runtime.commands.printable import complain
from clavilux.runtime.errors import ClaviluxError

LOG = logging.getLogger("clavilux.training")


def command(name: str, main: Callable[[], int | None]) -> int:
    """Run `main` and return the exit code: its own or 0, 2 after one line about a mistake, 130 interrupted."""
    try:
        return main() or 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        line = f"{where}{error.strerror or error}"
    except ClaviluxError as error:
        line = str(error)
    complain(name, line.splitlines()[0])
    return EXIT_MISTAKE


def start_log(work: Path) -> None:
    """Send the log to DIR/training.log and to the terminal."""
    work.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(work / "training.log"), logging.StreamHandler()]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers, force=True)
    for chatty in ("httpx", "onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
