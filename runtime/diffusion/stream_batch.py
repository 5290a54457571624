"""Stream batch: all steps in one call of the denoiser, each of another picture, as Kodaira et al. 2023 do it.

    pipeline = StreamBatchPipeline(denoiser, decoder)
    picture = pipeline.run(request)     # requested steps - 1 calls ago, and as it was requested then

arXiv:2312.12491, section 3.1. Of n steps, n pictures are on their way at once, a row of the batch each: the newest
takes its first step, the oldest its last. A picture then costs one call of n rows instead of n calls of one row, which
pays where the device has room, and comes n - 1 calls later. `python -m clavilux.benchmarks.studies.levers` tells
whether it pays.

A row keeps all that its picture began with: prompt, noise, guidance and feedback. StreamDiffusion gives old rows the
new prompt; then no picture would be that of any one sound, nor equal to the one that single calls make. So what is
heard, and every parameter but steps and size, arrives n - 1 pictures late, and a frame's `heard_until` says so. The
latents that come back are n pictures old, and have all motion since then before them.
"""

import logging
import time
from dataclasses import replace

from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser, Latents, Run
from clavilux.runtime.diffusion.motion import Motion
from clavilux.runtime.diffusion.pipeline import Picture, PictureRequest
from clavilux.runtime.providers.nvidia.io_binding import BoundSession

log = logging.getLogger("clavilux.stream_batch")


class StreamBatchPipeline:
    """Makes pictures through the host, with one at each step on its way.

    The denoiser's graph must take as many pictures at once as there are steps, or ProviderError is raised.
    """

    def __init__(self, denoiser: Denoiser, decoder: Decoder) -> None:
        self.stages: dict[str, float] = {}
        self.delay = 0
        self._denoiser = denoiser
        self._decoder = decoder
        self._runs: list[Run] = []  # on their way, newest first: after each call they have taken 1, 2 ... n - 1 steps
        self._kind: tuple[int, tuple[int, ...]] | None = None  # steps and shape of those; None: there are none
        self._latents: Latents | None = None
        self._motions: tuple[Motion | None, ...] = ()  # asked for since those latents were, newest first
        if any(isinstance(part.session, BoundSession) for part in (denoiser, decoder)):
            log.warning("latents go through the host for every picture: stream_batch keeps them there")

    def run(self, request: PictureRequest) -> Picture:
        """Return a read-only RGB picture, uint8 [H, W, 3]: what was asked for `delay` calls ago.

        The first call, and each one after a change of steps or size or after `flush`, finishes what it is asked for in
        single steps, and leaves the states between them on their way. Raises ProviderError, KeyError.
        """
        since = time.perf_counter()
        kind = request.steps, request.shape
        flows, self._kind = kind == self._kind, None  # what fails leaves nothing to go on with
        if flows:
            runs = [self._begin(request), *self._runs]
            self._denoiser.advance(runs)
        else:
            runs = self._fill(request)
        *self._runs, finished = runs
        self.delay = min(self.delay + 1, len(self._runs)) if flows else 0
        self._motions = (request.motion, *self._motions)[: self.delay]
        self._kind, self._latents = kind, finished.sample
        denoised = time.perf_counter()
        picture = self._decoder.decode(finished.sample)
        self.stages = {"denoise": denoised - since, "decode": time.perf_counter() - denoised}
        return picture

    def flush(self) -> None:
        """Drop the pictures on their way: the next call finishes what it is asked for. The last latents stay."""
        self._kind = None

    def latents(self) -> Latents | None:
        """Return the last finished latents, float32 [1, C, h, w]; None before the first picture."""
        return self._latents

    def _begin(self, request: PictureRequest) -> Run:
        motion = request.motion
        for earlier in self._motions:
            motion = earlier.and_then(motion) if earlier else motion
        feedback = replace(request, motion=motion).feedback_of(self._latents)
        return self._denoiser.begin(
            request.prompt, request.noise, request.steps, feedback=feedback, scale=request.scale
        )

    def _fill(self, request: PictureRequest) -> list[Run]:
        """Return the requested picture as it is after each of its steps, the finished one last."""
        run, states = self._begin(request), []
        for _ in run.rows:
            self._denoiser.advance([run])
            states.append(replace(run))
        return states
