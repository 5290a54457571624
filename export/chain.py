"""Whole denoising runs, twice: diffusers' own loop in torch, and the exported graph with the manifest's numbers.

Both draw the same noise, so that their latents can be compared: a run begins with `noise(shape, 0)`, and its step i,
counted from 1, draws `noise(shape, i)`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler
from numpy.typing import NDArray

from runtime.provider import Session
from runtime.schedule import Schedule

Latents = NDArray[np.float32]


@dataclass(frozen=True)
class Run:
    """What a run starts from."""

    steps: int
    tokens: NDArray[np.float32]  # [1, L, D], BOS first
    shape: tuple[int, ...]  # of the latents, [1, C, h, w]


def noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Return N(0, 1), float32, as diffusers draws it from a generator with this seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def diffusers_latents(unet: Any, scheduler: Any, run: Run) -> Latents:
    """Return the latents [1, C, h, w] that diffusers' own loop ends with."""
    scheduler.set_timesteps(run.steps)
    sample = noise(run.shape, 0) * scheduler.init_noise_sigma
    prompt = torch.from_numpy(run.tokens)
    deterministic = isinstance(scheduler, DDIMScheduler)
    with torch.inference_mode():
        for step, time in enumerate(scheduler.timesteps, start=1):
            output = unet(scheduler.scale_model_input(sample, time), time, prompt, return_dict=False)[0]
            draw = {} if deterministic else {"generator": torch.Generator().manual_seed(step)}
            sample = scheduler.step(output, time, sample, **draw, return_dict=False)[0]
    latents: Latents = sample.numpy()
    return latents


def bundle_latents(session: Session, schedule: Schedule, run: Run) -> Latents:
    """Return the latents [1, C, h, w] that the exported graph ends with, driven by the schedule's rows."""
    sample = noise(run.shape, 0).numpy() * np.float32(schedule.start(run.steps).noise)
    for step, row in enumerate(schedule.rows(run.steps), start=1):
        draw = noise(run.shape, step).numpy()
        inputs = {"sample": sample, "noise": draw, "tokens": run.tokens, "coefficients": row[None]}
        sample = session.run(inputs)[1].astype(np.float32, copy=False)
    return sample
