"""Lines as the output can show them: names of devices and files may hold letters that its encoding lacks."""

import re
import sys
from contextlib import suppress

CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what ends a line or moves a terminal's cursor


def one_line(text: str) -> str:
    """Return a text with its control characters and line ends in their codes, such as `\\n`: one line."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable(line: str) -> str:
    """Return a line with what standard output cannot show in its code, such as `\\u30de`."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # there may be no output at all
    return line.encode(encoding, "backslashreplace").decode(encoding)


class Aside:
    """Standard error for what a command says by the way: where it cannot be written, the command goes on without."""

    def write(self, text: str) -> int:
        """Write some text; return its length."""
        if sys.stderr is not None:
            with suppress(OSError, ValueError):  # a full disk, a closed pipe or file
                sys.stderr.write(text)
        return len(text)

    @property
    def encoding(self) -> str:
        """Encoding of what is written."""
        return getattr(sys.stderr, "encoding", None) or "utf-8"

    def fileno(self) -> int:
        """Return its number, for the size of its terminal. Raises OSError when there is none."""
        if sys.stderr is None:
            raise OSError("there is no standard error")
        return sys.stderr.fileno()

    def flush(self) -> None:
        """Send what was written on its way."""
        if sys.stderr is not None:
            with suppress(OSError, ValueError):
                sys.stderr.flush()


def complain(title: str, complaint: object) -> None:
    """Write the line that a command ends with when it cannot do what was asked."""
    print(f"{title}: {one_line(str(complaint))}", file=Aside(), flush=True)
