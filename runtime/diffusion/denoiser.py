"""Denoiser: noise, and what stays of the last picture, become latents in a few steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.bundle.graphs import GUIDANCE_X0, NEXT_FROM_NOISE
from clavilux.runtime.diffusion.guider import Guider, unguided
from clavilux.runtime.diffusion.schedule import RunStart, Schedule
from clavilux.runtime.providers.session import Session

Latents = NDArray[np.float32]


@dataclass(frozen=True)
class Feedback:
    """The last latents, float32 [1, C, h, w], and how much of them stays, 0 to 0.95."""

    latents: Latents
    amount: float


@dataclass
class Run:
    """One picture on its way through the steps; all but its sample and its place stays as it began."""

    sample: Latents  # float32 [1, C, h, w]
    prompt: NDArray[np.float32]  # [1, tokens, width]
    rows: NDArray[np.float32]  # coefficients, [steps, columns]
    noises: tuple[Latents, ...]  # for each step, [1, C, h, w]
    leading: dict[str, Latents]  # inputs that it is led away from, by name
    taken: int = 0  # steps that are done

    def inputs(self) -> dict[str, NDArray[np.float32]]:
        """Return what the graph takes for the next step, by name; the first axis of each is 1."""
        row, noise = self.rows[self.taken : self.taken + 1], self.noises[self.taken]
        return {"sample": self.sample, "noise": noise, "tokens": self.prompt, "coefficients": row} | self.leading


class Denoiser:
    """A UNet with its scheduler, as `denoiser.onnx` holds them; all arithmetic on tensors happens inside the graph."""

    def __init__(self, session: Session, schedule: Schedule, guider: Guider | None = None) -> None:
        self.session = session
        self.schedule = schedule
        self.guider = guider

    def denoise(
        self,
        prompt: NDArray[np.float32],
        noise: Callable[[int], Latents],
        steps: int = 1,
        *,
        feedback: Feedback | None = None,
        scale: float | None = None,
    ) -> Latents:
        """Return latents, float32 [1, C, h, w].

        `prompt` are embeddings, float32 [1, tokens, width], BOS first; `noise(k)` gives draw k of N(0, 1), float32
        [1, C, h, w]: 0 to begin with, k for what step k may add. `scale` is the strength of the guidance, for bundles
        that have one; None is the bundle's own. KeyError when the schedule has no such number of steps.
        """
        run = self.begin(prompt, noise, steps, feedback=feedback, scale=scale)
        for _ in run.rows:
            self.advance([run])
        return run.sample

    def begin(
        self,
        prompt: NDArray[np.float32],
        noise: Callable[[int], Latents],
        steps: int = 1,
        *,
        feedback: Feedback | None = None,
        scale: float | None = None,
    ) -> Run:
        """Return a picture before its first step, with all its noise drawn; arguments and KeyError as `denoise` has."""
        start, rows = self.plan(steps, feedback.amount if feedback else 0.0, scale)
        first = noise(0)
        sample = first * np.float32(start.noise)
        if feedback and start.signal:
            sample = sample + feedback.latents * np.float32(start.signal)
        leading = self._leading(sample, rows[0], feedback if start.signal else None)
        noises = tuple(  # the graph wants one even where it counts nothing
            noise(step) if row[NEXT_FROM_NOISE] else first for step, row in enumerate(rows, start=1)
        )
        return Run(sample, prompt, rows, noises, leading)

    def advance(self, runs: Sequence[Run]) -> None:
        """Take the next step of every run in one call of the graph, a row each, whichever step that is.

        Raises ProviderError when the graph does not take so many.
        """
        first, *others = [run.inputs() for run in runs]
        inputs = first  # one picture, as most often, is not copied
        if others:
            inputs = {name: np.concatenate([first[name], *(one[name] for one in others)]) for name in first}
        samples = self.session.run(inputs)[1].astype(np.float32, copy=False)
        for run, sample in zip(runs, samples, strict=True):
            run.sample = sample[None]
            run.taken += 1

    def plan(self, steps: int, feedback: float, scale: float | None) -> tuple[RunStart, NDArray[np.float32]]:
        """Return how a run begins, and its coefficients, float32 [steps, columns].

        KeyError when the schedule has no such number of steps.
        """
        guidance = self.guider.guidance(scale) if self.guider else None
        return self.schedule.start(steps, feedback), self.schedule.rows(steps, feedback, guidance)

    def _leading(self, sample: Latents, row: NDArray[np.float32], feedback: Feedback | None) -> dict[str, Latents]:
        """Return the input that the run is led away from: the negative prompt, or the negative's x0.

        Self-negative guidance takes what the run began with for that x0: the last latents, or nothing. Onetime-negative
        guidance predicts it in one pass at the first step.
        """
        if self.guider is None:
            return {}
        if self.guider.spec.kind == "classic":
            return {"negative": self.guider.negative}
        guidance_x0 = np.zeros_like(sample) if feedback is None else feedback.latents
        if self.guider.spec.kind == "once":
            plain = unguided(row)[None]
            inputs = {"sample": sample, "noise": sample, "tokens": self.guider.negative, "coefficients": plain}
            guidance_x0 = self.session.run(inputs | {GUIDANCE_X0: guidance_x0})[0].astype(np.float32, copy=False)
        return {GUIDANCE_X0: guidance_x0}
