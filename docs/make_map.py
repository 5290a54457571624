"""The map of the code, docs/rooms.md: every package, room and module with the first line of its docstring.

    python docs/make_map.py            writes the page
    python docs/make_map.py --check    exit code 1 and one line where the page is stale

Files are parsed and never imported, so this needs nothing but Python, and says the same on every machine.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = "docs/rooms.md"
PACKAGES = ("clavilux", "runtime", "server", "export", "training", "benchmarks")
COMMAND = "python docs/make_map.py"

HEAD = f"""# The rooms

Every package, room and module with the first line of its docstring. `{COMMAND}` writes this page, and a test holds it
against the tree: to change a line, change the docstring. How the rooms hang together: [How it is built](built.md).
"""

CODE = re.compile(r"(`[^`]*`)")
MARKUP = re.compile(r"([\\*_<\[\]|])")


class MapError(Exception):
    """The map cannot be drawn; the message names the file and says what it needs."""


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring. Raises MapError where there is none."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise MapError(f"{path} has no docstring; its first line is what the map says of it")
    return docstring.splitlines()[0]


def escaped(line: str) -> str:
    """Return a line that Markdown shows as it stands; what is in backticks stays code."""
    return "".join(part if part.startswith("`") else MARKUP.sub(r"\\\1", part) for part in CODE.split(line))


def rooms(folder: Path) -> Iterator[Path]:
    """Yield a package's folder and its rooms, each before those inside it. Links to other packages are none."""
    yield folder
    for inner in sorted(folder.iterdir()):
        if inner.is_dir() and not inner.is_symlink() and any(inner.glob("*.py")):
            yield from rooms(inner)


def room_lines(root: Path, room: Path) -> list[str]:
    """Return what the page says of one room. Raises MapError where a docstring is missing."""
    opening = room / "__init__.py"
    if not opening.exists():
        raise MapError(f"{room.relative_to(root)} has no __init__.py; its docstring is what the map says of the room")
    modules = [path for path in sorted(room.glob("*.py")) if path != opening]
    lines = [f"* `{path.name}`: {escaped(first_line(path))}" for path in modules]
    return [f"## {room.relative_to(root).as_posix()}", "", escaped(first_line(opening)), "", *lines]


def page(root: Path) -> str:
    """Return the whole page for the tree at `root`."""
    parts = [HEAD.splitlines()]
    for package in PACKAGES:
        parts += [room_lines(root, room) for room in rooms(root / package)]
    return "\n\n".join("\n".join(part).strip() for part in parts) + "\n"


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write the page, or with `--check` compare it; return 0, or 1 with one line that says why."""
    parser = argparse.ArgumentParser(description="the map of the code, from the first lines of the docstrings")
    parser.add_argument("--check", action="store_true", help="compare the page with the tree and write nothing")
    checks = parser.parse_args(arguments).check
    target = root / PAGE
    try:
        fresh = page(root)
    except MapError as error:
        print(f"make_map: {error}", file=sys.stderr)
        return 1
    if not checks:
        target.write_text(fresh, encoding="utf-8")
    elif not target.exists() or target.read_text(encoding="utf-8") != fresh:
        print(f"make_map: {PAGE} is stale; run: {COMMAND}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
