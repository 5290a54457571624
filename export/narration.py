"""Lines about a long work, told as it goes on: which step, and since when."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Self


class Narration:
    """Lines about a long work, each with the seconds since it began; while none comes, the last one is told again."""

    SILENCE = 30.0  # s

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._told = clock()
        self._line = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: self.repeat(self._over.wait), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def __call__(self, line: str) -> None:
        """Tell a line."""
        self._line, self._told = line, self._clock()
        print(f"{self._told - self._began:6.0f} s  {line}", file=sys.stderr, flush=True)

    def repeat(self, wait: Callable[[float], bool]) -> None:
        """Tell after each silence what is still being done, until `wait`, for so many seconds, says that it is over."""
        while not wait(self.SILENCE):
            now = self._clock()
            if self._line and now - self._told >= self.SILENCE:
                told = f"{self._line}, for {now - self._told:.0f} s now"
                print(f"{now - self._began:6.0f} s  {told}", file=sys.stderr, flush=True)
