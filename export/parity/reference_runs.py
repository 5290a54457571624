"""Whole denoising runs, twice: by diffusers in torch, and by the exported graph with the manifest's numbers.

Both draw the same noise, so that their latents can be compared: a run begins with `noise(shape, 0)`, and what its
steps add comes from `added_noise(shape, steps)`, the order in which diffusers' pipeline draws it.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clavilux.export.library_logs import quietly
from clavilux.export.models.denoiser import noise
from clavilux.runtime.bundle.manifest import GuidanceSpec
from clavilux.runtime.diffusion.denoiser import Denoiser, Latents
from clavilux.runtime.diffusion.guider import Guider
from clavilux.runtime.diffusion.schedule import Schedule
from clavilux.runtime.providers.session import Session

Prompt = NDArray[np.float32]

ADDED_SEED = 1
UNGUIDED = GuidanceSpec()


@dataclass(frozen=True)
class RunInputs:
    """Inputs of a run."""

    steps: int
    tokens: Prompt  # [1, L, D], BOS first
    shape: tuple[int, ...]  # of the latents, [1, C, h, w]
    guidance: GuidanceSpec = UNGUIDED
    negative: Prompt | None = None  # [L, D], for guidance


def added_noise(shape: tuple[int, ...], steps: int) -> list[Latents]:
    """Return the draws of N(0, 1) that a pipeline makes one after the other, one for each step."""
    generator = torch.Generator().manual_seed(ADDED_SEED)
    return [torch.randn(shape, generator=generator).numpy() for _ in range(steps)]


def diffusers_latents(unet: Any, scheduler: Any, run: RunInputs) -> Latents:
    """Return the latents [1, C, h, w] that diffusers' StableDiffusionPipeline ends with.

    `scheduler` is as its configuration has it: the pipeline changes it by rules of its own. Residual guidance is not in
    diffusers: there the loop is ours, over the pipeline's scheduler, in the paper's own terms.
    """
    pipeline = untouched_pipeline(unet, scheduler)
    if run.guidance.kind in ("once", "self"):
        return _residual_latents(unet, pipeline.scheduler, run)
    found = pipeline(
        prompt_embeds=torch.from_numpy(run.tokens),
        negative_prompt_embeds=None if run.negative is None else torch.from_numpy(run.negative)[None],
        latents=noise(run.shape, 0),
        num_inference_steps=run.steps,
        guidance_scale=run.guidance.scale,
        generator=torch.Generator().manual_seed(ADDED_SEED),
        output_type="latent",
    )
    latents: Latents = found.images.numpy()
    return latents


def untouched_pipeline(unet: Any, scheduler: Any) -> Any:
    """Return a StableDiffusionPipeline of a UNet and a copy of the scheduler, as `from_pretrained` would make it."""
    with quietly(), warnings.catch_warnings(action="ignore", category=FutureWarning):  # of what it changes
        from diffusers import StableDiffusionPipeline

        parts = dict.fromkeys(("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
        given = type(scheduler).from_config(scheduler.config)
        pipeline = StableDiffusionPipeline(unet=unet, scheduler=given, requires_safety_checker=False, **parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _residual_latents(unet: Any, scheduler: Any, run: RunInputs) -> Latents:
    """R-CFG of Kodaira et al. 2023, arXiv:2312.12491, section 3.2, on the noise of each step, from pure noise."""
    scheduler.set_timesteps(run.steps)
    sample = noise(run.shape, 0) * scheduler.init_noise_sigma
    prompt, negative = torch.from_numpy(run.tokens), torch.from_numpy(np.asarray(run.negative))[None]
    origin = torch.zeros_like(sample)
    scale, delta = run.guidance.scale, run.guidance.delta
    generator = torch.Generator().manual_seed(ADDED_SEED)
    with torch.inference_mode():
        for step, time in enumerate(scheduler.timesteps):
            scaled = scheduler.scale_model_input(sample, time)
            frame = _Frame(scaled, _alpha(scheduler, step, time), scheduler.config.prediction_type)
            if step == 0 and run.guidance.kind == "once":
                origin = frame.origin(frame.noise(unet(scaled, time, negative, return_dict=False)[0]))
            virtual = frame.noise_towards(origin)
            predicted = frame.noise(unet(scaled, time, prompt, return_dict=False)[0])
            guided = delta * virtual + scale * (predicted - delta * virtual)
            sample = scheduler.step(frame.output(guided), time, sample, generator=generator, return_dict=False)[0]
    latents: Latents = sample.numpy()
    return latents


def _alpha(scheduler: Any, step: int, time: torch.Tensor) -> torch.Tensor:
    """Return alpha_cumprod of a step; Euler has it as a sigma."""
    euler = hasattr(scheduler, "sigmas")
    alpha: torch.Tensor = 1 / (1 + scheduler.sigmas[step] ** 2) if euler else scheduler.alphas_cumprod[int(time)]
    return alpha


@dataclass(frozen=True)
class _Frame:
    """One step's sample, in variance-preserving scale, and the ways between x0, noise and the UNet's output."""

    sample: torch.Tensor
    alpha: torch.Tensor
    prediction: str

    def noise(self, output: torch.Tensor) -> torch.Tensor:
        if self.prediction == "epsilon":
            return output
        if self.prediction == "sample":
            return self.noise_towards(output)
        return self.alpha**0.5 * output + (1 - self.alpha) ** 0.5 * self.sample

    def origin(self, noise: torch.Tensor) -> torch.Tensor:
        return (self.sample - (1 - self.alpha) ** 0.5 * noise) / self.alpha**0.5

    def noise_towards(self, origin: torch.Tensor) -> torch.Tensor:
        return (self.sample - self.alpha**0.5 * origin) / (1 - self.alpha) ** 0.5

    def output(self, noise: torch.Tensor) -> torch.Tensor:
        if self.prediction == "epsilon":
            return noise
        if self.prediction == "sample":
            return self.origin(noise)
        return (noise - (1 - self.alpha) ** 0.5 * self.sample) / self.alpha**0.5


def bundle_latents(session: Session, schedule: Schedule, run: RunInputs) -> Latents:
    """Return the latents [1, C, h, w] that the exported graph ends with, driven as the instrument drives it."""
    guide = None if run.negative is None else Guider(run.guidance, run.negative)
    draws = [noise(run.shape, 0).numpy(), *added_noise(run.shape, run.steps)]
    return Denoiser(session, schedule, guide).denoise(run.tokens, lambda step: draws[step], run.steps)
