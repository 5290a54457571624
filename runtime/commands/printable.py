"""Lines as the output can show them: names of devices and files may hold letters that its encoding lacks."""

import sys


def printable(line: str) -> str:
    """Return a line with what standard output cannot show in its code, such as `\\u30de`."""
    encoding = sys.stdout.encoding or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)
