"""The listener: sound goes into a ring, and on a grid of hops the newest window becomes tokens. No I/O, no clock.

The grid is fixed in the stream itself, so that the same sound gives the same tokens however it was cut; live, unless a
hop is asked for, it is one of single log-mel frames, and a hop takes the newest sound there is.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.graphs import MIN_FRAMES
from clavilux.runtime.bundle.manifest import AudioSpec
from clavilux.runtime.clock import Stopwatch
from clavilux.runtime.control.parameters import RANGES, Parameters
from clavilux.runtime.hearing.audio_encoder import AudioEncoder
from clavilux.runtime.hearing.energy_gate import MIN_LEVEL, EnergyGate, decibels
from clavilux.runtime.hearing.log_mel import LogMel
from clavilux.runtime.sound.format import FRAME_STEP, SAMPLE_RATE, STEP_SECONDS, frame_count
from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.sound.window import SlidingWindow

log = logging.getLogger("clavilux.listener")

Tokens = NDArray[np.float32]

MAX_HOP = round(RANGES["hop"].high * SAMPLE_RATE)  # samples
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
    level: float = MIN_LEVEL  # dBFS, of what is new in it
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
        self._gate = EnergyGate()
        self._end = 0  # sample at 16 kHz where the last hop ended
        self._listening = 0.0  # seconds spent on resampling and log-mel since the last hop

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
            self._window.push(sound[start : start + rate], rate, captured_at + start / rate)
            ready = self._extend(before)
            self._listening += time.perf_counter() - since
            yield ready

    def finish(self) -> Samples:
        """End the present source: the last samples leave the resampler, float32 [m] at 16 kHz."""
        before = self._window.heard
        self._window.finish()
        return self._extend(before)

    def captured_at(self, index: int) -> float | None:
        """Return when sample `index` at 16 kHz was captured, in seconds; None before any sound."""
        return self._window.captured_at(index)

    def encode_hop(self, now: float, parameters: Parameters, grid: HopGrid) -> Hop | None:
        """Return the newest hop that is due at `now` seconds, encoded unless the gate is shut; None: none is due."""
        end = self._due(parameters.hop, grid)
        if end <= self._end:
            return None
        watch = Stopwatch()
        level = decibels(self._window.read(max(self._end, end - self._audio.window_samples), end))
        self._gate.pass_hop(level, (end - self._end) / SAMPLE_RATE, parameters.gate)
        captured = self._window.captured_at(end - 1)
        stages = NO_WORK | {"queue": 0.0 if captured is None else max(0.0, now - captured)}
        tokens = None
        if self._gate.listens:
            tokens = self._encode(end, watch)
            stages |= watch.stages
            stages["features"] += self._listening
        self._listening = 0.0
        self._end = end
        self.hops += 1
        return Hop(end, level, captured, tokens, self._gate.is_silent(parameters.hold), stages)

    def _extend(self, before: int) -> Samples:
        """Turn what is new in the window into log-mel frames, and return it."""
        ready = self._window.read(before, self._window.heard)
        self._log_mel.push(ready)
        return ready

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
