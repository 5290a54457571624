"""How the commands of this folder that are no part of `clavilux` end: `python -m training.NAME`."""

import sys
from collections.abc import Callable

from clavilux.command import EXIT_INTERRUPTED, EXIT_MISTAKE
from clavilux.runtime.errors import ClaviluxError


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
    print(f"{name}: {line.splitlines()[0]}", file=sys.stderr)
    return EXIT_MISTAKE
