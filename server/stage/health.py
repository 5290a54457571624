"""Health of a stage: the latency that viewers measure, time per stage, and the status made of them.

Runs on one event loop. Units: seconds, and milliseconds in `Latencies.summary`.
"""

import math
from collections import deque
from typing import Any

from clavilux.runtime.frame import ChannelLevel, Frame, Listening, SourceState
from clavilux.runtime.pulse import SILENCE_DB
from clavilux.server.protocol.messages import Status
from clavilux.server.protocol.words import MICROSECONDS, WireStage
from clavilux.server.stage.interfaces import Timed
from clavilux.server.stage.metrics import Metrics
from clavilux.server.stage.wire_time import MAX_CAPTURE_LEAD

REMEMBERED = 256  # acknowledgements that the percentiles look back on
PERCENTILES = (50, 95)
MS_PER_S = 1000.0
HEARING = frozenset({WireStage.QUEUE, WireStage.FEATURES, WireStage.ENCODE})  # once per hop, which several frames show
STALE = 1.0  # s without newer sound, after which a frame tells nothing about latency
MAX_AHEAD = 1.0  # s; who looks further ahead sees another beat
MAX_LATENCY = 60.0  # s; an acknowledgement that claims more has a wrong clock
AWAY = 5.0  # s without a measurement of those who may play, after which those of the others count


class Latencies:
    """The last REMEMBERED heard-to-shown latencies that somebody measured."""

    def __init__(self) -> None:
        self.measured_at = -math.inf  # the last one, s
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)

    def add(self, seconds: float, now: float) -> None:
        """Take one measurement at `now` seconds."""
        self.measured_at = now
        self._seconds.append(seconds)

    def summary(self) -> dict[str, float] | None:
        """Return p50 and p95 in ms (nearest rank), None before any measurement."""
        if not self._seconds:
            return None
        ordered = sorted(self._seconds)
        ranks = {percent: max(0, math.ceil(len(ordered) * percent / 100) - 1) for percent in PERCENTILES}
        return {f"p{percent}": round(ordered[rank] * MS_PER_S, 1) for percent, rank in ranks.items()}


class Health:
    """Measures a stage frame by frame, and says in a status how it is doing."""

    def __init__(self, engine: Timed, metrics: Metrics) -> None:
        self._engine = engine
        self._metrics = metrics
        self._latencies, self._watchers = Latencies(), Latencies()  # of those who may play, and of those who may not
        self._counted = (engine.clock.now(), engine.counters().frames)  # at the last status
        self._ages: deque[float] = deque(maxlen=REMEMBERED)  # s between the newest sound in a frame and its beginning
        self._heard: tuple[float | None, float] = (None, 0.0)  # the newest heard_until, and when a frame first had it

    def take(self, frame: Frame) -> None:
        """Take the stage times of a frame: all of them if it shows newer sound, otherwise those of painting alone."""
        fresh = frame.heard_until != self._heard[0]
        if fresh and frame.heard_until is not None:
            self._ages.append(frame.time - frame.heard_until)
        if fresh:
            self._heard = (frame.heard_until, frame.time)
        self._metrics.observe_stages(
            {name: seconds for name, seconds in frame.stages.items() if fresh or name not in HEARING}
        )

    def timed(self, frame: Frame) -> float | None:
        """Return the heard_until that an acknowledgement of `frame` is timed against; None when its sound is stale."""
        return frame.heard_until if frame.time - self._heard[1] < STALE else None

    def acknowledged(self, heard_until: float | None, shown_at: int, *, may_play: bool = True) -> None:
        """Take the latency that an acknowledgement shows if both its ends are known and make sense.

        `heard_until` is seconds of the engine's clock, None for unknown; `shown_at` is server time, µs, 0 for unknown.
        Beats come early by it, so that who only watches is believed where nobody measures it who `may_play`.
        """
        if heard_until is None or shown_at == 0:
            return
        shown, now = shown_at / MICROSECONDS, self._engine.clock.now()
        if 0 <= shown - heard_until <= MAX_LATENCY and shown - now <= MAX_CAPTURE_LEAD:
            latencies = self._latencies if may_play else self._watchers
            latencies.add(shown - heard_until, now)
            if latencies is self._believed:
                self._metrics.heard_to_shown.observe(shown - heard_until)

    @property
    def _believed(self) -> Latencies:
        return self._latencies if self._watchers.measured_at <= self._latencies.measured_at + AWAY else self._watchers

    @property
    def ahead(self) -> float:
        """How much later than it is begun a frame is seen, s: the median latency without the age of its sound."""
        summary = self._believed.summary()
        if summary is None or not self._ages:
            return 0.0
        age = sorted(self._ages)[len(self._ages) // 2]
        return min(MAX_AHEAD, max(0.0, summary["p50"] / MS_PER_S - age))

    def status(
        self, last: Frame | None, viewers: int, state: SourceState | None = SourceState.NONE, *, sounding: bool = False
    ) -> Status:
        """Return how the stage does; `last` is its newest frame. The frame rate counts from the status before.

        `state` is how the source is; None: as its samples tell. `sounding` says whether the stage has one.
        """
        (then, before), now, counters = self._counted, self._engine.clock.now(), self._engine.counters()
        self._counted = (now, counters.frames)
        level, heard = (last.level, last.heard) if last else (SILENCE_DB, None)
        listening = last.listening if last else Listening()
        found = listening.state if state is None else state
        if found is SourceState.LOST:  # what it said last is over
            level, heard, listening = SILENCE_DB, None, Listening(gate=listening.gate, gain=listening.gain)
        return Status(
            # JSON has no word for what is not finite, and a status must never end a connection.
            level=round(level, 1) if math.isfinite(level) else SILENCE_DB,
            heard={"name": heard.name, "similarity": round(heard.similarity, 3)}
            if heard is not None and math.isfinite(heard.similarity)
            else None,
            frame_rate=round((counters.frames - before) / (now - then), 1) if now > then else 0.0,
            viewers=viewers,
            dropped_seconds=round(counters.dropped_seconds, 3),
            latency=self._believed.summary(),
            known=round(last.known, 3) if last else 0.0,
            sounding=sounding,
            source=found,
            gate=round(listening.gate, 1),
            gain=round(listening.gain, 1),
            warnings=listening.warnings,
            channels=tuple(_meter(channel) for channel in listening.channels),
            taken=listening.taken,
            engine=self._engine.state,
        )


def _meter(channel: ChannelLevel) -> dict[str, Any]:
    """Return a channel's meter as it travels."""
    return {"level": round(channel.level, 1), "peak": round(channel.peak, 1), "clipped": channel.clipped}
