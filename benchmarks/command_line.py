"""Command lines of benchmarks: the words that several of them read, and how they tell what they are doing."""

import argparse
import importlib.util
import re
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from clavilux.benchmarks.errors import BenchError
from clavilux.command import EXIT_MISTAKE
from clavilux.export.options import Progress
from clavilux.runtime.commands.printable import complain
from clavilux.runtime.errors import ClaviluxError

MAX_SECONDS = 600.0  # of measuring one setting
MAX_ROUNDS = 1000


def ended(name: str, run: Callable[[], None]) -> int:
    """Run a command and return its exit code: 0, or 2 after one line about a mistake."""
    try:
        run()
    except ClaviluxError as error:
        complain(name, error)
        return EXIT_MISTAKE
    return 0


def model_words(arguments: argparse.Namespace) -> list[str]:
    """Return what `add_model_options` has read as words for a command of its own, `--device` and its like."""
    words = ["--device", arguments.device, "--threads", str(arguments.threads)]
    words += ["--bundle", str(arguments.bundle)] if arguments.bundle else []
    return words + [word for value in arguments.set for word in ("--set", value)]


def stopwatch() -> Progress:
    """Return a function that prints a line to stderr, with the seconds since now before it."""
    began = time.monotonic()

    def progress(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr)

    return progress


def require(modules: list[str]) -> None:
    """Raise BenchError when one of these is not installed."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise BenchError(f"{name} is not installed; run: pip install 'clavilux[bench,cpu]'")


def make_folder(folder: Path) -> None:
    """Make the folder for results. Raises BenchError when that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"--out {folder} cannot be a folder ({error.strerror}); name another one") from error


def parse_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Return (height, width) of each H[xW]. Raises ArgumentTypeError."""
    return tuple(_size(one) for one in text.split(","))


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected for example 512, or 384x640 (height x width)")
    return int(found[1]), int(found[2] or found[1])


def parse_counts(text: str) -> tuple[int, ...]:
    """Return numbers of steps. Raises ArgumentTypeError."""
    if not re.fullmatch(r"[1-9]\d{0,3}(,[1-9]\d{0,3})*", text):
        raise argparse.ArgumentTypeError(f"{text!r} are no steps; expected for example 1,2,4")
    return tuple(map(int, text.split(",")))


def parse_seconds(text: str) -> float:
    """Return seconds, above 0 and up to MAX_SECONDS. Raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r}; expected seconds, up to {MAX_SECONDS:.0f}")
    return seconds


def parse_rounds(text: str) -> int:
    """Return a number of rounds, 1 to MAX_ROUNDS. Raises ArgumentTypeError."""
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MAX_ROUNDS:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number, 1 to {MAX_ROUNDS}")
    return int(text)


def chosen(text: str, known: Collection[str]) -> tuple[str, ...]:
    """Return some of the known names, each once. Raises ArgumentTypeError."""
    names = tuple(text.split(","))
    wrong = [name for name in names if name not in known]
    if wrong:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r}; expected some of {', '.join(known)}, with commas between")
    return tuple(dict.fromkeys(names))
