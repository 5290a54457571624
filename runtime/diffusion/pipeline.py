"""From an embedding to a picture: the denoiser and the decoder, with the last latents between pictures.

Two ways lead there. On the host, latents are arrays that go from one session to the other. On a card they never leave
it (`clavilux.runtime.diffusion.device_pipeline`), which takes two sessions that share its memory and its stream.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser, Feedback, Latents
from clavilux.runtime.providers.nvidia.io_binding import TYPES, BoundSession

log = logging.getLogger("clavilux.painter")

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Asked:
    """What one picture is made of."""

    prompt: NDArray[np.float32]  # embeddings, [1, tokens, width], BOS first
    noise: Callable[[int], Latents]  # draw k of N(0, 1), [1, C, h, w], as `Denoiser.denoise` wants it
    shape: tuple[int, ...]  # of the latents
    steps: int = 1
    feedback: float = 0.0  # how much of the last latents stays, 0 to 0.95; of another size nothing does
    scale: float | None = None  # strength of the guidance; None: the bundle's own


class Painter(Protocol):
    """Makes pictures and keeps the last latents. Not safe for use by two threads at once."""

    stages: dict[str, float]
    """Seconds that the last picture spent in "denoise" and "decode"."""

    delay: int
    """How many calls of `paint` ago the last picture was asked for; 0 where each call finishes what it was asked."""

    def paint(self, asked: Asked) -> Picture:
        """Return a read-only RGB picture, uint8 [H, W, 3], which stays as it is.

        Raises ProviderError when a graph does not run, KeyError when the schedule has no such number of steps.
        """

    def latents(self) -> Latents | None:
        """Return the last latents as a host array, float32 [1, C, h, w]; None before the first picture."""


class HostPainter:
    """Hands latents from session to session as host arrays: for CPUs, and sessions that share nothing."""

    def __init__(self, denoiser: Denoiser, decoder: Decoder) -> None:
        self.stages: dict[str, float] = {}
        self.delay = 0
        self._denoiser = denoiser
        self._decoder = decoder
        self._latents: Latents | None = None

    def paint(self, asked: Asked) -> Picture:
        """Return a read-only RGB picture, uint8 [H, W, 3]. Raises ProviderError, KeyError."""
        last = self._latents
        feedback = Feedback(last, asked.feedback) if last is not None and last.shape == asked.shape else None
        times = [time.perf_counter()]
        self._latents = self._denoiser.denoise(
            asked.prompt, asked.noise, asked.steps, feedback=feedback, scale=asked.scale
        )
        times.append(time.perf_counter())
        picture = self._decoder.decode(self._latents)
        times.append(time.perf_counter())
        self.stages = {"denoise": times[1] - times[0], "decode": times[2] - times[1]}
        return picture

    def latents(self) -> Latents | None:
        """Return the last latents, float32 [1, C, h, w]; None before the first picture."""
        return self._latents


def open_painter(denoiser: Denoiser, decoder: Decoder) -> Painter:
    """Return the painter for these two: on the card where both lie there, else on the host.

    Where one of them lies on a card and the pictures go through the host all the same, the log says why.
    """
    from clavilux.runtime.diffusion.device_pipeline import DevicePainter  # which stands on this file

    first, second = denoiser.session, decoder.session
    obstacle = "only one of denoiser and decoder runs on the card"
    if isinstance(first, BoundSession) and isinstance(second, BoundSession):
        obstacle = _obstacle(first, second)
        if not obstacle:
            return DevicePainter(denoiser, first, second)
    if isinstance(first, BoundSession) or isinstance(second, BoundSession):
        log.warning("latents go through the host for every picture: %s", obstacle)
    return HostPainter(denoiser, decoder)


def _obstacle(denoiser: BoundSession, decoder: BoundSession) -> str:
    """Return why latents of the one cannot go to the other on the card; "" when they can."""
    if denoiser.stream is None or denoiser.stream is not decoder.stream:
        return f"{denoiser.name} and {decoder.name} do not share a stream"
    given = [TYPES.get(kind) for kind in denoiser.results]
    taken = [*denoiser.inputs.values(), *decoder.inputs.values()]
    if len(given) != 2 or {*given, *taken} != {np.float32}:
        return f"expected float32 in and out of {denoiser.name} and into {decoder.name}; export the bundle again"
    if [TYPES.get(kind) for kind in decoder.results] != [np.uint8]:
        return f"{decoder.name} gives {', '.join(decoder.results)}, expected one tensor(uint8); export the bundle again"
    return ""
