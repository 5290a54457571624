"""Interruption of a command: the first signal ends it, the next ones wait, and none is lost."""

import signal
import subprocess
import sys
import threading

import pytest

from clavilux.runtime.commands.interruption import Interruption

DEADLINE = 60.0  # s
NUMBERS = [signal.SIGINT, signal.SIGTERM]
PROGRAM = """
import signal, sys
from clavilux.runtime.commands.interruption import Interruption
def lost(number):
    try:
        signal.raise_signal(number)
    except BaseException:
        pass
try:
    with Interruption() as interruption:
        {}
except KeyboardInterrupt:
    print("end", flush=True)
    sys.exit(130)
"""
WAYS = {
    "first": "signal.raise_signal({0})",
    "while it cleans up": "\n        try:\n            signal.raise_signal({0})\n        finally:\n"
    "            signal.raise_signal({0}); print('cleaned', flush=True)",
    "lost in a library": "lost({0}); interruption.check(); print('never')",
    "lost to the end": "lost({0})",
    "made another error": "\n        try:\n            signal.raise_signal({0})\n        except BaseException:\n"
    "            raise ImportError('a library') from None",
}


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE, check=False
    )


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("way", WAYS)
def test_an_interruption_ends_with_its_code_and_no_traceback(way: str, number: signal.Signals) -> None:
    done = run(PROGRAM.format(WAYS[way].format(int(number))))
    assert (done.returncode, done.stderr) == (128 + number, "")
    assert ("cleaned" in done.stdout) == (way == "while it cleans up")
    assert "never" not in done.stdout


def test_a_block_that_ends_well_gives_the_signals_back() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    with Interruption() as interruption:
        assert [signal.getsignal(number) for number in NUMBERS] != before
        interruption.check()
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_a_block_that_fails_gives_them_back_and_keeps_its_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="mine"), Interruption():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As for a command that a shell has put into the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_take_no_signals() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def enter() -> None:
        with Interruption():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
