"""The frame maker: a prompt becomes the next picture, unless it would be the one that is shown already.

Owns what lies between pictures: the walk and the journey through noise, the currents' time, the pipeline with its last
latents, and what the pictures on their way are made of. No I/O, no clock.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.control.parameters import Parameters, Value
from clavilux.runtime.diffusion.choose import open_pipeline
from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser, Latents
from clavilux.runtime.diffusion.journey import START, Journey, carry
from clavilux.runtime.diffusion.motion import motion_of
from clavilux.runtime.diffusion.noise import draw, walk
from clavilux.runtime.diffusion.noise_spectrum import coloured
from clavilux.runtime.diffusion.pipeline import Picture, PictureRequest, Pipeline
from clavilux.runtime.diffusion.stream_batch import StreamBatchPipeline
from clavilux.runtime.errors import ProviderError

MAKING = ("noise", "walk", "feedback", "seed", "steps", "stream_batch", "guidance", "height", "width")
"""Parameters that change what a picture is made of."""
NOT_PAINTED = {"denoise": 0.0, "decode": 0.0}


@dataclass(frozen=True)
class NoisePosition:
    """Where the noise is: all of what lies between pictures that its seed does not tell."""

    walked: float = 0.0  # draws passed on the walk through noise
    played: float = 0.0  # s of pictures, by which the currents sway
    journey: Journey = START


@dataclass(frozen=True, eq=False)
class PictureKey:
    """Key of a picture: all that decides it, and what its sound is known by."""

    prompt: NDArray[np.float32]  # embeds, [1, tokens, width]
    parameters: Parameters
    walked: float  # draws passed on the walk through noise
    journey: Journey  # of the noise
    light: NDArray[np.float32] | None  # numbers, [9], which colour the noise
    heard_until: float | None  # capture time of the newest sample in the prompt, s

    def same(self, other: "PictureKey") -> bool:
        """Whether this gives the picture that `other` gave: all is equal, and nothing of the last picture returns."""
        noise = self.parameters.noise
        moved = noise == "fresh" or (noise == "walk" and self.walked != other.walked) or self.journey != other.journey
        still = not moved and self.parameters.feedback == 0
        told = [(self.prompt, other.prompt)]
        if self.light is not None and other.light is not None:
            told.append((self.light, other.light))
        return still and self._made_with() == other._made_with() and all(np.array_equal(*pair) for pair in told)

    def colour(self, white: Latents) -> Latents:
        """Return noise in the colour of the light, where there is one."""
        return white if self.light is None else coloured(white, self.light)

    def _made_with(self) -> dict[str, Value]:
        """Return the parameters that change a picture: those of the screen and the routes act elsewhere."""
        values = self.parameters.values()
        return {name: values[name] for name in MAKING}


class FrameMaker:
    """Makes pictures and knows what they are made of."""

    def __init__(self, bundle: Bundle, denoiser: Denoiser, decoder: Decoder) -> None:
        self.picture: Picture = np.zeros((bundle.picture.height, bundle.picture.width, 3), np.uint8)
        self._bundle = bundle
        self._graphs = denoiser, decoder
        self._whole = open_pipeline(denoiser, decoder)
        self.pipeline: Pipeline = self._whole  # or with `stream_batch` another one
        self._walked = 0.0
        self._played = 0.0  # s of pictures, by which the currents sway
        self._journey = START
        self._keys: tuple[PictureKey, ...] = ()  # of the last picture, then of those on their way
        self._fresh = True  # nothing of the last latents may come back

    @property
    def heard_until(self) -> float | None:
        """Capture time of the newest sample that shaped the picture, s; None before any."""
        return self._keys[0].heard_until if self._keys else None

    @property
    def has_painted(self) -> bool:
        """Whether there is a picture to hold."""
        return bool(self._keys)

    @property
    def position(self) -> NoisePosition:
        """Where the noise of the last picture was."""
        return NoisePosition(self._walked, self._played, self._journey)

    def resume(self, position: NoisePosition) -> None:
        """Go on from where the noise of another frame maker was."""
        self._walked, self._played, self._journey = position.walked, position.played, position.journey

    def hold(self, heard_until: float | None) -> None:
        """Keep the picture that is shown, as heard until now, and drop those on their way."""
        self._keys = self._up_to_date(self._keys[:1], heard_until)
        self.pipeline.flush()

    def forget(self) -> None:
        """Let nothing of the last latents come back: the next picture is made as the first one was."""
        self._fresh = True
        self._journey = START

    def make(
        self,
        prompt: NDArray[np.float32],
        parameters: Parameters,
        *,
        light: NDArray[np.float32] | None = None,
        sequence: int,
        seconds: float,
        heard: float | None,
    ) -> dict[str, float]:
        """Make the picture of `prompt`, float32 [1, tokens, width]; return the seconds that denoiser and decoder took.

        `light` are the numbers, float32 [9], of the light that is in the prompt: they colour the noise. `seconds` have
        passed since the last frame, `heard` is the capture time of the newest sample in the prompt, and `sequence`
        seeds noise that is fresh for every frame. Raises ProviderError when a graph does not run.
        """
        self._walked += seconds * parameters.walk
        self._played += seconds
        shape, motion = latent_shape(self._bundle, parameters), motion_of(parameters, seconds, self._played)
        if motion is not None:
            self._journey = self._journey.after(motion, *shape[2:])
        key = PictureKey(prompt, parameters, self._walked, self._journey, light, heard)
        if self._keys and all(key.same(one) for one in self._keys):
            self._keys = self._up_to_date(self._keys, heard)
            return NOT_PAINTED

        def noise(step: int) -> Latents:
            if parameters.noise == "fresh":
                return key.colour(draw(shape, parameters.seed, sequence, step))
            return key.colour(carry(lambda layer: _layer(shape, key, step, layer), key.journey))

        stays = self._choose_pipeline(streams=parameters.stream_batch and parameters.steps > 1)
        # Latents that another pipeline kept may be minutes old.
        feedback = parameters.feedback if stays and not self._fresh else 0.0
        request = PictureRequest(prompt, noise, shape, parameters.steps, feedback, parameters.guidance, motion)
        picture = self.pipeline.run(request)
        if picture.min() == picture.max():  # what is no number leaves one colour everywhere
            self._check_latents()
        self.picture = picture
        self._fresh = False
        self._keys = (*self._keys, key)[-1 - self.pipeline.delay :]
        return self.pipeline.stages

    def _check_latents(self) -> None:
        """Raise ProviderError where the last latents are not finite."""
        latents = self.pipeline.latents()
        if latents is not None and not np.isfinite(latents).all():
            raise ProviderError("the denoiser gives latents that are not finite (NaN); export the bundle again")

    def _up_to_date(self, keys: tuple[PictureKey, ...], heard_until: float | None) -> tuple[PictureKey, ...]:
        """Return these as heard until now: with the newest sound they would be the same."""
        return tuple(replace(key, heard_until=heard_until) for key in keys)

    def _choose_pipeline(self, *, streams: bool) -> bool:
        """Take the pipeline for this way; return whether it made the last picture, too."""
        if streams == (self.pipeline is not self._whole):
            return True
        self.pipeline = StreamBatchPipeline(*self._graphs) if streams else self._whole
        return False


def _layer(shape: tuple[int, ...], key: PictureKey, step: int, layer: int) -> Latents:
    """Return a layer of the noise that a picture's journey leads through."""
    if key.parameters.noise == "walk":
        return walk(shape, key.parameters.seed, key.walked, step, layer)
    return draw(shape, key.parameters.seed, 0, step, layer)


def latent_shape(bundle: Bundle, parameters: Parameters) -> tuple[int, int, int, int]:
    """Return the shape of the latents, [1, C, h, w], of the picture's size that the parameters ask for."""
    latents = bundle.latents
    if bundle.sizes is None:
        return 1, latents.channels, latents.height, latents.width
    factor = bundle.picture.height // latents.height
    return 1, latents.channels, parameters.height // factor, parameters.width // factor
