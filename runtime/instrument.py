"""The whole instrument as a state machine without I/O, threads or a clock of its own.

    instrument = open_instrument("runtime/bundles/lumia")
    instrument.hear(samples, 48_000, captured_at=0.0)
    frame = instrument.step(now=0.1)

The same bundle, sound, parameters and times of `step` give bit-identical frames, however the sound was cut: what is
heard is looked at on a grid of hops that is fixed in the stream itself (live, unless a hop is asked for, on one of
single log-mel frames).
"""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER, MIN_FRAMES
from clavilux.runtime.conditioning.conditioner import QUIETEST, Conditioner, EnergyGate, decibels
from clavilux.runtime.control.parameters import RANGES, Parameters, defaults_for, ranges_for
from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser, Guide, Latents
from clavilux.runtime.diffusion.noise import draw, walk
from clavilux.runtime.diffusion.pipeline import Asked, Painter, open_painter
from clavilux.runtime.diffusion.schedule import Schedule
from clavilux.runtime.diffusion.stream_batch import StreamPainter
from clavilux.runtime.frame import Frame, Heard
from clavilux.runtime.hearing.audio_encoder import AudioEncoder
from clavilux.runtime.hearing.log_mel import LogMel
from clavilux.runtime.placement.autotune import open_graphs
from clavilux.runtime.sound.format import FRAME_STEP, SAMPLE_RATE, STEP_SECONDS, frame_count
from clavilux.runtime.sound.window import SlidingWindow, as_sound

log = logging.getLogger("clavilux.instrument")

DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "lumia"
LONGEST_HOP = round(RANGES["hop"].high * SAMPLE_RATE)  # samples


@dataclass(frozen=True)
class Models:
    """The three graphs, loaded."""

    encoder: AudioEncoder
    denoiser: Denoiser
    decoder: Decoder

    @property
    def provider(self) -> str:
        """What really runs them, in the words of its libraries, for example "CPUExecutionProvider"."""
        sessions = (self.encoder.session, self.denoiser.session, self.decoder.session)
        return ", ".join(dict.fromkeys(session.provider for session in sessions))


@dataclass
class _Hop:
    """What the newest look at the sound gave."""

    end: int = 0  # sample at 16 kHz where its window ends
    level: float = QUIETEST  # dBFS
    heard: Heard | None = None
    heard_until: float | None = None


@dataclass(frozen=True)
class _Painted:
    """What decides a picture."""

    prompt: NDArray[np.float32]
    knobs: Parameters
    walked: float
    heard_until: float | None  # capture time of the newest sample in the prompt, s

    def same(self, other: "_Painted") -> bool:
        """Whether this gives the picture that `other` gave: all is equal, and nothing of the last picture returns."""
        noise = self.knobs.noise
        moved = noise == "fresh" or (noise == "walk" and self.walked != other.walked)
        still = not moved and self.knobs.feedback == 0
        return still and self.knobs == other.knobs and np.array_equal(self.prompt, other.prompt)


class Stopwatch:
    """Seconds of work per stage."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Book the time since the last lap on `stage`."""
        now = time.perf_counter()
        self.stages[stage] = now - self._since
        self._since = now


class Instrument:
    """Owns the stages from the sliding window to the decoder, and the state between frames."""

    def __init__(self, bundle: Bundle, models: Models) -> None:
        self.bundle = bundle
        self.models = models
        self.ranges = ranges_for(bundle)
        self.defaults = defaults_for(bundle)
        self.parameters = self.defaults
        self.hops = 0  # windows looked at
        self.hop_samples = bundle.audio.hop_samples  # between two looks, where the parameter `hop` does not say
        self.follows = False  # whether a look then takes the newest sound, instead of what fills hops of the stream
        audio = bundle.audio
        # A window may have ended almost a hop ago when it is looked at. Chunks come in pieces, which are shorter.
        kept = audio.window_samples + max(LONGEST_HOP, audio.hop_samples)
        self._window = SlidingWindow(kept)
        self._log_mel = LogMel(kept // FRAME_STEP)
        self._concepts = ConceptIndex(bundle.concepts, bundle.conditioning.concepts)
        self._conditioner = Conditioner(bundle.conditioning.bos, bundle.conditioning.idle)
        self._gate = EnergyGate()
        self._hop = _Hop()
        self._hop_stages = {"queue": 0.0, "features": 0.0, "encode": 0.0}
        self._listening = 0.0  # seconds spent on resampling and log-mel since the last hop
        self._frames = 0
        self._time: float | None = None  # of the last frame
        self._walked = 0.0  # draws passed on the walk through noise
        self._whole = open_painter(models.denoiser, models.decoder)
        self.painter: Painter = self._whole  # or with `stream_batch` another one
        self._painted: tuple[_Painted, ...] = ()  # what the last picture was made of, then those on their way
        self._picture = np.zeros((bundle.picture.height, bundle.picture.width, 3), np.uint8)

    @property
    def heard_seconds(self) -> float:
        """How much sound has come in since the start, in seconds."""
        return self._window.heard / SAMPLE_RATE

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Shape of the latents, [1, C, h, w], of the size that the parameters ask for."""
        latents, picture, knobs = self.bundle.latents, self.bundle.picture, self.parameters
        if self.bundle.sizes is None:
            return 1, latents.channels, latents.height, latents.width
        factor = picture.height // latents.height
        return 1, latents.channels, knobs.height // factor, knobs.width // factor

    def hear(self, samples: NDArray[np.generic], rate: int, captured_at: float) -> None:
        """Take a chunk, [n] or [n, channels] at `rate` Hz, whose first sample was captured at `captured_at` seconds.

        Raises SoundError as `clavilux.runtime.sound.window.as_sound` does; then nothing is taken.
        """
        since = time.perf_counter()
        sound = as_sound(samples, rate)
        for start in range(0, len(sound), rate):
            before = self._window.heard
            self._window.push(sound[start : start + rate], rate, captured_at + start / rate)
            self._listen(before)
        self._listening += time.perf_counter() - since

    def finish(self) -> None:
        """End the present source: the last samples leave the resampler."""
        before = self._window.heard
        self._window.finish()
        self._listen(before)

    def step(self, now: float) -> Frame:
        """Make the frame of time `now`, in seconds, from all sound heard so far.

        Times of successive calls must not fall. The sequence counts calls; a frozen picture is sent again.
        """
        watch = Stopwatch()
        end = self._due()
        if end > self._hop.end:
            self._look(end, now, watch)
        seconds = 0.0 if self._time is None else max(0.0, now - self._time)
        self._time = now
        stages = self._hop_stages | self._paint(seconds)
        picture = np.zeros_like(self._picture) if self.parameters.blackout else self._picture
        until = self._painted[0].heard_until
        frame = Frame(self._frames, picture, now, until, self._hop.level, self._hop.heard, stages)
        self._frames += 1
        return frame

    def _due(self) -> int:
        """Return the sample at 16 kHz where the newest window that is due ends."""
        heard, asked = self._window.heard, round(self.parameters.hop / STEP_SECONDS) * FRAME_STEP
        if asked or not self.follows:
            hop = asked or self.hop_samples
            return heard // hop * hop
        newest = heard // FRAME_STEP * FRAME_STEP
        return newest if newest >= self._hop.end + self.hop_samples else self._hop.end

    def _listen(self, before: int) -> None:
        """Turn what is new in the window into log-mel frames."""
        self._log_mel.push(self._window.read(before, self._window.heard))

    def _look(self, end: int, now: float, watch: Stopwatch) -> None:
        """Look at the window that ends at sample `end`: gate, encode, aim."""
        hop, audio, knobs = self._hop, self.bundle.audio, self.parameters
        fresh = self._window.read(max(hop.end, end - audio.window_samples), end)
        level = decibels(fresh)
        self._gate.pass_hop(level, (end - hop.end) / SAMPLE_RATE, knobs.gate)
        captured = self._window.captured_at(end - 1)
        heard = hop.heard
        self._hop_stages = {"queue": 0.0 if captured is None else max(0.0, now - captured)}
        if self._gate.listens:
            heard = self._encode(end, watch)
        else:
            self._hop_stages |= {"features": 0.0, "encode": 0.0}
        self._listening = 0.0
        if self._gate.is_silent(knobs.hold):
            self._conditioner.rest()
            heard = None
        self._hop = _Hop(end, level, heard, captured)
        self.hops += 1

    def _encode(self, end: int, watch: Stopwatch) -> Heard | None:
        audio = self.bundle.audio
        first = (end - audio.window_samples) // FRAME_STEP
        stop = first + frame_count(audio.window_samples)
        if audio.lead_in == "nothing" and stop >= MIN_FRAMES:
            first = max(first, 0)
        features = self._log_mel.read(first, stop)
        watch.lap("features")
        tokens = self.models.encoder.encode(features)
        watch.lap("encode")
        self._hop_stages |= watch.stages
        self._hop_stages["features"] += self._listening
        if not np.isfinite(tokens).all():
            log.error("the encoder gave values that are not finite; the picture holds what it had")
            return self._hop.heard
        self._conditioner.aim(tokens)
        return self._concepts.nearest(tokens)

    def _paint(self, seconds: float) -> dict[str, float]:
        """Make the next picture, unless it would not be seen; return the seconds each stage took."""
        knobs, watch = self.parameters, Stopwatch()
        if self._painted and (knobs.freeze or knobs.blackout):
            self._painted = self._up_to_date(self._painted[:1])
            if isinstance(self.painter, StreamPainter):
                self.painter.flush()
            return {"condition": 0.0, "denoise": 0.0, "decode": 0.0}
        self._walked += seconds * knobs.walk
        prompt = self._conditioner.advance(seconds, knobs.glide, knobs.drift)
        asked = _Painted(prompt, knobs, self._walked, self._hop.heard_until)
        if self._painted and all(asked.same(one) for one in self._painted):
            self._painted = self._up_to_date(self._painted)
            watch.lap("condition")
            return watch.stages | {"denoise": 0.0, "decode": 0.0}
        watch.lap("condition")
        shape = self.latent_shape

        def noise(step: int) -> Latents:
            return self._noise(shape, step)

        stays = self._choose_painter(streams=knobs.stream_batch and knobs.steps > 1)
        feedback = knobs.feedback if stays else 0.0  # latents that another painter kept may be minutes old
        self._picture = self.painter.paint(Asked(prompt, noise, shape, knobs.steps, feedback, knobs.guidance))
        self._painted = (*self._painted, asked)[-1 - self.painter.delay :]
        return watch.stages | self.painter.stages

    def _up_to_date(self, painted: tuple[_Painted, ...]) -> tuple[_Painted, ...]:
        """Return these as heard until now: with the newest sound they would be the same."""
        return tuple(replace(one, heard_until=self._hop.heard_until) for one in painted)

    def _choose_painter(self, *, streams: bool) -> bool:
        """Take the painter for this way; return whether it made the last picture, too."""
        if streams == isinstance(self.painter, StreamPainter):
            return True
        self.painter = StreamPainter(self.models.denoiser, self.models.decoder) if streams else self._whole
        return False

    def _noise(self, shape: tuple[int, ...], step: int) -> Latents:
        knobs = self.parameters
        if knobs.noise == "walk":
            return walk(shape, knobs.seed, self._walked, step)
        return draw(shape, knobs.seed, self._frames if knobs.noise == "fresh" else 0, step)


class ConceptIndex:
    """The bundle's named concepts, for saying in words what is heard."""

    def __init__(self, names: tuple[str, ...], embeddings: NDArray[np.float32] | None) -> None:
        """`embeddings` are float32 [concepts, tokens, width], one for each name; None when there are no names."""
        self._names = names
        self._units = None if embeddings is None else _units(embeddings)

    def nearest(self, tokens: NDArray[np.float32]) -> Heard | None:
        """Return the concept with the highest cosine to `tokens`, float32 [tokens, width], averaged over tokens."""
        if self._units is None:
            return None
        similarities = np.einsum("knd,nd->k", self._units, _units(tokens)) / len(tokens)
        best = int(np.argmax(similarities))
        return Heard(self._names[best], float(similarities[best]))


def open_instrument(bundle: Path | str | None = None, *, device: str = "cpu", threads: int = 0) -> Instrument:
    """Open a bundle (None: the default one) and load its graphs on `device`, "auto" for the fastest ones.

    Raises BundleError or ProviderError.
    """
    opened = Bundle.open(bundle or DEFAULT_BUNDLE)
    sessions = open_graphs(opened, device, threads)
    encoder, denoiser, decoder = (sessions[name] for name in (AUDIO_ENCODER, DENOISER, DECODER))
    guide = None if opened.guidance.kind == "none" else Guide(opened.guidance, opened.conditioning.negative)
    models = Models(AudioEncoder(encoder), Denoiser(denoiser, Schedule(opened.schedule), guide), Decoder(decoder))
    return Instrument(opened, models)


def _units(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = tokens / np.maximum(np.linalg.norm(tokens, axis=-1, keepdims=True), 1e-12)
    return unit
