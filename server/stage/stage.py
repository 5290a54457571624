"""The stage: one engine, at most one who sounds, and everyone who watches.

The engine calls in from its own thread; everything else happens on one event loop and never blocks it. Frames cross
between the two through a slot where the newest wins.
"""

import asyncio
import hmac
import math
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from clavilux.runtime.control.parameters import Value
from clavilux.runtime.errors import ProtocolError, SoundError
from clavilux.runtime.frame import Frame
from clavilux.server.protocol.binary import PackedFrame, Sound
from clavilux.server.protocol.messages import (
    ENGINE_FAILED,
    HIGHEST_SEQUENCE,
    SHUTTING_DOWN,
    STAGE_FULL,
    WIRE_STAGES,
    Acknowledge,
    Bye,
    PictureFormat,
    Start,
    Status,
)
from clavilux.server.protocol.text import error_event
from clavilux.server.settings import Settings
from clavilux.server.stage.compression import Picture, Pictures
from clavilux.server.stage.in_flight import NewestSlot
from clavilux.server.stage.interfaces import EngineLike, Member
from clavilux.server.stage.metrics import Latencies, Metrics
from clavilux.server.stage.outbox import Farewell, Outbox

MICROSECONDS = 1e6  # per second
EARLIEST_CAPTURE = 10.0  # s before now; older sound belongs to no live stage
LATEST_CAPTURE = 1.0  # s after now, for clocks that are not quite learnt yet
SILENCE = -120.0  # dBFS
HEARING = ("queue", "features", "encode")  # stages of a look at the sound, which several frames may show
STALE = 1.0  # s without newer sound, after which a frame tells nothing about latency
LONGEST_LATENCY = 60.0  # s; an acknowledgement that claims more has a wrong clock


class Stage:
    """One engine and its audience; an async context manager that starts and stops the engine."""

    name = "main"

    def __init__(self, engine: EngineLike, settings: Settings) -> None:
        self.engine = engine
        self.settings = settings
        self.metrics = Metrics(engine)
        self.pictures = Pictures()
        self.members: set[Member] = set()
        self._told = engine.parameters  # what everyone knows
        self._latencies = Latencies()
        self._arrived: NewestSlot[Frame] = NewestSlot()
        self._last: Frame | None = None
        self._counted = (engine.clock.now(), engine.counters().frames)
        self._gone = asyncio.Event()
        self._heard: tuple[float | None, float] = (None, 0.0)  # the newest heard_until, and when a frame first had it

    async def __aenter__(self) -> "Stage":
        loop = asyncio.get_running_loop()

        def arrived(frame: Frame) -> None:
            if self._arrived.put(frame):
                loop.call_soon_threadsafe(self._spread)

        self._unsubscribe = self.engine.subscribe(arrived)
        self._count_members()  # nobody watches yet
        self.engine.start()
        self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticker.cancel()
        with suppress(asyncio.CancelledError):
            await self._ticker
        await asyncio.to_thread(self.engine.stop)
        self._unsubscribe()
        await self.pictures.close()

    def server_time(self, seconds: float | None = None) -> int:
        """Return engine-clock `seconds`, or now, as server time: whole µs, never 0, which means unknown."""
        return max(1, round((self.engine.clock.now() if seconds is None else seconds) * MICROSECONDS))

    @property
    def ready(self) -> bool:
        """Whether pictures are being made."""
        return self.engine.ready.is_set() and self.engine.failure is None

    def authorize(self, token: str | None) -> bool:
        """Whether `token` opens this stage, in a time that does not depend on where it goes wrong."""
        expected, shown = ((text or "").encode("utf-8", "surrogatepass") for text in (self.settings.token, token))
        return self.settings.token is None or hmac.compare_digest(expected, shown)

    def admit(self, start: Start) -> None:
        """Check that there is room for the sound of `start`. Raises ProtocolError "stage_taken" if there is not."""
        if start.sound is not None and self.settings.own_sound:
            raise ProtocolError("stage_taken", 'the sound comes from the server\'s own sound card; send "sound": null')
        if start.sound is not None and any(member.sounding for member in self.members):
            raise ProtocolError(
                "stage_taken", 'another performer sounds on this stage; watch it, or send "sound": null'
            )

    def join(self, member: Member) -> None:
        """Let `member` in; from now on it gets frames, statuses and parameters."""
        self.members.add(member)
        self._count_members()

    def leave(self, member: Member) -> None:
        """Let `member` go, and free the role it had; once is enough, twice does no harm."""
        if member in self.members:
            self.members.remove(member)
            self.metrics.frames_skipped.inc(member.outbox.skipped)
            self._count_members()
        if not self.members:
            self._gone.set()

    def refusal(self, role: str) -> Farewell | None:
        """Return why nobody can join as `role` now: the engine has failed, or viewers fill the stage."""
        if self.engine.failure is not None:
            return _mourn(self.engine.failure)
        # A full house must not keep the performer out.
        if role == "viewer" and self._count(role) >= self.settings.most_viewers:
            return Farewell(STAGE_FULL, f"stage full: {self.settings.most_viewers} watch; try again later")
        return None

    def hear(self, sound: Sound, rate: int) -> float:
        """Hand sound to the engine; return the capture time of its last sample, seconds of the engine's clock.

        Raises ProtocolError "bad_sound" when the capture time cannot be true, or the engine refuses the samples.
        """
        captured_at = self._captured(sound, len(sound.samples) / rate)
        try:
            self.engine.hear(sound.samples, rate, captured_at)
        except SoundError as error:
            raise ProtocolError("bad_sound", str(error)) from error
        return captured_at + (len(sound.samples) - 1) / rate

    def _captured(self, sound: Sound, duration: float) -> float:
        # Nothing can have been captured later than it arrived.
        latest = self.engine.clock.now() - duration
        if sound.captured_at == 0:
            return latest
        ahead = sound.captured_at / MICROSECONDS - latest
        if not -EARLIEST_CAPTURE <= ahead <= LATEST_CAPTURE:
            raise ProtocolError(
                "bad_sound",
                f"capture time is {ahead:+.1f} s from the server's clock; expected {-EARLIEST_CAPTURE:g} to "
                f"{LATEST_CAPTURE:+g} s: learn the clock with ping, or send 0",
            )
        return latest + min(ahead, 0.0)

    def values(self) -> dict[str, Value]:
        """Return the parameters that this bundle has."""
        return {name: value for name, value in self.engine.parameters.values().items() if name in self.engine.ranges}

    def set(self, values: Mapping[str, Any]) -> None:
        """Set parameters and tell everyone. Raises ParameterError; then nothing was taken."""
        self.engine.set(values)
        self._tell()

    def acknowledge(self, outbox: Outbox, message: Acknowledge) -> None:
        """Release frames, and take the latency they show if both its ends are known and make sense."""
        heard_until = outbox.acknowledge(message.sequence)
        if heard_until is None or message.shown_at == 0:
            return
        seconds = message.shown_at / MICROSECONDS - heard_until
        late = message.shown_at / MICROSECONDS - self.engine.clock.now()
        if 0 <= seconds <= LONGEST_LATENCY and late <= LATEST_CAPTURE:
            self._latencies.add(seconds)
            self.metrics.heard_to_shown.observe(seconds)

    def timed(self, frame: Frame) -> float | None:
        """Return the heard_until that an acknowledgement of `frame` is timed against; None when its sound is stale."""
        return frame.heard_until if frame.time - self._heard[1] < STALE else None

    def pack(self, frame: Frame, picture: Picture, layout: PictureFormat) -> PackedFrame:
        """Return `frame` ready for the wire, stamped as sent now."""
        times = {**frame.stages, "compress": picture.seconds}
        height, width = frame.pixels.shape[:2]
        return PackedFrame(
            sequence=frame.sequence % (HIGHEST_SEQUENCE + 1),
            encoding=layout.encoding,
            size=(width, height),
            heard_until=0 if frame.heard_until is None else self.server_time(frame.heard_until),
            made_at=self.server_time(frame.time),
            sent_at=self.server_time(),
            stages=tuple(round(times.get(name, 0.0) * MICROSECONDS) for name in WIRE_STAGES),
            picture=picture.body,
        )

    def show_last(self, member: Member) -> None:
        """Offer the frame that everyone else looks at, so that a newcomer to a frozen stage sees it."""
        if self._last is not None:
            member.outbox.frame(self._last)

    async def farewell(self, reason: str = "the server is shutting down") -> None:
        """Say goodbye to everyone and wait until they are gone."""
        self._gone.clear()
        self._dismiss(Farewell(SHUTTING_DOWN, reason, (Bye(reason),)))
        if self.members:
            await self._gone.wait()

    def _dismiss(self, farewell: Farewell) -> None:
        for member in self.members:
            member.outbox.finish(farewell)

    def _tell(self) -> None:
        now = self.engine.parameters
        if now != self._told:
            self._told = now
            for member in self.members:
                member.outbox.parameters(self.values())

    def _spread(self) -> None:
        frame = self._arrived.take()
        if frame is None:
            return
        self._last = frame
        fresh = frame.heard_until != self._heard[0]
        if fresh:
            self._heard = (frame.heard_until, frame.time)
        self.metrics.observe_stages(frame.stages if fresh else _painting(frame.stages))
        for member in self.members:
            member.outbox.frame(frame)

    async def _tick(self) -> None:
        while (failure := self.engine.failure) is None:
            await asyncio.sleep(self.settings.status_seconds)
            self._tell()  # what did not come through `set`: commands, scenes, other controllers
            status = self._status()
            for member in self.members:
                member.outbox.status(status)
        self._dismiss(_mourn(failure))

    def _status(self) -> Status:
        (then, before), now, counters = self._counted, self.engine.clock.now(), self.engine.counters()
        self._counted = (now, counters.frames)
        level, heard = (self._last.level, self._last.heard) if self._last else (SILENCE, None)
        return Status(
            # JSON has no word for what is not finite, and a status must never end a connection.
            level=round(level, 1) if math.isfinite(level) else SILENCE,
            heard={"name": heard.name, "similarity": round(heard.similarity, 3)}
            if heard is not None and math.isfinite(heard.similarity)
            else None,
            frame_rate=round((counters.frames - before) / (now - then), 1) if now > then else 0.0,
            viewers=self._count("viewer"),
            dropped_seconds=round(counters.dropped_seconds, 3),
            latency=self._latencies.summary(),
        )

    def _count(self, role: str) -> int:
        return sum(member.role == role for member in self.members)

    def _count_members(self) -> None:
        self.engine.watch(len(self.members))
        for role in ("performer", "viewer"):
            self.metrics.viewers.labels(role).set(self._count(role))


def _painting(stages: Mapping[str, float]) -> dict[str, float]:
    """Return the stages that a frame without newer sound went through itself."""
    return {name: seconds for name, seconds in stages.items() if name not in HEARING}


def _mourn(failure: BaseException) -> Farewell:
    error = ProtocolError("engine_failed", f"the engine stopped: {type(failure).__name__}: {failure}")
    return Farewell(ENGINE_FAILED, "engine failed", (error_event(error, fatal=True),))
