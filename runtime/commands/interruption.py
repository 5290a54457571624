"""Interruption of a command that writes files: the first Ctrl-C or end of the session ends it, the next ones wait.

They would meet it while it cleans up. The first one is found even where a library has lost it.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import NoReturn, Self

SIGNALLED = 128  # what shells add to a signal's number
NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interruption:
    """Holds the signals that end a command while its block runs. In the main thread alone."""

    def __init__(self) -> None:
        self.number: int | None = None  # of the first one
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in NUMBERS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.number is not None:  # the process ends, and takes no more of them
            if not isinstance(error, KeyboardInterrupt | SystemExit):
                self._end()
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise what was lost: an exception in a library's callback goes nowhere."""
        if self.number is not None:
            self._end()

    def _take(self, number: int, _: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            self._end()

    def _end(self) -> NoReturn:
        """Raise what Python raises for Ctrl-C, and what ends a process with a signal's code."""
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(SIGNALLED + (self.number or 0))
