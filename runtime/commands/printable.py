"""Lines as the output can show them: names of devices and files may hold letters that its encoding lacks."""

import re
import sys

CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what ends a line or moves a terminal's cursor


def one_line(text: str) -> str:
    """Return a text with its control characters and line ends in their codes, such as `\\n`: one line."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable(line: str) -> str:
    """Return a line with what standard output cannot show in its code, such as `\\u30de`."""
    encoding = sys.stdout.encoding or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)
