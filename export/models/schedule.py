"""A diffusers scheduler becomes plain numbers for the manifest, so that the runtime needs no scheduler."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from diffusers import DDIMScheduler, EulerDiscreteScheduler, LCMScheduler

from clavilux.export.options import SPACINGS
from clavilux.runtime.bundle.manifest import PREDICTIONS, ScheduleSpec
from clavilux.runtime.errors import ExportError

KINDS = {"EulerDiscreteScheduler": "euler", "DDIMScheduler": "ddim", "LCMScheduler": "lcm"}
CLASSES = {"euler": EulerDiscreteScheduler, "ddim": DDIMScheduler, "lcm": LCMScheduler}
MIN_STEP_COUNTS = 4
"""The manifest has timesteps for 1 to this many steps, and on to what the bundle begins with."""

PIPELINE_RULES = {"steps_offset": 1, "clip_sample": False}
"""Settings that StableDiffusionPipeline writes into every scheduler that has them, whatever its configuration says."""

PURE_NOISE = 2.0**-24
"""Share of the picture in a sample, alpha_cumprod, that diffusers writes for none at all where 0 would not do."""

SPACED = ("euler", "ddim")  # kinds that obey timestep_spacing

_PLAIN = {
    "use_karras_sigmas": (False, None),
    "use_exponential_sigmas": (False, None),
    "use_beta_sigmas": (False, None),
    "interpolation_type": ("linear", None),
    "final_sigmas_type": ("zero", None),
    "timestep_type": ("discrete", None),
    "thresholding": (False, None),
}
"""Settings that the runtime's rows of numbers can express, by name; None stands for a setting that is absent."""


@dataclass(frozen=True)
class ScheduleChoice:
    """Choices instead of the configuration's own."""

    kind: str | None = None  # one of CLASSES
    spacing: str | None = None  # one of SPACINGS
    steps: int = 1  # the bundle shall have timesteps for this many


class ReadSchedule(NamedTuple):
    """A scheduler as the pipeline runs it, its numbers, and the scheduler as its configuration has it."""

    scheduler: Any
    spec: ScheduleSpec
    configured: Any  # what an untouched pipeline is given, which then follows its own rules


def read_schedule(config: Mapping[str, Any], where: object, choice: ScheduleChoice = ScheduleChoice()) -> ReadSchedule:
    """Return the diffusers scheduler of this configuration, and its numbers.

    Raises ExportError for a scheduler, a setting or a number of steps that the runtime or the scheduler cannot express.
    """
    kind = choice.kind or _kind(config, where)
    spacing = {"timestep_spacing": choice.spacing} if choice.spacing else {}
    configured = CLASSES[kind].from_config(dict(config) | spacing)
    scheduler = CLASSES[kind].from_config(dict(config) | spacing | PIPELINE_RULES)
    _check_settings(scheduler, kind, where)
    prediction = scheduler.config.prediction_type
    if prediction not in PREDICTIONS:
        raise ExportError(f"scheduler {where} predicts {prediction!r}; expected one of {', '.join(PREDICTIONS)}")
    most = max(MIN_STEP_COUNTS, choice.steps)
    timesteps = {count: _timesteps(scheduler, count, where) for count in range(1, most + 1)}
    _check_noise(scheduler, timesteps[1], where)
    spec = ScheduleSpec(
        kind=kind,
        prediction=prediction,
        alphas_cumprod=tuple(float(alpha) for alpha in scheduler.alphas_cumprod),
        timesteps=timesteps,
        initial_noise=_initial_noise(scheduler, kind),
        final_alpha=float(scheduler.final_alpha_cumprod) if kind == "ddim" else 1.0,
    )
    return ReadSchedule(scheduler, spec, configured)


def _kind(config: Mapping[str, Any], where: object) -> str:
    name = config.get("_class_name")
    if name not in KINDS:
        raise ExportError(
            f"scheduler {where} is a {name!r}; expected one of {', '.join(KINDS)}: "
            f"choose one with --schedule {'|'.join(CLASSES)}"
        )
    return KINDS[name]


def _check_settings(scheduler: Any, kind: str, where: object) -> None:
    for key, plain in _PLAIN.items():
        if scheduler.config.get(key) not in plain:
            raise ExportError(f"scheduler {where} has {key} {scheduler.config[key]!r}; expected {plain[0]!r}")
    found = scheduler.config.get("timestep_spacing")
    if kind in SPACED and found not in SPACINGS:
        expected = " or ".join(SPACINGS)
        raise ExportError(
            f"scheduler {where} has timestep_spacing {found!r}; expected {expected}: choose one with --spacing"
        )


def _check_noise(scheduler: Any, timesteps: tuple[float, ...], where: object) -> None:
    """Raise ExportError when the first step would divide by the picture's share of its sample, which is nothing."""
    begun_at = float(scheduler.alphas_cumprod[int(timesteps[0])])
    if scheduler.config.prediction_type == "epsilon" and begun_at <= PURE_NOISE:
        raise ExportError(
            f"scheduler {where} begins at pure noise ({_why_pure(scheduler)}) and predicts epsilon, from which no "
            "picture follows; expected prediction_type v_prediction, or a schedule that keeps some of the picture"
        )


def _why_pure(scheduler: Any) -> str:
    rescaled = scheduler.config.get("rescale_betas_zero_snr")
    return "rescale_betas_zero_snr" if rescaled else f"beta_schedule {scheduler.config.beta_schedule}"


def _timesteps(scheduler: Any, count: int, where: object) -> tuple[float, ...]:
    try:
        scheduler.set_timesteps(count)
    except ValueError as error:
        line = str(error).strip().splitlines()[0]
        raise ExportError(f"scheduler {where} cannot do {count} steps: {line}") from error
    return tuple(float(timestep) for timestep in scheduler.timesteps)


def _initial_noise(scheduler: Any, kind: str) -> float:
    """Return what multiplies N(0, 1) noise, in variance-preserving scale: Euler starts at its largest sigma."""
    if kind != "euler" or scheduler.config.timestep_spacing == "leading":
        return 1.0
    scheduler.set_timesteps(1)
    sigma = float(scheduler.sigmas.max())
    return float(sigma / (sigma**2 + 1) ** 0.5)
