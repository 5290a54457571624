"""The listener: sound goes into a ring, and on a grid of hops the newest window becomes tokens. No I/O, no clock.

The grid is fixed in the stream itself, so that the same sound gives the same tokens however it was cut; live, unless a
hop is asked for, it is one of single log-mel frames, and a hop takes the newest sound there is.
"""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.graphs import MIN_FRAMES
from clavilux.runtime.bundle.manifest import AudioSpec
from clavilux.runtime.clock import Stopwatch
from clavilux.runtime.control.parameters import RANGES, Parameters
from clavilux.runtime.frame import Listening, SourceState
from clavilux.runtime.hearing.audio_encoder import AudioEncoder
from clavilux.runtime.hearing.energy_gate import EnergyGate
from clavilux.runtime.hearing.input_gain import AutomaticGain, Gain
from clavilux.runtime.hearing.input_monitor import InputMonitor
from clavilux.runtime.hearing.log_mel import LogMel
from clavilux.runtime.hearing.loudness import Loudness, decibels
from clavilux.runtime.hearing.sound_event import SoundEvent
from clavilux.runtime.pulse import SILENCE_DB
from clavilux.runtime.sound.format import FRAME_STEP, SAMPLE_RATE, STEP_SECONDS, frame_count
from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.sound.window import SlidingWindow

log = logging.getLogger("clavilux.listener")

Tokens = NDArray[np.float32]

MAX_HOP = round(RANGES["hop"].high * SAMPLE_RATE)  # samples
STALLED = 0.5  # s without new sound, after which it counts as silence by the clock
OLD = 2.0  # s since its capture, after which sound came while nobody listened, and not late
NO_WORK = {"queue": 0.0, "features": 0.0, "encode": 0.0}


@dataclass(frozen=True)
class HopGrid:
    """Grid of hops, where the parameter `hop` does not say."""

    samples: int  # at 16 kHz, between two hops
    follows: bool = False  # whether a hop takes the newest sound, instead of what fills hops of the stream


@dataclass(frozen=True)
class Hop:
    """One hop: the window that ends there, heard."""

    end: int = 0  # sample at 16 kHz where its window ends
    seconds: float = 0.0  # since the hop before
    level: float = SILENCE_DB  # dBFS, of what is new in it, after the high-pass
    threshold: float = SILENCE_DB  # dBFS from which the gate takes it for sound
    is_quiet: bool = True  # whether there was none for longer than a pause
    is_stalled: bool = False  # whether no sound comes any more; then it is silence by the clock
    lasted: float = 0.0  # s that the newest sound event has lasted,
    over_for: float = math.inf  # and s since it was over
    heard_until: float | None = None  # capture time of its newest sample, s
    tokens: Tokens | None = None  # float32 [tokens, width]; None: not encoded, or not finite
    is_silent: bool = False  # for longer than the parameter `hold`
    stages: Mapping[str, float] = field(default_factory=lambda: NO_WORK)  # seconds of queue, features and encode


class Listener:
    """Owns the way from the sliding window to the audio encoder."""

    def __init__(self, audio: AudioSpec, encoder: AudioEncoder) -> None:
        self.hops = 0  # windows heard
        self._audio = audio
        self._encoder = encoder
        # A window may have ended almost a hop ago when its turn comes. Chunks come in pieces, which are shorter.
        kept = audio.window_samples + max(MAX_HOP, audio.hop_samples)
        self._window = SlidingWindow(kept)
        self._log_mel = LogMel(kept // FRAME_STEP)
        self._loudness = Loudness(kept // FRAME_STEP)
        self._gate = EnergyGate()
        self._event = SoundEvent()
        self._monitor = InputMonitor()
        self._automatic = AutomaticGain()
        self._wanted = 0.0  # dB, the performer's gain
        self._gains = (Gain(), Gain())  # the performer's, and the automatic one
        self._end = 0  # sample at 16 kHz where the last hop ended
        self._arrived = (0, -math.inf)  # how many samples had been heard, and when that was new, s of the clock
        self._told = -math.inf  # when the last hop was told, s
        self._listening = 0.0  # seconds spent on resampling and log-mel since the last hop

    @property
    def gain(self) -> float:
        """The gain that new sound gets, both of its parts, in dB."""
        return self._wanted + self._automatic.gain

    def account(self, hop: Hop) -> Listening:
        """Return how the source is doing, as far as its samples and its last hop tell."""
        channels = () if hop.is_stalled else self._monitor.channels
        if hop.is_stalled:
            state = SourceState.STALLED
        elif self.hops == 0:
            state = SourceState.NONE
        else:
            state = SourceState.QUIET if hop.is_quiet else SourceState.PLAYING
        warnings = self._monitor.warnings(channels)
        return Listening(state, hop.threshold, self.gain, warnings, channels, self._window.taken)

    @property
    def heard_seconds(self) -> float:
        """How much sound has come in since the start, in seconds."""
        return self._window.heard / SAMPLE_RATE

    def push(self, sound: Samples, rate: int, captured_at: float) -> Iterator[Samples]:
        """Take checked sound, float32 [n, channels] at `rate` Hz; its first sample was captured at `captured_at` s.

        Yield what became ready of it at 16 kHz, float32 [m], a second at a time; take all, or some is not heard.
        """
        for start in range(0, len(sound), rate):
            since = time.perf_counter()
            before = self._window.heard
            self._monitor.push(sound[start : start + rate], rate)
            taken = self._window.taken
            self._window.push(sound[start : start + rate], rate, captured_at + start / rate)
            if self._window.taken != taken:
                _tell_taken(self._window.taken, sound.shape[1])
            ready = self._extend(before)
            self._listening += time.perf_counter() - since
            yield ready

    def finish(self) -> Samples:
        """End the present source: the last samples leave the resampler, float32 [m] at 16 kHz."""
        before = self._window.heard
        self._window.finish()
        return self._extend(before)

    def pause(self, seconds: float) -> tuple[Samples, int]:
        """End the present source; nothing was heard for so long after it, which is silence in the window.

        Return its last samples, as `finish` does, and how many of silence came after them: not more than a window has.
        """
        ready = self.finish()
        silence = min(round(seconds / STEP_SECONDS) * FRAME_STEP, self._audio.window_samples)
        before = self._window.heard
        self._window.write_silence(silence)
        self._extend(before)
        return ready, silence

    def captured_at(self, index: int) -> float | None:
        """Return when sample `index` at 16 kHz was captured, in seconds; None before any sound."""
        return self._window.captured_at(index)

    def encode_hop(self, now: float, parameters: Parameters, grid: HopGrid) -> Hop | None:
        """Return the newest hop that is due at `now` seconds, encoded unless the gate is shut; None: none is due.

        Where no sound comes any more, one that says so is due each time.
        """
        self._wanted = parameters.gain
        stalled, since = self._stalled(now), max(0.0, now - self._told)
        end = self._due(parameters.hop, grid)
        if end <= self._end:
            return self._wait(now, stalled, since, parameters) if stalled else None
        watch = Stopwatch()
        first, seconds = self._end // FRAME_STEP, (end - self._end) / SAMPLE_RATE
        powers = self._loudness.read(first, end // FRAME_STEP)
        self._gate.push(powers, parameters.gate, follows=parameters.gate_follows)
        self._event.push(powers)
        self._automatic.follow(powers, sounds=self._gate.is_open, enabled=parameters.gain_follows)
        level = decibels(float(powers.mean())) if len(powers) else SILENCE_DB
        self._monitor.note(level, seconds, sounds=self._gate.is_open)
        captured = self._window.captured_at(end - 1)
        stages = NO_WORK | {"queue": 0.0 if captured is None else max(0.0, now - captured)}
        tokens = None
        if self._gate.listens:
            tokens = self._encode(end, watch)
            stages |= watch.stages
            stages["features"] += self._listening
        self._listening = 0.0
        self._end = end
        self._told = now
        self.hops += 1
        gate = self._gate
        return Hop(
            end, seconds, level, gate.threshold, gate.is_quiet, lasted=self._event.lasted,
            over_for=self._event.over_for, heard_until=captured, tokens=tokens,
            is_silent=gate.is_silent(parameters.hold), stages=stages,
        )  # fmt: skip

    def _stalled(self, now: float) -> float:
        """Return for how many seconds no sound has come; 0 up to `STALLED` of them, and before any."""
        heard, when = self._arrived
        if self._window.heard != heard:
            captured = self._window.captured_at(self._window.heard - 1)
            came = now if captured is None or now - captured <= OLD else captured
            self._arrived = (self._window.heard, came)
            return 0.0
        return now - when if heard and now - when > STALLED else 0.0

    def _wait(self, now: float, stalled: float, since: float, parameters: Parameters) -> Hop:
        """Return the hop of a source that has stalled."""
        self._told = now
        return Hop(
            self._end, since, threshold=self._gate.threshold, is_stalled=True,
            lasted=self._event.lasted, over_for=self._event.over_for + stalled,
            heard_until=self._window.captured_at(self._end - 1),
            is_silent=self._gate.is_silent(parameters.hold, stalled),
        )  # fmt: skip

    def _extend(self, before: int) -> Samples:
        """Turn what is new in the window into log-mel frames, with the gain on it, and return it."""
        own, automatic = self._gains
        ready = own.apply(self._window.read(before, self._window.heard), self._wanted)
        self._loudness.push(ready)  # the gate's measure, which the automatic gain must not move
        louder = automatic.apply(ready, self._automatic.gain)
        self._log_mel.push(louder)
        return louder

    def _due(self, seconds: float, grid: HopGrid) -> int:
        """Return the sample at 16 kHz where the newest window that is due ends."""
        heard, asked = self._window.heard, round(seconds / STEP_SECONDS) * FRAME_STEP
        if asked or not grid.follows:
            hop = asked or grid.samples
            return heard // hop * hop
        newest = heard // FRAME_STEP * FRAME_STEP
        return newest if newest >= self._end + grid.samples else self._end

    def _encode(self, end: int, watch: Stopwatch) -> Tokens | None:
        """Return the tokens of the window that ends at sample `end`; None when they are not finite."""
        first = (end - self._audio.window_samples) // FRAME_STEP
        stop = first + frame_count(self._audio.window_samples)
        if self._audio.lead_in == "nothing" and stop >= MIN_FRAMES:
            first = max(first, 0)
        features = self._log_mel.read(first, stop)
        watch.lap("features")
        tokens = self._encoder.encode(features)
        watch.lap("encode")
        if not np.isfinite(tokens).all():
            log.error("the encoder gave values that are not finite; the picture holds what it had")
            return None
        return tokens


def _tell_taken(taken: int | None, channels: int) -> None:
    """Log which channels are heard from now on."""
    if taken is None:
        log.info("the mean of %d channels is heard", channels)
    else:
        log.info("channel %d of %d is heard alone, for the mean would lose it", taken, channels)
