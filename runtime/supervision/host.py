"""The worker's side: models loaded once, and an engine for each stage that plays them, in a process of their own.

Who has started it holds the other ends of two pipes: orders come through one, reports go through the other. The worker
ends when the pipe of orders does, and when one of its engines fails: it is started again by whoever watches it.
"""

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection

import numpy as np

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.frame import Frame
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.models import Models
from clavilux.runtime.playing.engine import Engine
from clavilux.runtime.pulse import Pulse
from clavilux.runtime.supervision.messages import (
    Control,
    Controls,
    Fell,
    Felt,
    Hear,
    Leave,
    Loaded,
    Made,
    Order,
    Play,
    Refused,
    Report,
    facts_of,
)
from clavilux.runtime.supervision.shared_pictures import PictureWriter

EMPTY = np.zeros((0, 0, 3), np.uint8)  # pixels of a frame whose picture travels elsewhere
ENDED, FELL = 0, 70  # exit codes; 70 is what sysexits.h calls a fault of the software
SENT_TO_ALL = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that often go to all processes of a service, or of a terminal; Windows has no SIGHUP."""
WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG

Opener = Callable[[], tuple[Bundle, Models]]
"""Loads a bundle and its models, in the worker; `clavilux.runtime.loading.open_models` with its arguments bound."""

log = logging.getLogger("clavilux.worker")


def main(orders: Connection, reports: Connection, prefix: str, opener: Opener, prepare: Callable[[], None]) -> None:
    """Run a worker until its pipe of orders ends; never returns.

    `prefix` begins the names of the memory that pictures travel through; `prepare` is called first of all.
    """
    for number in SENT_TO_ALL:
        signal.signal(number, signal.SIG_IGN)  # whoever has started it ends it
    die_with_parent()
    prepare()
    host = Host(reports, prefix, end=leave)
    host.load(opener)
    host.obey(orders)
    leave(ENDED)


def leave(code: int) -> None:
    """End the process at once, for engines may be in a library that does not come back; but write the log."""
    logging.shutdown()
    os._exit(code)


def die_with_parent() -> None:
    """Let the system end this process with the thread that started it, where it can (Linux): also one that hangs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(WITH_PARENT, signal.SIGKILL)


class Host:
    """The engines of one worker."""

    def __init__(self, reports: Connection, prefix: str, end: Callable[[int], None]) -> None:
        """`end` ends the process with an exit code."""
        self._reports = reports
        self._end = end
        self._lock = threading.Lock()  # of the pipe of reports, and of the memory beside it
        self._pictures = PictureWriter(prefix)
        self._turn = threading.Lock()  # of the models, which one engine uses at a time
        self._loaded: tuple[Bundle, Models] | None = None
        self._engines: dict[str, Engine] = {}
        self._unfeel: dict[str, Callable[[], None]] = {}

    def load(self, opener: Opener) -> None:
        """Load the models and say so, or why they cannot be had."""
        try:
            self._loaded = opener()
        except ClaviluxError as error:
            self._report(Refused(error))
            return
        self._report(Loaded(facts_of(Instrument(*self._loaded))))

    def obey(self, orders: Connection) -> None:
        """Take orders until their pipe ends."""
        while True:
            try:
                order: Order = orders.recv()
            except (EOFError, OSError):
                return
            self.take(order)

    def take(self, order: Order) -> None:
        """Do what is ordered; what is for a stage that is not played is let go."""
        if isinstance(order, Play):
            self._play(order)
            return
        engine = self._engines.get(order.stage)
        if engine is None:
            return
        match order:
            case Hear():
                for chunk in order.chunks:
                    engine.take(chunk)
                for tap in order.taps:
                    engine.tap(tap)
            case Control():
                self._control(order.stage, engine, order.controls)
            case Leave():
                self._engines.pop(order.stage)
                self._unfeel.pop(order.stage, lambda: None)()
                engine.stop()

    def stop(self) -> None:
        """Stop all engines, and let go of the memory."""
        for stage in list(self._engines):
            self.take(Leave(stage))
        self._pictures.close()

    def _play(self, order: Play) -> None:
        if self._loaded is None:
            return
        self.take(Leave(order.stage))  # one that is played already begins anew
        instrument = Instrument(*self._loaded)
        instrument.resume(order.position)
        engine = Engine(instrument, turn=self._turn, on_failure=self._fall)
        self._engines[order.stage] = engine
        self._control(order.stage, engine, order.controls)
        engine.subscribe(partial(self._made, order.stage, engine))
        engine.start()

    def _control(self, stage: str, engine: Engine, controls: Controls) -> None:
        engine.adopt(controls.parameters)
        engine.watch(controls.watched)
        engine.look_ahead(controls.ahead)
        if controls.feeling and stage not in self._unfeel:
            self._unfeel[stage] = engine.feel(partial(self._felt, stage))
        elif not controls.feeling and stage in self._unfeel:
            self._unfeel.pop(stage)()

    def _made(self, stage: str, engine: Engine, frame: Frame) -> None:
        """Report a frame; on the engine's thread."""
        position, counters = engine.instrument.position, engine.counters()
        try:
            with self._lock:
                place = self._pictures.put(frame.pixels)
        except ClaviluxError as error:
            self._fall(error)
            return
        if place is not None:
            self._report(Made(stage, replace(frame, pixels=EMPTY), place, position, counters))

    def _felt(self, stage: str, pulses: Sequence[Pulse], captured_at: float) -> None:
        self._report(Felt(stage, tuple(pulses), captured_at))

    def _fall(self, error: BaseException) -> None:
        """Report what has ended an engine, and end; on the engine's thread."""
        log.error("an engine failed: %s", error, exc_info=None if isinstance(error, ClaviluxError) else error)
        self._report(Fell(f"{type(error).__name__}: {error}"))
        self._end(FELL)

    def _report(self, report: Report) -> None:
        try:
            with self._lock:
                self._reports.send(report)
        except OSError:  # nobody reads any more
            self._end(ENDED)
