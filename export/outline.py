"""The outline of an export: a plan in words, before hours of work; `clavilux export --dry-run` prints this alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from clavilux.export.checkpoints.locate import origin
from clavilux.export.checkpoints.weights import FILES, StoredWeights, stored_weights
from clavilux.export.given_unet import find_onnx_unet
from clavilux.export.parity.figures import columns
from clavilux.export.plan import Plan
from clavilux.export.work.staging import size_in_words
from clavilux.runtime.bundle.manifest import ScheduleSpec
from clavilux.runtime.errors import ExportError
from clavilux.runtime.sound.format import SAMPLE_RATE

FAMILIES = {768: "SD 1.x", 1024: "SD 2.x"}
"""Families of checkpoints by the width of their tokens."""

SECONDS = {"text encoder": 47 / 340e6, "encoder": 141 / 606e6, "unet": 173 / 866e6}
"""Seconds that a parameter takes, on two cores of a server: the export of the real size in docs/export.md."""

DECODER_SECONDS = 317 / 512**2  # for a pixel, whatever decodes it
MEMORY = 9.3  # bytes at the peak, for each parameter of the largest part,
LIBRARIES = 0.6e9  # beside those of Python, torch and ONNX Runtime
MINUTE = 60
MANY = 5  # timesteps that are told one by one


@dataclass(frozen=True)
class Work:
    """Estimate of what an export takes."""

    seconds: float  # on two cores
    memory: float  # bytes
    disk: float  # bytes


def outline(plan: Plan, disk: int) -> str:
    """Return a plan as lines for people; `disk` is how many bytes it needs while it works."""
    weights = {role: _weights(plan, role) for role in _roles(plan)}
    rows = [(role, _origin(plan, role, found)) for role, found in weights.items()]
    rows += [("lora", f"{origin(lora.where)}, {lora.scale:g} times") for lora in plan.sources.lora]
    rows += [(name, text) for name, text in _settings(plan)]
    return columns([*rows, ("work", _told(estimate(plan, weights, disk)))])


def estimate(plan: Plan, weights: dict[str, StoredWeights | None], disk: int) -> Work:
    """Return what an export takes, by what one of the real size took."""
    parameters = {role: found.parameters if found else 0 for role, found in weights.items()}
    height, width = plan.picture
    seconds = sum(SECONDS.get(role, 0.0) * count for role, count in parameters.items())
    return Work(
        seconds + DECODER_SECONDS * height * width, LIBRARIES + MEMORY * max(parameters.values(), default=0), disk
    )


def _roles(plan: Plan) -> list[str]:
    found = {role.replace("_", " ") for role in plan.sources.checkpoints()}
    return [role for role in FILES if role in found]


def _weights(plan: Plan, role: str) -> StoredWeights | None:
    """Return the weights of one part as they are stored; None for a UNet that is an ONNX graph, or none can be seen."""
    where = plan.sources.checkpoints()[role.replace(" ", "_")]
    if role == "unet" and find_onnx_unet(where):
        return None
    try:
        return stored_weights(where, role, allow_pickle=plan.sources.allow_pickle, variant=plan.sources.variant)
    except ExportError:  # without a network, say: what is missing is told when it is read
        return None


def _origin(plan: Plan, role: str, found: StoredWeights | None) -> str:
    name = origin(plan.sources.checkpoints()[role.replace(" ", "_")])
    if found is None:
        return name
    among = f" (of {found.of} that are there)" if found.of > 1 else ""
    return f"{name}: {found.file}{among}, {size_in_words(found.bytes)}"


def _settings(plan: Plan) -> Iterator[tuple[str, str]]:
    options, features, schedule = plan.options, plan.features, plan.schedule
    family = FAMILIES.get(plan.width, "of its own")
    yield "family", f"{family}, tokens {plan.width} wide; predicts {schedule.prediction}"
    yield "scheduler", f"{schedule.kind}; {_timesteps(schedule, options.steps)}"
    height, width = plan.picture
    sides = f", sides from {plan.sizes.smallest} to {plan.sizes.largest}" if plan.sizes else ""
    guided = options.guidance.kind
    strength = "" if guided == "none" else f" of {options.guidance.scale:g}"
    several = f", {options.batch} at once" if options.batch > 1 else ""
    yield "pictures", f"{height}x{width}{sides}{several}; guidance {guided}{strength}"
    yield (
        "sound",
        f"windows of {features.window_samples / SAMPLE_RATE:g} s, a hop of {options.hop_samples / SAMPLE_RATE:g} s, "
        f"{plan.count - 1} tokens and BOS; before a sound {features.lead_in}, behind it {features.padding_value:g}",
    )
    stored = f", weights in {options.storage}" if options.arithmetic == "float32" else ""
    yield "arithmetic", f"{options.arithmetic}{stored}"


def _timesteps(schedule: ScheduleSpec, steps: int) -> str:
    found = [f"{time:g}" for time in schedule.timesteps[steps]]
    if len(found) > MANY:
        found = [*found[: MANY - 1], "...", found[-1]]
    return f"{steps} step{'s' if steps > 1 else ''} at {', '.join(found)}"


def _told(work: Work) -> str:
    minutes = round(work.seconds / MINUTE)
    took = f"about {minutes} minutes on two cores" if minutes > 1 else "a minute or two"
    return f"{took}, {size_in_words(work.memory)} of memory, {size_in_words(work.disk)} of disk"
