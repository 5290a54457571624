"""Parameters of the instrument, declared once as data: the engine, the protocol, the page and the commands read this.

Values are merged per key, newest wins, and take effect at a frame boundary.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from clavilux.runtime.bundle.manifest import MAX_GUIDANCE, MAX_STEPS, Manifest
from clavilux.runtime.errors import ParameterError

Value = float | int | bool | str

CALLS_FIRST = "once"  # kind of guidance that calls the graph for each picture before its first step


@dataclass(frozen=True)
class Range:
    """Range of one parameter: a kind, bounds or choices, and a line for people."""

    kind: str  # "float", "int", "bool" or "choice"
    about: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()
    unit: str = ""
    multiple: int = 1  # whole numbers come in these
    or_zero: bool = False  # 0 is taken as well, though it is below `low`
    limits: tuple[tuple[str, float], ...] = ()  # what other parameters may be at most while this one is on


def _parameter(default: Value, spec: Range) -> Any:
    return field(default=default, metadata={"range": spec})


@dataclass(frozen=True)
class Parameters:
    """One complete set of values. Construct through `merge`, which checks them."""

    glide: float = _parameter(
        0.35, Range("float", "time constant of the glide between embeddings", 0.0, 30.0, unit="s")
    )
    noise: str = _parameter("walk", Range("choice", "where latents start from", choices=("fixed", "fresh", "walk")))
    walk: float = _parameter(
        0.25, Range("float", "speed of the walk through noise", 0.0, 10.0, unit="draws per second")
    )
    feedback: float = _parameter(0.0, Range("float", "how much of the last latents stays", 0.0, 0.95))
    steps: int = _parameter(1, Range("int", "denoising steps per frame", 1, MAX_STEPS))
    stream_batch: bool = _parameter(
        False, Range("bool", "one call for all steps, each of another picture; they come later")
    )
    guidance: float = _parameter(
        1.0, Range("float", "away from the negative prompt; 1 is not at all", 0.0, MAX_GUIDANCE)
    )
    seed: int = _parameter(7, Range("int", "seed of all noise", 0, 2**32 - 1))
    gate: float = _parameter(-55.0, Range("float", "below this loudness it is silent", -120.0, 0.0, unit="dBFS"))
    hold: float = _parameter(1.5, Range("float", "silence shorter than this changes nothing", 0.0, 60.0, unit="s"))
    drift: float = _parameter(2.5, Range("float", "time constant of the way to the idle picture", 0.0, 60.0, unit="s"))
    frame_rate: float = _parameter(
        0.0, Range("float", "frames; 0: as many as fit, up to 30", 1.0, 120.0, unit="per second", or_zero=True)
    )
    hop: float = _parameter(0.0, Range("float", "time between looks at the sound; 0 is what fits", 0.0, 5.0, unit="s"))
    freeze: bool = _parameter(False, Range("bool", "keep the last picture"))
    height: int = _parameter(0, Range("int", "of the picture, for bundles of many sizes", 0, 8192, unit="pixels"))
    width: int = _parameter(0, Range("int", "of the picture, for bundles of many sizes", 0, 8192, unit="pixels"))
    blackout: bool = _parameter(False, Range("bool", "show black"))

    def merge(self, values: Mapping[str, Any], ranges: "Mapping[str, Range] | None" = None) -> "Parameters":
        """Return a copy with `values` in place; `ranges`, of `ranges_for`, are those of the bundle that plays.

        Raises ParameterError, naming the key, what was found and what was expected; then nothing is taken.
        """
        ranges = RANGES if ranges is None else ranges
        for key, value in values.items():
            spec = ranges.get(key)
            if spec is None:
                known = "this bundle has none" if key in RANGES else f"there are {', '.join(ranges)}"
                raise ParameterError(f"no parameter {key!r}; {known}")
            _check(key, value, spec)
        changes: dict[str, Any] = {key: _convert(value, ranges[key]) for key, value in values.items()}
        merged = replace(self, **changes)
        _check_limits(merged.values(), ranges)
        return merged

    def values(self) -> dict[str, Value]:
        """Return all values by name."""
        return asdict(self)


RANGES: dict[str, Range] = {f.name: f.metadata["range"] for f in fields(Parameters)}


def ranges_for(manifest: Manifest) -> dict[str, Range]:
    """Return the ranges of a bundle's parameters: what its graphs cannot do is not there."""
    ranges = dict(RANGES)
    ranges["steps"] = replace(ranges["steps"], high=max(manifest.schedule.timesteps))
    if manifest.guidance.kind == "none":
        del ranges["guidance"]
    if manifest.batch == 1 or ranges["steps"].high == 1 or manifest.guidance.kind == CALLS_FIRST:
        del ranges["stream_batch"]
    else:
        ranges["stream_batch"] = replace(ranges["stream_batch"], limits=(("steps", manifest.batch),))
    for side in ("height", "width"):
        if (sizes := manifest.sizes) is None:
            del ranges[side]
        else:
            ranges[side] = replace(ranges[side], low=sizes.smallest, high=sizes.largest, multiple=sizes.multiple)
    return ranges


def defaults_for(manifest: Manifest) -> Parameters:
    """Return the parameters that a bundle begins with."""
    height, width = (manifest.picture.height, manifest.picture.width) if manifest.sizes else (0, 0)
    return Parameters(steps=manifest.steps, guidance=manifest.guidance.scale, height=height, width=width)


def describe(
    ranges: Mapping[str, Range] | None = None, defaults: Parameters | None = None
) -> dict[str, dict[str, Any]]:
    """Return every parameter's kind, bounds, choices, unit, default and line, ready for JSON."""
    values = (defaults or Parameters()).values()
    ranges = RANGES if ranges is None else ranges
    return {name: _description(spec) | {"default": values[name]} for name, spec in ranges.items()}


def _description(spec: Range) -> dict[str, Any]:
    base: dict[str, Any] = {"kind": spec.kind, "about": spec.about}
    if spec.kind == "choice":
        return base | {"choices": list(spec.choices)}
    if spec.kind == "bool":
        return base
    more: dict[str, Any] = {"multiple": spec.multiple} if spec.multiple > 1 else {}
    more |= {"or_zero": True} if spec.or_zero else {}
    return base | {"low": spec.low, "high": spec.high, "unit": spec.unit} | more


def _check(key: str, value: Any, spec: Range) -> None:
    if spec.kind == "bool":
        if not isinstance(value, bool):
            raise ParameterError(f"{key} is {value!r}; expected true or false")
    elif spec.kind == "choice":
        if value not in spec.choices:
            raise ParameterError(f"{key} is {value!r}; expected one of {', '.join(spec.choices)}")
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or (spec.kind == "int" and value != value // 1):
        raise ParameterError(f"{key} is {value!r}; expected {'a whole number' if spec.kind == 'int' else 'a number'}")
    elif not spec.low <= value <= spec.high and not (spec.or_zero and value == 0):
        low, high = (int(bound) if bound == bound // 1 else bound for bound in (spec.low, spec.high))
        told = f"{'0, or ' if spec.or_zero else ''}{low} to {high} {spec.unit}"
        raise ParameterError(f"{key} is {value}; expected {told}".rstrip())
    elif value % spec.multiple and spec.multiple > 1:
        raise ParameterError(f"{key} is {value}; expected a multiple of {spec.multiple}")


def _check_limits(values: Mapping[str, Value], ranges: Mapping[str, Range]) -> None:
    """Raise ParameterError where a parameter that is on allows less of another one than is asked for."""
    for name, spec in ranges.items():
        for other, most in spec.limits if values[name] else ():
            if float(found := values[other]) > most:
                raise ParameterError(
                    f"{other} is {found} with {name} on; expected at most {most}, lower it or switch {name} off"
                )


def _convert(value: Any, spec: Range) -> Value:
    kinds: dict[str, type] = {"float": float, "int": int}
    converted: Value = kinds.get(spec.kind, lambda same: same)(value)
    return converted
