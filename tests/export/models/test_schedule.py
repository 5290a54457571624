"""Schedulers as plain numbers."""

from typing import Any

import numpy as np
import pytest
from diffusers import DDIMScheduler, EulerDiscreteScheduler, LCMScheduler

from clavilux.export.models.schedule import CLASSES, MIN_STEP_COUNTS, ScheduleChoice, read_schedule
from clavilux.export.parity.reference_runs import untouched_pipeline
from clavilux.runtime.errors import ExportError

TURBO = {
    "_class_name": "EulerDiscreteScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "trailing",
}


def spec(**changes: Any):
    return read_schedule(TURBO | changes, "here")[1]


def refusal(**changes: Any) -> str:
    with pytest.raises(ExportError) as caught:
        spec(**changes)
    return str(caught.value)


def test_sd_turbos_numbers_are_those_of_diffusers():
    found, theirs = spec(), EulerDiscreteScheduler.from_config(TURBO)
    np.testing.assert_allclose(found.alphas_cumprod, theirs.alphas_cumprod, rtol=1e-6)
    for count in range(1, MIN_STEP_COUNTS + 1):
        theirs.set_timesteps(count)
        np.testing.assert_array_equal(found.timesteps[count], theirs.timesteps)


def test_euler_starts_at_its_largest_sigma():
    theirs = EulerDiscreteScheduler.from_config(TURBO)
    assert spec().initial_noise == pytest.approx(float(1 - theirs.alphas_cumprod[-1]) ** 0.5, rel=1e-5)


def test_euler_with_leading_timesteps_starts_at_unit_variance():
    assert spec(timestep_spacing="leading").initial_noise == 1.0


@pytest.mark.parametrize(("kind", "cls"), [("ddim", DDIMScheduler), ("lcm", LCMScheduler)])
def test_other_schedulers_start_at_unit_variance(kind: str, cls: type):
    found = spec(_class_name=cls.__name__, timestep_spacing="leading", clip_sample=False)
    assert (found.kind, found.initial_noise) == (kind, 1.0)


def test_ddim_ends_where_its_configuration_says():
    ddim = {"_class_name": "DDIMScheduler", "clip_sample": False}
    assert spec(**ddim, set_alpha_to_one=True).final_alpha == 1.0
    assert spec(**ddim, set_alpha_to_one=False).final_alpha == pytest.approx(spec().alphas_cumprod[0])


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_another_kind_can_be_made_of_the_configuration(kind: str):
    found = read_schedule(TURBO | {"clip_sample": False}, "here", ScheduleChoice(kind))[1]
    assert (found.kind, found.alphas_cumprod) == (kind, spec().alphas_cumprod)


def test_an_unknown_scheduler_is_refused_with_those_that_are_known():
    message = refusal(_class_name="PNDMScheduler")
    assert "is a 'PNDMScheduler'; expected one of EulerDiscreteScheduler, DDIMScheduler, LCMScheduler" in message
    assert "--schedule" in message


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("use_karras_sigmas", True),
        ("interpolation_type", "log_linear"),
        ("final_sigmas_type", "sigma_min"),
        ("timestep_type", "continuous"),
    ],
)
def test_what_the_rows_cannot_express_is_refused(setting: str, value: object):
    assert f"has {setting} {value!r}; expected" in refusal(**{setting: value})


@pytest.mark.parametrize("told", [{}, {"clip_sample": True}, {"clip_sample": False}])
@pytest.mark.parametrize("offset", [{}, {"steps_offset": 0}, {"steps_offset": 1}])
def test_the_numbers_are_those_of_a_pipeline_that_was_loaded(told: dict, offset: dict):
    """StableDiffusionPipeline clips nothing and begins a timestep later, whatever an old configuration says."""
    config = TURBO | {"_class_name": "DDIMScheduler", "timestep_spacing": "leading"} | told | offset
    found = read_schedule(config, "here")
    theirs = untouched_pipeline(None, DDIMScheduler.from_config(config)).scheduler
    theirs.set_timesteps(4)
    assert found.spec.timesteps[4] == tuple(theirs.timesteps.tolist()) == (751.0, 501.0, 251.0, 1.0)
    assert (found.scheduler.config.clip_sample, theirs.config.clip_sample) == (False, False)
    assert found.configured.config.clip_sample is told.get("clip_sample", True)


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "DDIMScheduler"])
def test_linspace_is_refused_since_its_one_step_would_start_at_the_end(name: str):
    message = refusal(_class_name=name, clip_sample=False, timestep_spacing="linspace")
    assert "has timestep_spacing 'linspace'; expected trailing or leading: choose one with --spacing" in message


def test_another_spacing_can_be_chosen():
    found = read_schedule(TURBO | {"timestep_spacing": "linspace"}, "here", ScheduleChoice(spacing="trailing"))[1]
    assert found.timesteps == spec().timesteps


def test_lcm_has_timesteps_of_its_own_whatever_the_spacing():
    found = spec(_class_name="LCMScheduler", timestep_spacing="linspace")
    assert found.timesteps[1] == (999.0,)


def test_an_unknown_prediction_is_refused():
    assert "predicts 'flow'; expected one of epsilon" in refusal(prediction_type="flow")


@pytest.mark.parametrize(("asked", "most"), [(1, 4), (4, 4), (5, 5), (50, 50)])
def test_there_are_timesteps_for_every_number_of_steps_up_to_what_is_asked_for(asked: int, most: int):
    found = read_schedule(TURBO, "here", ScheduleChoice(steps=asked))[1]
    assert list(found.timesteps) == list(range(1, most + 1))
    assert all(len(times) == count for count, times in found.timesteps.items())


def test_fifty_ddim_steps_are_those_of_the_reference():
    ddim = TURBO | {"_class_name": "DDIMScheduler", "timestep_spacing": "leading", "steps_offset": 1}
    config = ddim | {"clip_sample": False, "set_alpha_to_one": False}
    found = read_schedule(config, "here", ScheduleChoice(steps=50))[1]
    assert found.timesteps[50] == tuple(float(time) for time in range(981, 0, -20))


def test_more_steps_than_lcm_was_distilled_in_are_one_line_of_error():
    with pytest.raises(ExportError) as caught:
        read_schedule(TURBO | {"_class_name": "LCMScheduler"}, "here", ScheduleChoice(steps=51))
    assert str(caught.value).startswith("scheduler here cannot do 51 steps: ")
    assert "\n" not in str(caught.value)


def test_as_many_steps_as_lcm_was_distilled_in_are_fine():
    found = read_schedule(TURBO | {"_class_name": "LCMScheduler"}, "here", ScheduleChoice(steps=50))[1]
    assert len(found.timesteps[50]) == 50


def test_more_steps_than_the_schedule_has_timesteps_are_one_line_of_error():
    with pytest.raises(ExportError, match=r"scheduler here cannot do 11 steps: "):
        read_schedule(
            TURBO | {"_class_name": "DDIMScheduler", "clip_sample": False, "num_train_timesteps": 10},
            "here",
            ScheduleChoice(steps=11),
        )


def test_a_scheduler_made_of_another_kind_does_not_begin_to_clip():
    assert read_schedule(TURBO, "here", ScheduleChoice("ddim"))[0].config.clip_sample is False


ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "DDIMScheduler", "LCMScheduler"])
def test_pure_noise_tells_nothing_of_a_picture_to_what_predicts_epsilon(kind: str):
    """A row of numbers would divide by the picture's share, which is 0, or 2**-24 where diffusers rounds it up."""
    found = {"_class_name": kind, "clip_sample": False, **ZERO_SNR}
    assert refusal(**found, prediction_type="epsilon") == (
        "scheduler here begins at pure noise (rescale_betas_zero_snr) and predicts epsilon, from which no picture "
        "follows; expected prediction_type v_prediction, or a schedule that keeps some of the picture"
    )
    assert spec(**found, prediction_type="v_prediction").prediction == "v_prediction"


def test_leading_timesteps_do_not_begin_at_pure_noise():
    found = spec(
        _class_name="DDIMScheduler", clip_sample=False, rescale_betas_zero_snr=True, timestep_spacing="leading"
    )
    assert found.prediction == "epsilon"
