"""Listeners of the engine's threads: they join and leave from any thread, and one that fails is not called again."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, ParamSpec

_log = logging.getLogger(__name__)

Told = ParamSpec("Told")


class Listeners(Generic[Told]):
    """Whoever is told of something; `what` names it in the log."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._all: tuple[Callable[Told, None], ...] = ()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._all)

    def add(self, listener: Callable[Told, None]) -> Callable[[], None]:
        """Call `listener` from now on; return what ends that."""
        with self._lock:
            self._all = (*self._all, listener)
        return partial(self._drop, listener)

    def tell(self, *told: Told.args, **named: Told.kwargs) -> None:
        """Call everyone, on this thread. One that raises ends nothing: the log tells, and it is left out."""
        for listener in self._all:
            try:
                listener(*told, **named)
            except Exception:
                _log.exception("a listener of the %s failed, and is not called again", self._what)
                self._drop(listener)

    def _drop(self, listener: Callable[Told, None]) -> None:
        with self._lock:
            self._all = tuple(other for other in self._all if other is not listener)
