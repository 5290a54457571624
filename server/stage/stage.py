"""The stage: one engine, at most one who sounds, and everyone who watches.

The engine calls in from its own thread; everything else happens on one event loop and never blocks it. Frames cross
between the two through a slot where the newest wins. Who may join is decided in `admission`, how it does in `health`.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from clavilux.runtime.control.parameters import Value
from clavilux.runtime.errors import ProtocolError, SoundError
from clavilux.runtime.frame import Frame, SourceState
from clavilux.runtime.playing.engine_state import EngineState
from clavilux.runtime.pulse import PULSE_RATE, Pulse
from clavilux.runtime.queues import NewestSlot
from clavilux.runtime.token_bucket import TokenBucket
from clavilux.server.protocol.binary import Sound
from clavilux.server.protocol.messages import Bye
from clavilux.server.protocol.words import MICROSECONDS, CloseCode, ErrorCode, Role
from clavilux.server.settings import Settings
from clavilux.server.stage.admission import Admission, count, engine_failed
from clavilux.server.stage.compression import Compressor
from clavilux.server.stage.health import Health
from clavilux.server.stage.interfaces import EngineLike, Member, OwnSource
from clavilux.server.stage.metrics import Metrics
from clavilux.server.stage.outbox import READINGS, Farewell
from clavilux.server.stage.peer_log import PeerLog
from clavilux.server.stage.refusals import RefusedError
from clavilux.server.stage.wire_time import captured

TELLINGS = 20  # events about parameters a second: a knob that is turned changes them more often
GATHER = 0.02  # s that a reading of the pulse waits for the next one
STOP_SECONDS = 3.0  # that an engine is given to end
LAG_SECONDS = 0.25  # between two looks at how late the event loop is
MAX_TAP_AGE = 5.0  # s; a beat that is said to have been tapped before that was tapped now

log = logging.getLogger("clavilux.stage")


class Stage:
    """One engine and its members; an async context manager that starts and stops the engine."""

    name = "main"

    def __init__(self, engine: EngineLike, settings: Settings, source: OwnSource | None = None) -> None:
        """`source` is the sound card that the stage hears, where `settings` say that it hears one."""
        self.engine = engine
        self._source = source
        self.settings = settings
        self.members: set[Member] = set()
        self.admission = Admission(engine, settings, self.members)
        self.metrics = Metrics(engine)
        self.peers = PeerLog(self.metrics.refused)
        self.health = Health(engine, self.metrics)
        self.compressor = Compressor()
        self._told = engine.parameters  # what everyone knows
        self._tellings = TokenBucket(TELLINGS, TELLINGS)  # of events about parameters; a status tells the rest
        self._arrived: NewestSlot[Frame] = NewestSlot()
        self._last: Frame | None = None  # what everyone looks at
        self._awaited = False  # whether a source has begun that has not sounded yet
        self._gone = asyncio.Event()
        self._pulses: deque[tuple[Pulse, float]] = deque(maxlen=READINGS)  # on their way to everyone who wants them
        self._unfeel: Callable[[], None] | None = None  # ends the readings, while somebody wants them

    async def __aenter__(self) -> "Stage":
        loop = asyncio.get_running_loop()

        def arrived(frame: Frame) -> None:
            if self._arrived.put(frame):
                loop.call_soon_threadsafe(self._spread)

        self._unsubscribe = self.engine.subscribe(arrived)
        self._count_members()  # nobody watches yet
        self.engine.start()
        self._tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._watch_loop())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._stop_engine()
        self._unsubscribe()
        if self._unfeel is not None:
            self._unfeel()
        await self.compressor.close()

    @property
    def ready(self) -> bool:
        """Whether pictures are being made."""
        return self.engine.state is EngineState.PLAYING

    def join(self, member: Member) -> None:
        """Let `member` in; from now on it gets frames, statuses and parameters."""
        self.members.add(member)
        self._awaited |= member.sounding
        self._count_members()
        self._feel()

    def leave(self, member: Member) -> None:
        """Let `member` go, and free the role it had; once is enough, twice does no harm."""
        if member in self.members:
            self.members.remove(member)
            self.metrics.frames_skipped.inc(member.outbox.skipped)
            self._count_members()
            self._feel()
        if not self.members:
            self._gone.set()

    def hear(self, sound: Sound, rate: int) -> float:
        """Hand sound to the engine; return the capture time of its last sample, seconds of the engine's clock.

        Raises ProtocolError "bad_sound" when the capture time cannot be true, or the engine refuses the samples.
        """
        captured_at = captured(sound.captured_at, len(sound.samples) / rate, self.engine.clock.now())
        try:
            self.engine.hear(sound.samples, rate, captured_at)
        except SoundError as error:
            raise ProtocolError(ErrorCode.BAD_SOUND, str(error)) from error
        self._awaited = False
        return captured_at + (len(sound.samples) - 1) / rate

    def tap(self, at: int) -> None:
        """Take a beat that was tapped at server time `at`, µs; 0 for now, as is a time that cannot be true."""
        now = self.engine.clock.now()
        when = at / MICROSECONDS
        self.engine.tap(when if now - MAX_TAP_AGE <= when <= now else now)

    @property
    def known(self) -> float:
        """How sure the instrument is of what it hears, 0 to 1."""
        return self._last.known if self._last else 0.0

    def values(self) -> dict[str, Value]:
        """Return the parameters that this bundle has."""
        return {name: value for name, value in self.engine.parameters.values().items() if name in self.engine.ranges}

    def set(self, values: Mapping[str, Any]) -> None:
        """Set parameters and tell everyone. Raises ParameterError; then nothing was taken."""
        self.engine.set(values)
        now = self.engine.clock.now()
        if self._tellings.available(now) >= 1 and self._tell():
            self._tellings.spend(1)

    def show_last(self, member: Member) -> None:
        """Offer the frame that everyone else looks at, so that a newcomer to a frozen stage sees it."""
        if self._last is not None:
            member.outbox.frame(self._last)

    async def farewell(self, reason: str = "the server is shutting down") -> None:
        """Say goodbye to everyone, and wait until those who have started are gone."""
        self._gone.clear()
        bye = Farewell(CloseCode.SERVICE_RESTART, reason, (Bye(reason),))
        self.admission.dismiss(bye)
        self._dismiss(bye)
        await asyncio.sleep(0)  # in which it leaves for who has not started
        if self.members:
            await self._gone.wait()

    def _dismiss(self, farewell: Farewell) -> None:
        for member in self.members:
            member.outbox.finish(farewell)

    def _tell(self) -> bool:
        """Tell everyone of parameters that changed; return whether any did."""
        now = self.engine.parameters
        if now == self._told:
            return False
        self._told, values = now, self.values()
        for member in self.members:
            member.outbox.parameters(values)
        return True

    def _feel(self) -> None:
        """Have readings of the pulse as long as somebody wants them."""
        wanted = any(member.feeling for member in self.members)
        if wanted and self._unfeel is None:
            loop = asyncio.get_running_loop()

            def told(pulses: Sequence[Pulse], captured_at: float) -> None:
                timed = [(pulse, captured_at + k / PULSE_RATE) for k, pulse in enumerate(pulses)]
                loop.call_soon_threadsafe(self._pulse, timed)

            self._unfeel = self.engine.feel(told)
        elif not wanted and self._unfeel is not None:
            self._unfeel()
            self._unfeel = None

    def _pulse(self, pulses: list[tuple[Pulse, float]]) -> None:
        """Gather readings for `GATHER` seconds, so that each client gets fifty messages a second at most."""
        if not self._pulses:
            asyncio.get_running_loop().call_later(GATHER, self._spread_pulses)
        self._pulses.extend(pulses)

    def _spread_pulses(self) -> None:
        for member in self.members:
            if member.feeling:
                member.outbox.pulses(self._pulses)
        self._pulses.clear()

    def _spread(self) -> None:
        frame = self._arrived.take()
        if frame is None:
            return
        self._last = frame
        self.health.take(frame)
        for member in self.members:
            member.outbox.frame(frame)

    async def _tick(self) -> None:
        while self.engine.state is not EngineState.FAILED:
            await asyncio.sleep(self.settings.status_seconds)
            self._tell()  # what did not come through `set`: commands, scenes, other controllers
            viewers = count(self.members, Role.VIEWER)
            status = self.health.status(self._last, viewers, self._state(), sounding=self._is_taken)
            self.engine.look_ahead(self.health.ahead)
            for member in self.members:
                member.outbox.status(status)
            self._end_expired()
        log.error("the engine has failed for good: %s", self.engine.failure)
        self._dismiss(engine_failed())

    def _end_expired(self) -> None:
        """End the connections of tokens that have expired, also of those who say nothing."""
        for member in self.members:
            try:
                self.admission.check(member.token)
            except RefusedError as refused:
                member.outbox.finish(refused.farewell)

    async def _watch_loop(self) -> None:
        """Measure how much later than asked for the event loop comes back."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self.metrics.loop_lag.observe(max(0.0, loop.time() - due))

    async def _stop_engine(self) -> None:
        """Stop the engine, in a thread that the process does not wait for where the engine hangs."""
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop() -> None:
            self.engine.stop()
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(stopped.set)

        threading.Thread(target=stop, name="clavilux-stop", daemon=True).start()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await stopped.wait()
        except TimeoutError:
            log.error("the engine does not end within %g s; it is left alone", STOP_SECONDS)

    def _state(self) -> SourceState | None:
        """Return how the source is, as far as others know more of it than its samples; None: they do not."""
        if self._source is not None and self._source.is_lost:
            return SourceState.LOST
        return SourceState.NONE if self._awaited or not self._is_taken else None

    @property
    def _is_taken(self) -> bool:
        """Whether the stage has a source."""
        return self.settings.own_sound or any(member.sounding for member in self.members)

    def _count_members(self) -> None:
        self.engine.watch(len(self.members))
        for role in Role:
            self.metrics.viewers.labels(role).set(count(self.members, role))
