"""Pipeline: from an embedding to a picture, with the last latents between pictures.

Three ways lead there. On the host, latents are arrays that go from one session to the other (`host_pipeline`). On a
card they never leave it (`device_pipeline`), which takes two sessions that share its memory and its stream. In a stream
batch a picture is at each step at once (`stream_batch`). `choose` takes one of the first two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.diffusion.denoiser import Feedback, Latents
from clavilux.runtime.diffusion.motion import Motion, warp

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class PictureRequest:
    """Request for one picture: all that it is made of."""

    prompt: NDArray[np.float32]  # embeddings, [1, tokens, width], BOS first
    noise: Callable[[int], Latents]  # draw k of N(0, 1), [1, C, h, w], as `Denoiser.denoise` wants it
    shape: tuple[int, ...]  # of the latents
    steps: int = 1
    feedback: float = 0.0  # how much of the last latents stays, 0 to 0.95; of another size nothing does
    scale: float | None = None  # strength of the guidance; None: the bundle's own
    motion: Motion | None = None  # of the last latents before they come back; None: they stay where they are

    @property
    def moving(self) -> Motion | None:
        """The motion, where something comes back that could move."""
        return self.motion if self.feedback > 0 else None

    def feedback_of(self, last: Latents | None) -> Feedback | None:
        """Return the feedback of the last latents, moved; None where there are none, or they are of another size."""
        if last is None or last.shape != self.shape:
            return None
        return Feedback(warp(last, self.moving) if self.moving else last, self.feedback)


class Pipeline(Protocol):
    """Makes pictures and keeps the last latents. Not safe for use by two threads at once."""

    stages: dict[str, float]
    """Seconds that the last picture spent in "denoise" and "decode"."""

    delay: int
    """How many calls of `run` ago the last picture was asked for; 0 where each call finishes what it was asked."""

    def run(self, request: PictureRequest) -> Picture:
        """Return a read-only RGB picture, uint8 [H, W, 3], which stays as it is.

        Raises ProviderError when a graph does not run, KeyError when the schedule has no such number of steps.
        """

    def flush(self) -> None:
        """Drop the pictures on their way: the next call finishes what it is asked for. The last latents stay."""

    def latents(self) -> Latents | None:
        """Return the last latents as a host array, float32 [1, C, h, w]; None before the first picture."""
