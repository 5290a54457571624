"""The manifest's numbers against diffusers' own loops, for every scheduler, prediction and number of steps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, LCMScheduler

from clavilux.export.checkpoints.load import load_unet
from clavilux.export.checkpoints.locate import read_config
from clavilux.export.models.denoiser import DenoiserGraph, noise
from clavilux.export.models.schedule import ScheduleChoice, read_schedule
from clavilux.export.parity.reference_runs import UNGUIDED, RunInputs, added_noise, bundle_latents, diffusers_latents
from clavilux.runtime.bundle.manifest import GuidanceSpec
from clavilux.runtime.diffusion.schedule import Schedule
from tests.export.torch_session import TorchSession
from tests.tiny import WIDTH, write_scheduler

SHAPE = (1, 4, 8, 8)
CLASSES = {"euler": EulerDiscreteScheduler, "ddim": DDIMScheduler, "lcm": LCMScheduler}


@pytest.fixture(scope="module")
def unet(tiny_checkpoints: Path):
    return load_unet(tiny_checkpoints / "pipeline" / "unet")


def prompt(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 5, WIDTH)).astype(np.float32)


def run(steps: int, guidance: GuidanceSpec = UNGUIDED) -> RunInputs:
    return RunInputs(steps, prompt(3), SHAPE, guidance, None if guidance.kind == "none" else prompt(4)[0])


def schedulers(folder: Path, kind: str, steps: int, **settings: object):
    """Return diffusers' scheduler of these settings, as an untouched pipeline takes it, and ours."""
    write_scheduler(folder, CLASSES[kind], **settings)
    config = read_config(folder, "scheduler", "scheduler_config.json")
    found = read_schedule(config, folder, ScheduleChoice(steps=steps))
    return found.configured, Schedule(found.spec)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def distance(unet, folder: Path, kind: str, steps: int, guidance: GuidanceSpec = UNGUIDED, **settings: object) -> float:
    """Return the relative L2 distance between both runs."""
    scheduler, schedule = schedulers(folder, kind, steps, **settings)
    expected = diffusers_latents(unet, scheduler, run(steps, guidance))
    return relative(bundle_latents(TorchSession(DenoiserGraph(unet)), schedule, run(steps, guidance)), expected)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("kind", ["euler", "ddim", "lcm"])
def test_the_rows_give_what_diffusers_gives(unet, tmp_path: Path, kind: str, prediction: str, steps: int):
    assert distance(unet, tmp_path, kind, steps, prediction_type=prediction, timestep_spacing="leading") < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("kind", ["euler", "ddim"])
def test_trailing_timesteps_give_what_diffusers_gives(unet, tmp_path: Path, kind: str, steps: int):
    assert distance(unet, tmp_path, kind, steps, prediction_type="epsilon") < 1e-4


@pytest.mark.parametrize("spec", [UNGUIDED, GuidanceSpec("once", 3.0, 0.7)], ids=lambda spec: spec.kind)
@pytest.mark.parametrize("kind", ["euler", "ddim", "lcm"])
def test_what_the_pipeline_writes_into_an_old_scheduler_is_followed(
    unet, tmp_path: Path, kind: str, spec: GuidanceSpec
):
    """An offset of 0, and samples that are clipped: StableDiffusionPipeline makes 1 of it, and clips nothing."""
    old = {"steps_offset": 0, "timestep_spacing": "leading", "prediction_type": "epsilon"}
    clips = {} if kind == "euler" else {"clip_sample": True}
    assert distance(unet, tmp_path, kind, 4, spec, **old, **clips) < 1e-4


def test_three_ddim_steps_come_close_although_diffusers_steps_a_timestep_beside(unet, tmp_path: Path):
    assert distance(unet, tmp_path, "ddim", 3, prediction_type="epsilon") < 2e-2


def test_a_schedule_that_ends_without_signal_gives_what_diffusers_gives(unet, tmp_path: Path):
    assert distance(unet, tmp_path, "euler", 2, rescale_betas_zero_snr=True) < 1e-3


def test_noise_depends_on_its_seed_alone():
    assert noise(SHAPE, 1).equal(noise(SHAPE, 1))
    assert not noise(SHAPE, 1).equal(noise(SHAPE, 2))


KINDS, PREDICTIONS = ["euler", "ddim", "lcm"], ["epsilon", "v_prediction", "sample"]
RESIDUAL = [GuidanceSpec("once", 3.0, 0.7), GuidanceSpec("self", 2.0, 1.0)]


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_classic_guidance_gives_what_diffusers_pipeline_gives(
    unet, tmp_path: Path, kind: str, prediction: str, steps: int
):
    spec = GuidanceSpec("classic", 7.5)
    assert distance(unet, tmp_path, kind, steps, spec, prediction_type=prediction, timestep_spacing="leading") < 1e-4


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spec", RESIDUAL, ids=lambda spec: spec.kind)
def test_residual_guidance_gives_what_the_papers_loop_gives(
    unet, tmp_path: Path, spec: GuidanceSpec, kind: str, prediction: str, steps: int
):
    assert distance(unet, tmp_path, kind, steps, spec, prediction_type=prediction, timestep_spacing="leading") < 1e-4


def test_fifty_ddim_steps_with_guidance_give_what_diffusers_gives(unet, tmp_path: Path):
    reference = {"timestep_spacing": "leading", "set_alpha_to_one": False}
    assert distance(unet, tmp_path, "ddim", 50, GuidanceSpec("classic", 7.5), **reference) < 1e-3


def latents(unet, folder: Path, spec: GuidanceSpec, kind: str = "ddim", steps: int = 2) -> np.ndarray:
    _, schedule = schedulers(folder, kind, steps, timestep_spacing="leading")
    return bundle_latents(TorchSession(DenoiserGraph(unet)), schedule, run(steps, spec))


@pytest.mark.parametrize("spec", [GuidanceSpec("classic", 1.0), *RESIDUAL], ids=lambda spec: spec.kind)
def test_a_scale_of_1_is_no_guidance_at_all(unet, tmp_path: Path, spec: GuidanceSpec):
    plain = latents(unet, tmp_path, UNGUIDED)
    np.testing.assert_allclose(latents(unet, tmp_path, GuidanceSpec(spec.kind, 1.0, spec.delta)), plain, atol=1e-5)


def test_one_step_of_onetime_guidance_is_classic_guidance(unet, tmp_path: Path):
    once, classic = (latents(unet, tmp_path, GuidanceSpec(kind, 4.0), steps=1) for kind in ("once", "classic"))
    np.testing.assert_allclose(once, classic, atol=1e-4)


@pytest.mark.parametrize("kind", ["once", "self"])
def test_a_delta_of_0_forgets_the_negative_and_scales_the_noise(unet, tmp_path: Path, kind: str):
    """In noise it then reads scale * p: Kodaira et al. 2023, section 3.2."""
    settings = {"prediction_type": "epsilon", "timestep_spacing": "leading", "clip_sample": False}
    scheduler, schedule = schedulers(tmp_path, "ddim", 1, **settings)
    found = bundle_latents(TorchSession(DenoiserGraph(unet)), schedule, run(1, GuidanceSpec(kind, 2.0, 0.0)))
    scheduler.set_timesteps(1)
    sample, (time,) = noise(SHAPE, 0), scheduler.timesteps
    with torch.inference_mode():
        predicted = unet(sample, time, torch.from_numpy(prompt(3)), return_dict=False)[0]
        expected = scheduler.step(2 * predicted, time, sample, return_dict=False)[0]
    assert relative(found, expected.numpy()) < 1e-4


@pytest.mark.parametrize("kind", ["classic", "once", "self"])
def test_guidance_changes_the_latents(unet, tmp_path: Path, kind: str):
    assert relative(latents(unet, tmp_path, GuidanceSpec(kind, 5.0)), latents(unet, tmp_path, UNGUIDED)) > 0.01


@pytest.mark.parametrize(("kind", "passes"), [("classic", 3), ("once", 4), ("self", 3)])
def test_only_onetime_guidance_adds_a_pass_to_a_run(unet, tmp_path: Path, kind: str, passes: int):
    class Counting(TorchSession):
        count = 0

        def run(self, inputs):
            Counting.count += 1
            return super().run(inputs)

    _, schedule = schedulers(tmp_path, "euler", 3)
    bundle_latents(Counting(DenoiserGraph(unet)), schedule, run(3, GuidanceSpec(kind, 2.0)))
    assert Counting.count == passes


def test_the_added_noise_is_what_diffusers_generator_draws():
    generator = torch.Generator().manual_seed(1)
    for found in added_noise(SHAPE, 3):
        np.testing.assert_array_equal(found, torch.randn(SHAPE, generator=generator).numpy())
