"""The instrument without a stage: a sound becomes one picture, or the frames that playing it live would have given."""

import math
from collections.abc import Iterator
from itertools import count

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.graphs import MIN_FRAMES
from clavilux.runtime.bundle.manifest import AudioSpec
from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.diffusion.frame_maker import latent_shape
from clavilux.runtime.diffusion.noise import draw
from clavilux.runtime.diffusion.noise_spectrum import coloured
from clavilux.runtime.frame import Frame
from clavilux.runtime.hearing.log_mel import log_mel_frames
from clavilux.runtime.hearing.pulse.tracker import PulseTracker
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.output.light_numbers import LightNumbers, Numbers, lit
from clavilux.runtime.pulse import PULSE_RATE
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.samples import Samples
from clavilux.runtime.sound.sound_file import Clip, Sound
from clavilux.runtime.sound.tape import Tape
from clavilux.runtime.sound.whole_sound import read_whole

MARGIN = 1.0  # s of a clip behind its first window, which the resampler looks into


def frames_in(samples: int, rate: int, frame_rate: float) -> int:
    """Return how many frames a sound of so many samples at `rate` Hz lasts; a part of one counts."""
    return math.ceil(samples / rate * frame_rate)


def render_frames(
    instrument: Instrument, sound: Sound, frame_rate: float, parameters: Parameters | None = None, *, first: int = 0
) -> Iterator[Frame]:
    """Play a sound on an instrument that nothing has been played on; yield frame k of time k / frame_rate.

    A frame knows the sound before its time and no more, as live; `heard_until` counts from the first sample, and no
    more of the sound is held than a frame needs. `parameters` hold for all frames; None: the bundle's. Frames begin
    with number `first`, on an instrument that has played those before it. Raises SoundError.
    """
    tape = Tape(sound)
    if first:
        tape.skip(_due(first - 1, frame_rate, sound.rate))
    for index in count(first):
        due = _due(index, frame_rate, sound.rate)
        if frames_in(tape.reach(due + 1), sound.rate, frame_rate) <= index:
            return
        fed = tape.taken
        if len(chunk := tape.take(due)):
            instrument.push(chunk, sound.rate, captured_at=fed / sound.rate)
        yield instrument.step(index / frame_rate, parameters)


def _due(index: int, frame_rate: float, rate: int) -> int:
    """Return up to which sample a frame knows the sound."""
    return round(index / frame_rate * rate)


def render_picture(instrument: Instrument, clip: Sound, parameters: Parameters | None = None) -> NDArray[np.uint8]:
    """Return the picture of a clip, uint8 [H, W, 3], as the reference makes it.

    The clip is resampled as libraries do it, its log-mel frames are normalised over all of it, and the first window of
    them is heard; a shorter clip is padded after that. For a bundle whose encoder was trained on windows after silence
    (`lead_in`) the clip comes after silence, and is normalised over its first window, as live. One that paints light is
    told of that window's brightest moment. Noise, steps, guidance and seed come from `parameters`; None: the bundle's.
    Raises SoundError.
    """
    parameters, bundle = parameters or instrument.defaults, instrument.bundle
    tokens = instrument.models.encoder.encode(_features(clip, bundle.audio))
    numbers = None if bundle.conditioning.light is None else light_of(_beginning(clip, bundle.audio.window_samples))
    return paint(instrument, tokens, parameters, numbers)


def paint(
    instrument: Instrument, tokens: NDArray[np.float32], parameters: Parameters, numbers: Numbers | None = None
) -> NDArray[np.uint8]:
    """Return the picture of audio tokens, float32 [tokens, width] without BOS, as uint8 [H, W, 3].

    `numbers` are those of its light, float32 [9], for a bundle that paints light.
    """
    shape, cached = latent_shape(instrument.bundle, parameters), instrument.bundle.conditioning
    prompt = np.concatenate([cached.bos[None], tokens])[None]
    if cached.light is None:
        numbers = None
    elif numbers is not None:
        prompt = lit(prompt, numbers, cached.light)

    def noise(step: int) -> NDArray[np.float32]:
        white = draw(shape, parameters.seed, 0, step)
        return white if numbers is None else coloured(white, numbers)

    painted = instrument.models.denoiser.denoise(prompt, noise, parameters.steps, scale=parameters.guidance)
    return instrument.models.decoder.decode(painted)


def light_of(samples: Samples) -> Numbers:
    """Return the numbers of the light at the brightest moment of a sound at 16 kHz."""
    light = LightNumbers()
    moments = [light.advance([pulse], 1 / PULSE_RATE) for pulse in PulseTracker().push(samples)]
    return max(moments, key=lambda numbers: float(numbers[-1]), default=light.advance([], 0.0))


def _features(clip: Sound, audio: AudioSpec) -> NDArray[np.float32]:
    """Return the log-mel frames of the clip that the encoder's graph normalises over, float32 [frames, 80]."""
    if audio.lead_in == "nothing":
        frames = log_mel_frames(read_whole(clip))
        if len(frames) >= MIN_FRAMES:
            return frames
    samples = _beginning(clip, audio.window_samples)
    return log_mel_frames([np.pad(samples, (audio.window_samples - len(samples), 0))])


def _beginning(clip: Sound, count: int) -> Samples:
    """Return the first `count` samples at 16 kHz, or all where there are fewer; little more of the clip is read."""
    longest = math.ceil((count / SAMPLE_RATE + MARGIN) * clip.rate)
    begun = Clip(Tape(clip).take(longest), clip.rate)
    return np.concatenate([np.zeros(0, np.float32), *read_whole(begun)])[:count]
