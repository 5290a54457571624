"""Listeners of an engine: whoever is called with what it makes, and can leave again. One that fails is dropped."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, ParamSpec

P = ParamSpec("P")

log = logging.getLogger("clavilux.engine")


class Listeners(Generic[P]):
    """Functions to call, for any number of threads."""

    def __init__(self) -> None:
        self._listeners: tuple[Callable[P, None], ...] = ()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def add(self, listener: Callable[P, None]) -> Callable[[], None]:
        """Call `listener` from now on; return what ends that."""
        with self._lock:
            self._listeners = (*self._listeners, listener)
        return partial(self._drop, listener)

    def tell(self, *arguments: P.args, **named: P.kwargs) -> None:
        """Call all of them, one after the other; one that raises is logged, and not called again."""
        for listener in self._listeners:
            try:
                listener(*arguments, **named)
            except Exception:
                log.exception("a listener failed, and is not called again")
                self._drop(listener)

    def _drop(self, listener: Callable[P, None]) -> None:
        with self._lock:
            self._listeners = tuple(other for other in self._listeners if other is not listener)
