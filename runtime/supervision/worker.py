"""The supervisor of a worker process: it starts it, carries orders and reports, and starts it again when it fails.

    with EngineWorker(partial(open_models, bundle, device="cuda")) as worker:
        engine = worker.engine()        # an engine as any other, whose models are in the worker

Three threads: one lives with the worker, starts it and reads its reports; one sends orders; one watches. A worker that
ends for whatever reason, or makes no frame for too long (`clavilux.runtime.supervision.watchdog`), is followed by
another one, which goes on with the same parameters and from the same place in the noise.
"""

import atexit
import logging
import multiprocessing
import secrets
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self

from clavilux.runtime.clock import Clock, MonotonicClock
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.supervision import host
from clavilux.runtime.supervision.host import Opener
from clavilux.runtime.supervision.messages import Facts, Fell, Felt, Loaded, Made, Order, Refused, Report
from clavilux.runtime.supervision.shared_pictures import PictureReader
from clavilux.runtime.supervision.watchdog import MAX_STEP, Bounds, RestartBudget
from clavilux.runtime.supervision.worker_engine import WorkerEngine

TICK = 0.1  # s between two looks of the watchdog
END_SECONDS = 1.0  # that a worker is given to end by itself
AGAIN_SECONDS = 1.0  # until another try where the system starts none: it may be short of something for a moment
BOUNDS = Bounds()

log = logging.getLogger("clavilux.worker")


def _nothing() -> None:
    """Prepare nothing."""


class _Life:
    """One worker, from its start to its end."""

    def __init__(self, opener: Opener, prepare: Callable[[], None], bounds: Bounds) -> None:
        prefix = f"clvx{secrets.token_hex(5)}"
        context = multiprocessing.get_context("spawn")
        orders, self._orders = context.Pipe(duplex=False)
        self.reports, reports = context.Pipe(duplex=False)
        self.pictures = PictureReader(prefix)
        self.loaded = False
        self.reason = ""  # why it ends, as far as it or the watchdog has said so
        self._process = context.Process(
            target=host.main, args=(orders, reports, prefix, opener, prepare), name="clavilux-worker", daemon=True
        )
        self._sending = threading.Lock()
        self._loading = 0.0  # s
        self._bounds = bounds
        self._process.start()
        self.pid = self._process.pid
        orders.close()
        reports.close()

    def send(self, orders: list[Order]) -> None:
        """Send orders, which waits while the worker takes none; they are let go once it has ended."""
        with self._sending, suppress(OSError):
            for order in orders:
                self._orders.send(order)

    def dismiss(self) -> None:
        """Let it end by itself, once what is being sent has gone."""
        with self._sending:
            self._orders.close()

    def kill(self, reason: str) -> None:
        """End it, whatever it does."""
        self.reason = self.reason or reason
        self._process.kill()

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end for so long; return whether it has come."""
        return bool(wait([self._process.sentinel], seconds))

    def loads_too_long(self, seconds: float) -> bool:
        """Let `seconds` pass; return whether its models should have been loaded by now."""
        self._loading += min(seconds, MAX_STEP)
        return not self.loaded and self._loading > self._bounds.loading

    def end(self) -> str:
        """Take away what is left of it, and return why it has ended; for the thread that started it."""
        if not self.ends_within(END_SECONDS):
            self._process.kill()
        self._process.join()
        self.dismiss()
        self.reports.close()
        self.pictures.close()
        code = self._process.exitcode or 0
        return self.reason or (f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}")


class EngineWorker:
    """A worker process that is watched, and the engines whose models it holds. Methods may be called by any thread."""

    def __init__(
        self,
        opener: Opener,
        *,
        prepare: Callable[[], None] = _nothing,
        clock: Clock | None = None,
        bounds: Bounds = BOUNDS,
    ) -> None:
        """`opener` loads the models, `prepare` is called before it: both in the worker, so they must be picklable."""
        self.clock: Clock = clock or MonotonicClock()
        self.restarts = 0  # workers that took over from another one
        self.facts: Facts | None = None  # None until a first worker has loaded the models
        self._starter = partial(_Life, opener, prepare, bounds)
        self._bounds = bounds
        self._budget = RestartBudget(bounds)
        self._engines: dict[str, WorkerEngine] = {}
        self._failure: Exception | None = None
        self._life: _Life | None = None
        self._lock = threading.Lock()
        self._settled = threading.Event()  # whether it is known if the models can be loaded
        self._wake = threading.Event()
        self._farewells: deque[Order] = deque()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"clavilux-{name}", daemon=True)
            for name, target in (("worker", self._live), ("orders", self._send), ("watchdog", self._watch))
        ]

    def open(self) -> Facts:
        """Start the worker, once, and wait until its models are loaded; return what they are.

        Raises what `opener` raises of ClaviluxError, or ProviderError when no worker lives long enough.
        """
        atexit.register(self.close)  # where the last one was interrupted
        for thread in self._threads:
            if thread.ident is None:
                thread.start()
        try:
            self._settled.wait()
        except BaseException:
            self.close()
            raise
        if self.facts is None:
            self.close()
            raise self._failure or ProviderError("the engine's worker was closed before its models were loaded")
        return self.facts

    def close(self) -> None:
        """End the worker: by itself, or after a second by force."""
        self._closing.set()
        self._wake.set()
        with self._lock:
            life = self._life
        if life is not None and not life.ends_within(END_SECONDS):
            life.kill("it was to end and did not")
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def engine(self, name: str = "main") -> WorkerEngine:
        """Return the engine of a stage, not yet started. Raises ProviderError for a name that is taken."""
        if self.facts is None or name in self._engines:
            raise ProviderError(f"the worker has no room for an engine {name!r}; expected one of each name, once open")
        engine = WorkerEngine(self, name, self.facts, self.clock, self._bounds)
        self._engines[name] = engine
        return engine

    @property
    def pid(self) -> int | None:
        """The present worker's process; None while there is none."""
        with self._lock:
            return self._life.pid if self._life is not None else None

    def wake(self) -> None:
        """Send the orders that wait."""
        self._wake.set()

    def leave(self, name: str) -> None:
        """Play a stage no more; with the last one the worker ends."""
        engine = self._engines.pop(name, None)
        if engine is None:
            return
        if self._engines:
            self._farewells.append(engine.farewell())
            self._wake.set()
        else:
            self.close()

    def _live(self) -> None:
        """Live with workers; with the last one everything is settled, whatever happens."""
        with suppress(AttributeError):  # Windows has neither
            # For all processes that are started here: a terminal that closes ends the server, which ends them.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            self._live_on()
        except Exception as error:  # which nobody foresaw: an opener that cannot be pickled
            log.exception("the engine's worker cannot be started again")
            self._failure = error
        if self._failure is not None:
            for engine in self._all():
                engine.fail(self._failure)
        self._settled.set()

    def _live_on(self) -> None:
        """Start one worker after another, as long as there is hope."""
        while not self._closing.is_set() and self._failure is None:
            reason = self._live_once()
            if self._closing.is_set() or self._failure is not None:
                break
            for engine in self._all():
                engine.interrupt()
            if self._budget.forgives(time.monotonic()):
                self.restarts += 1
                log.error("the engine's worker has ended (%s); another one takes over", reason)
            else:
                often = f"{self._bounds.failures} times in {self._bounds.within:g} s"
                self._failure = ProviderError(f"the engine's worker has ended {often}, the last time by {reason}")
                log.error("%s; it is not started again", self._failure)

    def _live_once(self) -> str:
        """Live with one worker; return why it has ended."""
        try:
            life = self._starter()
        except OSError as error:
            self._closing.wait(AGAIN_SECONDS)
            return f"the system starts none: {error}"
        with self._lock:
            self._life = life
        if self._closing.is_set():  # `close` may have seen no worker yet
            life.kill("it was to end when it began")
        try:
            with suppress(EOFError, OSError):
                while self._failure is None:
                    self._take(life, life.reports.recv())
        except ProviderError as error:  # of this side
            life.kill(str(error))
        with self._lock:
            self._life = None
        return life.end()

    def _take(self, life: _Life, report: Report) -> None:
        match report:
            case Made():
                engine = self._engines.get(report.stage)
                pixels = life.pictures.take(report.place)
                if engine is not None:
                    engine.made(report, pixels)
            case Felt():
                if (engine := self._engines.get(report.stage)) is not None:
                    engine.felt(report)
            case Loaded():
                life.loaded = True
                self.facts = self.facts or report.facts
                self._settled.set()
                self._wake.set()
            case Refused():
                self._failure = report.error
                life.dismiss()
            case Fell():
                life.reason = report.line

    def _send(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            with self._lock:
                life = self._life
            if self._closing.is_set():
                break
            if life is not None and life.loaded:
                life.send([order for engine in self._all() for order in engine.orders()])
                while self._farewells:
                    life.send([self._farewells.popleft()])
                self._forget_if_over(life)
        if life is not None:
            life.dismiss()

    def _forget_if_over(self, life: _Life) -> None:
        """Let engines begin anew where the worker that was sent to had ended before: nobody has read that."""
        with self._lock:
            is_over = self._life is not life
        if is_over:
            for engine in self._all():
                engine.forget_worker()
            self._wake.set()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._closing.wait(TICK):
            now = time.monotonic()
            seconds, before = now - before, now
            if any(engine.has_sound for engine in self._all()):
                self._wake.set()
            with self._lock:
                life = self._life
            if life is None:
                continue
            if life.loads_too_long(seconds):
                life.kill(f"its models were not loaded within {self._bounds.loading:g} s")
            for engine in self._all() if life.loaded else ():
                if engine.is_hung(seconds):
                    life.kill(f"no picture for {engine.watchdog.silence:.1f} s")

    def _all(self) -> list[WorkerEngine]:
        return list(self._engines.values())
