"""Schedules as rows of numbers: each sampler equals its diffusers scheduler, step by step."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, LCMScheduler

from clavilux.runtime.bundle.manifest import ScheduleSpec
from clavilux.runtime.diffusion.schedule import Guidance, Schedule

STEPS = (1, 2, 3, 4)
STABLE_DIFFUSION = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
PREDICTIONS = ("epsilon", "v_prediction", "sample")


def unet(sample: torch.Tensor, timestep: float) -> torch.Tensor:
    """Stand in for a network: any smooth function will do."""
    return torch.tanh(sample) * 0.7 + timestep / 5000


def spec_of(scheduler: Any, kind: str) -> ScheduleSpec:
    timesteps = {}
    for steps in STEPS:
        scheduler.set_timesteps(steps)
        timesteps[steps] = tuple(float(time) for time in scheduler.timesteps)
    euler = kind == "euler"
    final = 1.0 if euler else float(scheduler.final_alpha_cumprod)
    sigma = float(scheduler.sigmas[0]) if euler else 0.0
    leading = scheduler.config.timestep_spacing == "leading"
    initial = sigma / (sigma**2 + 1) ** 0.5 if euler and not leading else 1.0
    alphas = tuple(float(alpha) for alpha in scheduler.alphas_cumprod)
    return ScheduleSpec(kind, scheduler.config.prediction_type, alphas, timesteps, initial, final)


def paint(schedule: Schedule, steps: int, noise: list[torch.Tensor], feedback: float = 0.0) -> torch.Tensor:
    """Run the rows as the denoiser's graph does."""
    sample = noise[0] * schedule.start(steps, feedback).noise
    for step, row in enumerate(schedule.rows(steps, feedback).astype(np.float64)):
        time, x0_sample, x0_output, next_x0, next_sample, next_noise = row
        x0 = x0_sample * sample + x0_output * unet(sample, time)
        sample = next_x0 * x0 + next_sample * sample + next_noise * noise[step + 1]
    return sample


def draws(steps: int) -> list[torch.Tensor]:
    """Return noise to begin with, then some for each step."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 4, 8, 8, generator=generator, dtype=torch.float64) for _ in range(steps + 1)]


RUNS = [(steps, spacing) for steps in STEPS for spacing in ("trailing", "leading", "linspace")]
RUNS.remove((1, "linspace"))  # diffusers puts the only step at timestep 0, where nothing is left to denoise


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(("steps", "spacing"), RUNS)
def test_euler_equals_diffusers(steps: int, spacing: str, prediction: str) -> None:
    scheduler = EulerDiscreteScheduler(**STABLE_DIFFUSION, timestep_spacing=spacing, prediction_type=prediction)
    schedule = Schedule(spec_of(scheduler, "euler"))
    noise = draws(steps)
    scheduler.set_timesteps(steps)
    sample = noise[0] * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        scaled = scheduler.scale_model_input(sample, time)
        sample = scheduler.step(unet(scaled, float(time)), time, sample).prev_sample
    torch.testing.assert_close(paint(schedule, steps, noise), sample, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_ddim_equals_diffusers(steps: int, prediction: str) -> None:
    settings = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "prediction_type": prediction}
    scheduler = DDIMScheduler(**STABLE_DIFFUSION, **settings)
    schedule = Schedule(spec_of(scheduler, "ddim"))
    noise = draws(steps)
    scheduler.set_timesteps(steps)
    sample = noise[0]
    for time in scheduler.timesteps:
        sample = scheduler.step(unet(sample, float(time)), time, sample).prev_sample
    torch.testing.assert_close(paint(schedule, steps, noise), sample, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("steps", STEPS)
def test_lcm_equals_diffusers_with_the_same_noise(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = LCMScheduler(**STABLE_DIFFUSION)
    schedule = Schedule(spec_of(scheduler, "lcm"))
    noise = draws(steps)
    drawn = iter(noise[1:])
    monkeypatch.setattr("diffusers.schedulers.scheduling_lcm.randn_tensor", lambda *_args, **_more: next(drawn))
    scheduler.set_timesteps(steps)
    sample = noise[0]
    for time in scheduler.timesteps:
        sample = scheduler.step(unet(sample, float(time)), time, sample).prev_sample
    torch.testing.assert_close(paint(schedule, steps, noise), sample, atol=2e-4, rtol=2e-4)


def schedule_like_turbo() -> Schedule:
    scheduler = EulerDiscreteScheduler(**STABLE_DIFFUSION, timestep_spacing="trailing")
    return Schedule(spec_of(scheduler, "euler"))


def test_without_feedback_a_run_begins_with_noise_alone() -> None:
    start = schedule_like_turbo().start(1)
    assert start.signal == 0
    assert start.noise == pytest.approx(0.9977, abs=1e-3)


def test_with_feedback_signal_and_noise_keep_the_variance() -> None:
    start = schedule_like_turbo().start(2, feedback=0.4)
    assert start.signal**2 + start.noise**2 == pytest.approx(1.0)


def test_more_feedback_keeps_more_signal() -> None:
    schedule = schedule_like_turbo()
    signals = [schedule.start(1, feedback).signal for feedback in (0.1, 0.3, 0.6, 0.95)]
    assert signals == sorted(signals)


def test_feedback_lowers_the_timesteps() -> None:
    schedule = schedule_like_turbo()
    np.testing.assert_allclose(schedule.rows(2, 0.5)[:, 0], schedule.rows(2)[:, 0] / 2)


def test_a_run_with_feedback_from_its_own_noise_level_finds_the_same_sample() -> None:
    schedule = schedule_like_turbo()
    target = torch.full((1, 4, 8, 8), 0.3, dtype=torch.float64)
    start = schedule.start(1, 0.5)
    noise = draws(1)[0]
    sample = start.signal * target + start.noise * noise
    _, x0_sample, x0_output, *_ = schedule.rows(1, 0.5)[0].astype(np.float64)
    torch.testing.assert_close(x0_sample * sample + x0_output * noise, target, atol=1e-5, rtol=1e-5)


def test_a_schedule_that_ends_without_any_signal_stays_finite() -> None:
    spec = ScheduleSpec("ddim", "v_prediction", (0.9, 0.5, 0.0), {1: (2.0,)}, 1.0, 1.0)
    assert np.isfinite(Schedule(spec).rows(1)).all()


def test_without_guidance_a_row_has_six_numbers_and_with_it_nine() -> None:
    schedule = schedule_like_turbo()
    guided = schedule.rows(2, guidance=Guidance(3.0))
    assert (schedule.rows(2).shape, guided.shape, guided.dtype) == ((2, 6), (2, 9), np.float32)
    np.testing.assert_array_equal(guided[:, :6], schedule.rows(2))


@pytest.mark.parametrize("delta", [0.0, 0.5, 1.0])
def test_a_scale_of_1_takes_the_x0_as_it_is(delta: float) -> None:
    np.testing.assert_array_equal(schedule_like_turbo().rows(1, guidance=Guidance(1.0, delta))[:, 6:], [[1, 0, 0]])


def test_guidance_with_all_of_the_negative_needs_nothing_of_the_sample() -> None:
    rows = schedule_like_turbo().rows(4, guidance=Guidance(7.5))
    np.testing.assert_allclose(rows[:, 6:], [[7.5, -6.5, 0]] * 4)


@pytest.mark.parametrize("feedback", [0.0, 0.6])
@pytest.mark.parametrize(("scale", "delta"), [(7.5, 1.0), (2.0, 0.5), (0.0, 1.0), (3.0, 0.0)])
def test_guided_x0_is_guidance_of_the_noise(scale: float, delta: float, feedback: float) -> None:
    """delta n + scale (p - delta n), as the papers write it, brought to x0."""
    schedule = schedule_like_turbo()
    sample, positive, negative = np.random.default_rng(0).standard_normal((3, 50))  # the sample, and two x0
    for row in schedule.rows(2, feedback, Guidance(scale, delta)).astype(np.float64):
        alpha = schedule.alpha(row[0])
        p, n = ((sample - alpha**0.5 * x0) / (1 - alpha) ** 0.5 for x0 in (positive, negative))
        guided = delta * n + scale * (p - delta * n)
        expected = (sample - (1 - alpha) ** 0.5 * guided) / alpha**0.5
        found = row[6] * positive + row[7] * negative + row[8] * sample
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
