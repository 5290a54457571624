"""The whole instrument as a state machine without I/O, threads or a clock of its own.

    instrument = open_instrument("runtime/bundles/lumia")
    instrument.hear(samples, 48_000, captured_at=0.0)
    frame = instrument.step(now=0.1)

The same bundle, sound, parameters and times of `step` give bit-identical frames, however the sound was cut.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.clock import Stopwatch
from clavilux.runtime.conditioning.concepts import ConceptIndex
from clavilux.runtime.conditioning.conditioner import Conditioner
from clavilux.runtime.conditioning.evidence import Evidence, Moment
from clavilux.runtime.control.modulation import Modulator
from clavilux.runtime.control.parameters import Parameters, defaults_for, ranges_for
from clavilux.runtime.diffusion.frame_maker import NOT_PAINTED, FrameMaker, NoisePosition
from clavilux.runtime.diffusion.pipeline import Pipeline
from clavilux.runtime.frame import Frame
from clavilux.runtime.hearing.listener import Hop, HopGrid, Listener
from clavilux.runtime.hearing.pulse.gaps import Gaps
from clavilux.runtime.hearing.pulse.tracker import PulseTracker
from clavilux.runtime.models import Models
from clavilux.runtime.output.light_numbers import LightNumbers, lit
from clavilux.runtime.pulse import PULSE_STEP, Pulse
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.samples import Samples, as_sound, checked_time


@dataclass(frozen=True)
class Position:
    """Where an instrument is on its way, so that another one with the same bundle goes on from there."""

    frames: int = 0  # made so far: the sequence of the next one
    noise: NoisePosition = field(default_factory=NoisePosition)


class Instrument:
    """Sound in, pictures out: a listener, a conditioner and a frame maker, in this order."""

    def __init__(self, bundle: Bundle, models: Models) -> None:
        self.bundle = bundle
        self.models = models
        self.ranges = ranges_for(bundle)
        self.defaults = defaults_for(bundle)
        self._grid = HopGrid(bundle.audio.hop_samples)
        self._listener = Listener(bundle.audio, models.encoder)
        cached = bundle.conditioning
        self._concepts = ConceptIndex(bundle.concepts, cached.concepts, cached.idle[None, 1:])
        self._evidence = Evidence(bundle.evidence)
        self._gaps = Gaps()
        self._tracker = PulseTracker()
        self._modulator = Modulator()
        self._pulses: list[Pulse] = []  # readings since the last frame
        self._conditioner = Conditioner(cached.bos, cached.idle)
        self._light = LightNumbers()
        self._maker = FrameMaker(bundle, models.denoiser, models.decoder)
        self._hop = Hop()
        self._tokens: NDArray[np.float32] | None = None  # of the last hop that was encoded
        self._frames = 0
        self._time: float | None = None  # of the last frame

    @property
    def hops(self) -> int:
        """How many windows of sound have been heard."""
        return self._listener.hops

    @property
    def heard_seconds(self) -> float:
        """How much sound has come in since the start, in seconds."""
        return self._listener.heard_seconds

    @property
    def gain(self) -> float:
        """The gain that new sound gets, in dB."""
        return self._listener.gain

    @property
    def position(self) -> Position:
        """Where it is after the last frame."""
        return Position(self._frames, self._maker.position)

    def resume(self, position: Position) -> None:
        """Go on from where another instrument was; what that one had heard is not known here."""
        self._frames = position.frames
        self._maker.resume(position.noise)

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline that makes the pictures at present."""
        return self._maker.pipeline

    def hear(self, samples: NDArray[np.generic], rate: int, captured_at: float) -> None:
        """Take a chunk, [n] or [n, channels] at `rate` Hz, whose first sample was captured at `captured_at` seconds.

        Raises SoundError as `clavilux.runtime.sound.samples.as_sound` does; then nothing is taken.
        """
        self.push(as_sound(samples, rate), rate, checked_time(captured_at))

    def push(self, sound: Samples, rate: int, captured_at: float) -> None:
        """Take a chunk as `hear` does that `as_sound` has checked, float32 [n, channels]."""
        gap = self._gaps.before(captured_at, len(sound) / rate)
        if gap:
            last, silence = self._listener.pause(gap)
            self._feel(last)
            self._tracker.pause(gap, counted=silence // PULSE_STEP)
        for ready in self._listener.push(sound, rate, captured_at):
            self._feel(ready)

    def finish(self) -> None:
        """End the present source: the last samples leave the resampler."""
        self._feel(self._listener.finish())

    def tap(self, at: float) -> None:
        """Take a beat that somebody has tapped at `at` seconds of the clock of `hear`; it corrects the one heard."""
        heard = round(self._listener.heard_seconds * SAMPLE_RATE)
        newest = self._listener.captured_at(heard)
        if newest is not None:
            self._tracker.tap(round((heard + (at - newest) * SAMPLE_RATE) / PULSE_STEP) - 1)

    def step(
        self, now: float, parameters: Parameters | None = None, grid: HopGrid | None = None, ahead: float = 0.0
    ) -> Frame:
        """Make the frame of time `now`, in seconds, from all sound heard so far.

        `parameters` and `grid` hold for this frame; None: the bundle's own. It will be seen `ahead` seconds later: what
        is tied to the beat is moved for then. Times of successive calls must not fall. The sequence counts calls; a
        frozen picture is sent again. Raises ProviderError when a graph does not run.
        """
        parameters = parameters or self.defaults
        if (hop := self._listener.encode_hop(now, parameters, grid or self._grid)) is not None:
            self._take(hop)
        moved = self._move(parameters, now, ahead)
        seconds = 0.0 if self._time is None else max(0.0, now - self._time)
        self._time = now
        stages = {**self._hop.stages, **self._paint(seconds, moved)}
        dark = parameters.blackout or parameters.panic
        picture = np.zeros_like(self._maker.picture) if dark else self._maker.picture
        frame = Frame(
            self._frames, picture, now, self._maker.heard_until, self._hop.level, self._evidence.heard, stages,
            pulses=tuple(self._pulses), known=self._evidence.known, values=moved.values(),
            listening=self._listener.account(self._hop),
        )  # fmt: skip
        self._pulses.clear()
        self._frames += 1
        return frame

    def _feel(self, samples: Samples) -> None:
        """Take readings of what is new at 16 kHz; routes take them when the next frame is made."""
        self._pulses += self._tracker.push(samples)

    def _move(self, parameters: Parameters, now: float, ahead: float) -> Parameters:
        """Return the parameters of this frame, as the sound has moved them."""
        for pulse in self._pulses:
            told = self._listener.captured_at((pulse.index + 1) * PULSE_STEP)
            self._modulator.feel(pulse, parameters, now if told is None else told)
        return self._modulator.move(parameters, now, known=self._evidence.known, ahead=ahead, ranges=self.ranges)

    def _take(self, hop: Hop) -> None:
        """Set out for what a hop heard, if there is evidence for it, or for the idle embedding."""
        self._hop = hop
        if hop.is_silent:
            self._conditioner.return_to_idle()
            self._evidence.forget(hop.seconds)
        elif hop.tokens is not None:  # in a short pause what was heard is held, and how sure that was
            self._follow(hop, hop.tokens)
        elif hop.is_stalled and self._tokens is not None:  # a word that ended with its source
            self._follow(hop, self._tokens)

    def _follow(self, hop: Hop, tokens: NDArray[np.float32]) -> None:
        """Set out for the tokens of a hop where their name counts, or where the bundle has no names to count."""
        self._tokens = tokens
        sounding = 0.0 if hop.is_stalled else hop.seconds
        moment = Moment(self._concepts.nearest(tokens), hop.seconds, sounding, hop.lasted, hop.over_for)
        counts = self._evidence.advance(moment)
        if counts or not self._concepts.has_names:
            self._conditioner.set_target(tokens, late=self._evidence.late)
        elif self._evidence.heard is None:
            self._conditioner.return_to_idle(resting=False)

    def _paint(self, seconds: float, parameters: Parameters) -> dict[str, float]:
        """Make the next picture, unless it would not be seen; return the seconds each stage took."""
        until = self._hop.heard_until
        if parameters.panic:
            self._maker.forget()
        if self._maker.has_painted and (parameters.freeze or parameters.blackout or parameters.panic):
            self._maker.hold(until)
            return {"condition": 0.0, **NOT_PAINTED}
        watch = Stopwatch()
        prompt = self._conditioner.advance(seconds, parameters.glide, parameters.drift)
        light = None
        if self.bundle.conditioning.light is not None:
            light = self._light.advance(self._pulses, seconds)
            prompt = lit(prompt, light, self.bundle.conditioning.light)
        watch.lap("condition")
        painted = self._maker.make(prompt, parameters, light=light, sequence=self._frames, seconds=seconds, heard=until)
        return watch.stages | painted
