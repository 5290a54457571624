"""Host pipeline: latents go from session to session as host arrays."""

import time

from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser, Latents
from clavilux.runtime.diffusion.pipeline import Picture, PictureRequest


class HostPipeline:
    """Hands latents from session to session as host arrays: for CPUs, and sessions that share nothing."""

    def __init__(self, denoiser: Denoiser, decoder: Decoder) -> None:
        self.stages: dict[str, float] = {}
        self.delay = 0
        self._denoiser = denoiser
        self._decoder = decoder
        self._latents: Latents | None = None

    def run(self, request: PictureRequest) -> Picture:
        """Return a read-only RGB picture, uint8 [H, W, 3]. Raises ProviderError, KeyError."""
        feedback = request.feedback_of(self._latents)
        times = [time.perf_counter()]
        self._latents = self._denoiser.denoise(
            request.prompt, request.noise, request.steps, feedback=feedback, scale=request.scale
        )
        times.append(time.perf_counter())
        picture = self._decoder.decode(self._latents)
        times.append(time.perf_counter())
        self.stages = {"denoise": times[1] - times[0], "decode": times[2] - times[1]}
        return picture

    def flush(self) -> None:
        """Do nothing: no picture is on its way between two calls."""

    def latents(self) -> Latents | None:
        """Return the last latents, float32 [1, C, h, w]; None before the first picture."""
        return self._latents
