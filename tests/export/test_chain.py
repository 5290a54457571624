"""The manifest's numbers against diffusers' own loops, for every scheduler, prediction and number of steps."""

from pathlib import Path

import numpy as np
import pytest
from diffusers import DDIMScheduler, EulerDiscreteScheduler, LCMScheduler

from export.chain import Run, bundle_latents, diffusers_latents, noise
from export.checkpoints import load_unet, read_config
from export.denoiser import DenoiserGraph
from export.schedule import read_schedule
from runtime.schedule import Schedule
from tests.export.graphs import TorchSession
from tests.tiny import WIDTH, write_scheduler

SHAPE = (1, 4, 8, 8)
CLASSES = {"euler": EulerDiscreteScheduler, "ddim": DDIMScheduler, "lcm": LCMScheduler}
PLAIN = {"euler": {}, "ddim": {"clip_sample": False}, "lcm": {"clip_sample": False}}


@pytest.fixture(scope="module")
def unet(tiny_checkpoints: Path):
    return load_unet(tiny_checkpoints / "pipeline" / "unet")


def distance(unet, folder: Path, kind: str, steps: int, **settings: object) -> float:
    """Return the relative L2 distance between both runs."""
    write_scheduler(folder, CLASSES[kind], **PLAIN[kind], **settings)
    scheduler, spec = read_schedule(read_config(folder, "scheduler", "scheduler_config.json"), folder)
    run = Run(steps, np.random.default_rng(3).standard_normal((1, 5, WIDTH)).astype(np.float32), SHAPE)
    expected = diffusers_latents(unet, scheduler, run)
    found = bundle_latents(TorchSession(DenoiserGraph(unet)), Schedule(spec), run)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("kind", ["euler", "ddim", "lcm"])
def test_the_rows_give_what_diffusers_gives(unet, tmp_path: Path, kind: str, prediction: str, steps: int):
    assert distance(unet, tmp_path, kind, steps, prediction_type=prediction, timestep_spacing="leading") < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("kind", ["euler", "ddim"])
def test_trailing_timesteps_give_what_diffusers_gives(unet, tmp_path: Path, kind: str, steps: int):
    assert distance(unet, tmp_path, kind, steps, prediction_type="epsilon") < 1e-4


def test_three_ddim_steps_come_close_although_diffusers_steps_a_timestep_beside(unet, tmp_path: Path):
    assert distance(unet, tmp_path, "ddim", 3, prediction_type="epsilon") < 2e-2


def test_a_schedule_that_ends_without_signal_gives_what_diffusers_gives(unet, tmp_path: Path):
    assert distance(unet, tmp_path, "euler", 2, rescale_betas_zero_snr=True) < 1e-3


def test_noise_depends_on_its_seed_alone():
    assert noise(SHAPE, 1).equal(noise(SHAPE, 1))
    assert not noise(SHAPE, 1).equal(noise(SHAPE, 2))
