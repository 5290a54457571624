"""The command: `clavilux live | serve | render | export | train | bench | doctor`. Each has `--help` with examples.

A command's module is imported when it is asked for, so that the instrument starts fast and without torch. A mistake of
the user's is one line on standard error and exit code 2.
"""

import argparse
import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

from clavilux import __version__
from clavilux.runtime.commands.printable import complain
from clavilux.runtime.errors import ClaviluxError

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130  # what shells use for Ctrl-C
SIGNALLED = 128  # and what they add to the number of another signal
ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

COMMANDS = {
    "live": ("clavilux.server.commands.live", "play: a page opens, and the picture follows the sound"),
    "serve": ("clavilux.server.commands.serve", "the same without opening a browser, for clients of your own"),
    "render": ("clavilux.runtime.commands.render", "a sound file becomes a picture or a film"),
    "export": ("clavilux.export.command", "checkpoints in Hugging Face format become a bundle"),
    "train": ("clavilux.training.alignment.command", "an audio encoder of your own, from sounds with captions"),
    "bench": (
        "clavilux.benchmarks.bench.command",
        "latency, rhythm and memory here, beside the ceiling and other stacks",
    ),
    "doctor": ("clavilux.runtime.commands.doctor", "what is installed, what really runs here, and how fast"),
}
"""Modules with `add_arguments(parser)` and `run(arguments) -> exit code`, and a line for people."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 2 a mistake of the user's, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    title = "clavilux"
    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _end)
    try:
        name = overview().parse_args(words[:1] or ["--help"]).command
        title = f"clavilux {name}"
        command = _imported(COMMANDS[name][0])
        parser = Parser(prog=title, description=COMMANDS[name][1])
        command.add_arguments(parser)
        code: int = command.run(parser.parse_args(words[1:]))
        if sys.stdout is not None:
            sys.stdout.flush()
    except ClaviluxError as error:
        complain(title, error)
        return EXIT_MISTAKE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        return _without_reader(title, error)
    return code


def _imported(module: str) -> Any:
    """Import a command's module; a Ctrl-C meanwhile ends the process, for libraries make errors of their own of it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _leave)
        try:
            return importlib.import_module(module)
        finally:
            signal.signal(signal.SIGINT, before)
    return importlib.import_module(module)


def _leave(_number: int, _frame: object) -> NoReturn:
    os._exit(EXIT_INTERRUPTED)


def _end(number: int, _frame: object) -> NoReturn:
    """End as Ctrl-C does, so that whoever is writing a file cleans up."""
    raise SystemExit(SIGNALLED + number)


def _without_reader(title: str, error: OSError) -> int:
    """End a command whose output nobody takes: a closed pipe, a full disk."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    complain(title, f"the output cannot be written ({error.strerror})")
    return EXIT_MISTAKE


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, and whose examples keep their line breaks."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise the complaint as every other mistake is raised."""
        raise ClaviluxError(f"{message}; see {self.prog} --help")


def overview() -> argparse.ArgumentParser:
    """Return the parser of `clavilux --help`, which takes the command's name alone."""
    lines = "\n".join(f"  {name:8} {line}" for name, (_, line) in COMMANDS.items())
    parser = Parser(
        prog="clavilux",
        description="An instrument that plays pictures: sound in, diffusion pictures out, live.",
        epilog=f"commands:\n{lines}\n\n`clavilux COMMAND --help` says more. To begin: clavilux live",
    )
    parser.add_argument("--version", action="version", version=f"clavilux {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=", ".join(COMMANDS))
    return parser
