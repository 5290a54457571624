"""Waiting for what another thread or process does, with an end."""

import threading
import time
from collections.abc import Callable

DEADLINE = 60.0  # s
POLL = 0.001  # s, between two looks


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition()` is true. Raises TimeoutError that says `what` was waited for."""
    deadline = time.monotonic() + DEADLINE
    never = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {DEADLINE:g} s for {what}")
        never.wait(POLL)
