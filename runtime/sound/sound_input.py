"""Sound inputs on disk: a named file or standard input becomes one open, seekable file; anything else one line.

Standard input is copied into a temporary file first, because headers are read twice and films go over their sound three
times; it goes away by itself.
"""

import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from clavilux.runtime.errors import SoundError

STANDARD_INPUT = "-"
MAX_PIPED = 16 * 2**30  # bytes of standard input: a day of stereo at 48 kHz and 16 bits
COPIED = 2**20  # bytes at once
KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def name_of(path: Path) -> str:
    """Return what messages call an input."""
    return "standard input" if str(path) == STANDARD_INPUT else str(path)


def open_input(path: Path) -> BinaryIO:
    """Return the sound file at `path`, or standard input for "-", open at its beginning.

    Raises SoundError when there is none, it is no file, or it cannot be read.
    """
    if str(path) == STANDARD_INPUT:
        return _spooled()
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SoundError(f"{path} is a folder; expected a sound file")
        if not stat.S_ISREG(mode):
            kind = KINDS.get(stat.S_IFMT(mode), "no file")
            raise SoundError(f"{path} is {kind}; expected a sound file, or - for sound from standard input")
        return path.open("rb", buffering=0)  # decoders move its place, too
    except FileNotFoundError as error:
        raise SoundError(f"{path} is missing; expected a sound file") from error
    except OSError as error:
        raise SoundError(f"{path} cannot be read ({error.strerror or error}); expected a sound file") from error


def _spooled() -> BinaryIO:
    """Return what standard input holds, as a temporary file without a name."""
    if sys.stdin is None or sys.stdin.closed:
        raise SoundError("standard input is closed; expected sound from a pipe")
    if sys.stdin.isatty():
        raise SoundError("standard input is a terminal; expected sound from a pipe, for example: cat x.flac | ...")
    return kept(_all(sys.stdin.buffer))


def _all(source: BinaryIO) -> Iterator[bytes]:
    copied = 0
    while block := source.read(COPIED):
        copied += len(block)
        if copied > MAX_PIPED:
            raise SoundError(f"standard input is longer than {MAX_PIPED >> 30} GiB; expected less, or a file")
        yield block


def kept(blocks: Iterable[bytes]) -> BinaryIO:
    """Return bytes as a file without a name, open at its beginning; it goes away when it is closed.

    Raises SoundError when there is no room for all of them.
    """
    try:
        with ExitStack() as stack:
            file = stack.enter_context(tempfile.TemporaryFile(prefix="clavilux-", buffering=0))
            for block in blocks:
                left = memoryview(block)
                while left:  # a disk that is nearly full takes a part
                    left = left[file.write(left) :]
            file.seek(0)
            stack.pop_all()  # it stays open
            return file
    except OSError as error:
        raise SoundError(
            f"the sound cannot be kept in {tempfile.gettempdir()} ({error.strerror or error}); "
            "expected room for all of it, or another folder in TMPDIR"
        ) from error


def part_of(file: BinaryIO, start: int, stop: int) -> BinaryIO:
    """Return the bytes `start` to `stop` (excluded) of a file as a file of their own, as `kept` does."""
    return kept(_bytes_of(file, start, stop))


def _bytes_of(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    file.seek(start)
    left = stop - start
    while left > 0 and (block := file.read(min(left, COPIED))):
        left -= len(block)
        yield block


def size_of(file: BinaryIO) -> int:
    """Return how many bytes a file has."""
    return os.fstat(file.fileno()).st_size
