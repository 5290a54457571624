"""The painter: noise, and whatever stays of the last picture, become latents in one to four steps."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.provider import Session
from runtime.schedule import Schedule

Latents = NDArray[np.float32]

NEXT_FROM_NOISE = 5  # column of a schedule's row


@dataclass(frozen=True)
class Feedback:
    """The last latents, float32 [1, C, h, w], and how much of them stays, 0 to 0.95."""

    latents: Latents
    amount: float


class Denoiser:
    """A UNet with its scheduler, as `denoiser.onnx` holds them; all arithmetic on tensors happens inside the graph."""

    def __init__(self, session: Session, schedule: Schedule) -> None:
        self.session = session
        self.schedule = schedule

    def denoise(
        self,
        prompt: NDArray[np.float32],
        noise: Callable[[int], Latents],
        steps: int = 1,
        feedback: Feedback | None = None,
    ) -> Latents:
        """Return latents, float32 [1, C, h, w].

        `prompt` are embeddings, float32 [1, tokens, width], BOS first; `noise(k)` gives draw k of N(0, 1), float32
        [1, C, h, w]: 0 to begin with, k for what step k may add. KeyError when the schedule has no such number of
        steps.
        """
        amount = feedback.amount if feedback else 0.0
        start = self.schedule.start(steps, amount)
        first = noise(0)
        sample = first * np.float32(start.noise)
        if feedback and start.signal:
            sample = sample + feedback.latents * np.float32(start.signal)
        for step, row in enumerate(self.schedule.rows(steps, amount), start=1):
            added = noise(step) if row[NEXT_FROM_NOISE] else first  # the graph wants one even where it counts nothing
            inputs = {"sample": sample, "noise": added, "tokens": prompt, "coefficients": row[None]}
            sample = self.session.run(inputs)[1].astype(np.float32, copy=False)
        return sample
