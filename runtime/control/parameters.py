"""Parameters of the instrument, declared once as data: the engine, the protocol, the page and the commands read this.

Values are merged per key, newest wins, and take effect at a frame boundary.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from clavilux.runtime.bundle.manifest import MAX_GUIDANCE, MAX_PIXELS, MAX_STEPS, Manifest
from clavilux.runtime.control.routes import SOURCES, parse_route
from clavilux.runtime.errors import ParameterError
from clavilux.runtime.refused_json import shown

Value = float | int | bool | str

GROUPS = ("react", "morph", "look", "sound", "safety", "engine")
CALM: dict[str, Any] = {"react": 0.0, "feedback": 0.0}  # what panic sets beside itself
WAVES = ("sine", "triangle", "ramp", "square")
DEFAULT_ROUTES = (
    "level > exposure 0.2, attack 0.02, release 0.15",
    "onset > saturation 0.65, attack 0, release 0.08, curve 0.5",
    "onset > hue 15, attack 0, release 0.08, curve 0.5",
    "onset > glow 0.25, attack 0, release 0.08, curve 0.5",
    "beat > glow 0.2, attack 0, release 0.03",
    "low > displacement 0.01, attack 0.01, release 0.12, curve 2",
    "onset > motion_zoom 1.5, attack 0, release 0.12",
    "brightness > saturation 0.25, attack 0.1, release 0.3",
    "lfo_1 > rotation 1.2, release 0",
)
"""The patch to begin with: alive at once, never nervous. Onsets tint and kindle what is there rather than move it, for
edges that jump at every stroke are flashes, which the limiter slows down."""

CALLS_FIRST = "once"  # kind of guidance that calls the graph for each picture before its first step


@dataclass(frozen=True)
class Range:
    """Range of one parameter: a kind, bounds or choices, and a line for people."""

    kind: str  # "float", "int", "bool", "choice" or "route"
    about: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()
    unit: str = ""
    multiple: int = 1  # whole numbers come in these
    fixed: bool = False  # a number that no route moves
    or_zero: bool = False  # 0 is taken as well, though it is below `low`
    limits: tuple[tuple[str, float], ...] = ()  # what other parameters may be at most while this one is on
    group: str = "engine"  # one of GROUPS
    on: str = "picture"  # or "screen": what acts after the decoder, and changes no picture of the engine's


def _parameter(default: Value, spec: Range) -> Any:
    return field(default=default, metadata={"range": spec})


def _route(number: int) -> Any:
    default = DEFAULT_ROUTES[number - 1] if number <= len(DEFAULT_ROUTES) else ""
    return _parameter(default, Range("route", "what of the sound moves what: source > parameter amount", group="react"))


@dataclass(frozen=True)
class Parameters:
    """One complete set of values. Construct through `merge`, which checks them."""

    # react: how the sound moves the picture now
    react: float = _parameter(
        1.0,
        Range(
            "float",
            "how strongly; at 0 only the light follows the sound",
            0.0,
            2.0,
            fixed=True,
            group="react",
        ),
    )
    lfo_1: float = _parameter(
        0.05, Range("float", "speed of the first slow wave", 0.005, 20.0, unit="per second", fixed=True, group="react")
    )
    lfo_1_beats: float = _parameter(
        0.0,
        Range(
            "float", "beats that the first wave lasts; 0: not tied to the beat", 0.0, 64.0, fixed=True, group="react"
        ),
    )
    lfo_1_shape: str = _parameter("sine", Range("choice", "shape of the first wave", choices=WAVES, group="react"))
    lfo_2: float = _parameter(
        0.013,
        Range("float", "speed of the second slow wave", 0.005, 20.0, unit="per second", fixed=True, group="react"),
    )
    lfo_2_beats: float = _parameter(
        0.0,
        Range(
            "float", "beats that the second wave lasts; 0: not tied to the beat", 0.0, 64.0, fixed=True, group="react"
        ),
    )
    lfo_2_shape: str = _parameter("sine", Range("choice", "shape of the second wave", choices=WAVES, group="react"))
    route_1: str = _route(1)
    route_2: str = _route(2)
    route_3: str = _route(3)
    route_4: str = _route(4)
    route_5: str = _route(5)
    route_6: str = _route(6)
    route_7: str = _route(7)
    route_8: str = _route(8)
    route_9: str = _route(9)
    route_10: str = _route(10)
    route_11: str = _route(11)
    route_12: str = _route(12)
    # morph: how one picture becomes the next
    glide: float = _parameter(
        0.35, Range("float", "how slowly one thing melts into the next; 0 cuts", 0.0, 30.0, unit="s", group="morph")
    )
    noise: str = _parameter(
        "walk",
        Range(
            "choice",
            "walk: it wanders; fixed: only the sound moves it; fresh: each picture is new",
            choices=("fixed", "fresh", "walk"),
            group="morph",
        ),
    )
    walk: float = _parameter(
        0.25, Range("float", "how fast it wanders", 0.0, 10.0, unit="turns per second", group="morph")
    )
    feedback: float = _parameter(
        0.0, Range("float", "how much of the last picture stays in the next", 0.0, 0.95, group="morph")
    )
    motion_zoom: float = _parameter(
        0.0,
        Range(
            "float",
            "flight into the picture, below 0 out of it",
            -2.0,
            2.0,
            unit="per second",
            group="morph",
        ),
    )
    motion_rotation: float = _parameter(
        0.0, Range("float", "turns as it flows", -180.0, 180.0, unit="° per second", group="morph")
    )
    motion_x: float = _parameter(
        0.0, Range("float", "flows to the right", -1.0, 1.0, unit="widths per second", group="morph")
    )
    motion_y: float = _parameter(
        0.0, Range("float", "flows upwards", -1.0, 1.0, unit="heights per second", group="morph")
    )
    motion_drift: float = _parameter(0.0, Range("float", "slow, swaying currents", 0.0, 1.0, group="morph"))
    seed: int = _parameter(7, Range("int", "another number, another way to wander", 0, 2**32 - 1, group="morph"))
    # look: what is done to the picture on the screen
    light: float = _parameter(
        0.6,
        Range("float", "light for what is heard and not known, and round what is", 0.0, 1.0, group="look", on="screen"),
    )
    exposure: float = _parameter(
        0.0, Range("float", "brighter or darker, in stops", -4.0, 4.0, unit="stops", group="look", on="screen")
    )
    zoom: float = _parameter(1.0, Range("float", "nearer or further", 0.25, 4.0, group="look", on="screen"))
    rotation: float = _parameter(
        0.0, Range("float", "turned to the left", -180.0, 180.0, unit="°", group="look", on="screen")
    )
    hue: float = _parameter(
        0.0, Range("float", "all colours, moved round the circle", -180.0, 180.0, unit="°", group="look", on="screen")
    )
    saturation: float = _parameter(1.0, Range("float", "0 is grey, 2 is garish", 0.0, 2.0, group="look", on="screen"))
    displacement: float = _parameter(
        0.0, Range("float", "the picture ripples like water", 0.0, 0.2, unit="heights", group="look", on="screen")
    )
    glow: float = _parameter(0.0, Range("float", "light spills over its edges", 0.0, 1.0, group="look", on="screen"))
    trails: float = _parameter(0.0, Range("float", "light stays behind", 0.0, 0.98, group="look", on="screen"))
    grain: float = _parameter(0.0, Range("float", "grain, as of film", 0.0, 1.0, group="look", on="screen"))
    mirror: int = _parameter(0, Range("int", "mirrors of a kaleidoscope; 0: none", 0, 12, group="look", on="screen"))
    # sound: how it listens
    gain: float = _parameter(
        0.0, Range("float", "of the input, before all else", -20.0, 40.0, unit="dB", fixed=True, group="sound")
    )
    gain_follows: bool = _parameter(
        False, Range("bool", "the gain goes slowly to where the sound is as loud as it should be", group="sound")
    )
    gate: float = _parameter(
        -45.0, Range("float", "quieter than this is silence", -120.0, 0.0, unit="dBFS", fixed=True, group="sound")
    )
    gate_follows: bool = _parameter(
        True, Range("bool", "the gate goes down to the noise of the room; off: it stays where it is", group="sound")
    )
    hold: float = _parameter(
        1.5, Range("float", "a pause shorter than this changes nothing", 0.0, 60.0, unit="s", fixed=True, group="sound")
    )
    drift: float = _parameter(
        2.5, Range("float", "how slowly it goes home in silence", 0.0, 60.0, unit="s", group="sound")
    )
    # safety: what a stage needs
    master: float = _parameter(
        1.0, Range("float", "brightness of everything; 0 is black", 0.0, 1.0, fixed=True, group="safety", on="screen")
    )
    fade: float = _parameter(
        0.0,
        Range(
            "float",
            "how long it takes to go to black and back",
            0.0,
            60.0,
            unit="s",
            fixed=True,
            group="safety",
            on="screen",
        ),
    )
    flash_limit: bool = _parameter(
        True, Range("bool", "no more flashes than eyes can bear (WCAG 2.3.1)", group="safety", on="screen")
    )
    freeze: bool = _parameter(False, Range("bool", "keep the last picture", group="safety"))
    blackout: bool = _parameter(False, Range("bool", "show black", group="safety"))
    panic: bool = _parameter(
        False, Range("bool", "black, and feedback and react go to 0; off begins afresh", group="safety")
    )
    # engine: how the pictures are made
    steps: int = _parameter(1, Range("int", "passes over each picture; more is slower", 1, MAX_STEPS, group="engine"))
    stream_batch: bool = _parameter(
        False, Range("bool", "all passes at once, each on another picture: faster, and later", group="engine")
    )
    guidance: float = _parameter(
        1.0, Range("float", "how hard it pulls to what is heard; 1: not at all", 0.0, MAX_GUIDANCE, group="engine")
    )
    frame_rate: float = _parameter(
        0.0,
        Range(
            "float",
            "how many pictures; 0: as many as fit, up to 30",
            1.0,
            120.0,
            unit="per second",
            or_zero=True,
            fixed=True,
            group="engine",
        ),
    )
    hop: float = _parameter(
        0.0,
        Range(
            "float",
            "time between looks at the sound; 0: as often as fits",
            0.0,
            5.0,
            unit="s",
            fixed=True,
            group="engine",
        ),
    )
    height: int = _parameter(
        0, Range("int", "of the picture, for bundles of many sizes", 0, 8192, unit="pixels", group="engine")
    )
    width: int = _parameter(
        0, Range("int", "of the picture, for bundles of many sizes", 0, 8192, unit="pixels", group="engine")
    )

    def merge(self, values: Mapping[str, Any], ranges: "Mapping[str, Range] | None" = None) -> "Parameters":
        """Return a copy with `values` in place; `ranges`, of `ranges_for`, are those of the bundle that plays.

        Panic takes `CALM` along. Raises ParameterError, naming the key, what was found and what was expected; then
        nothing is taken.
        """
        ranges = RANGES if ranges is None else ranges
        for key, value in values.items():
            spec = ranges.get(key)
            if spec is None:
                known = "this bundle has none" if key in RANGES else f"there are {', '.join(ranges)}"
                raise ParameterError(f"no parameter {shown(key)}; {known}")
            _check(key, value, spec)
        changes: dict[str, Any] = {key: _convert(value, ranges[key]) for key, value in values.items()}
        merged = replace(self, **((CALM if changes.get("panic") else {}) | changes))
        _check_limits(merged.values(), ranges)
        return merged

    def values(self) -> dict[str, Value]:
        """Return all values by name."""
        return vars(self).copy()


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
    """Return the parameters that a bundle begins with.

    The screen's light is off until asked for where it would always veil the pictures, as the bundle knows nothing by
    name, and where the bundle paints light itself.
    """
    height, width = (manifest.picture.height, manifest.picture.width) if manifest.sizes else (0, 0)
    own = Parameters(steps=manifest.steps, guidance=manifest.guidance.scale, height=height, width=width)
    return own if manifest.concepts and not manifest.light else replace(own, light=0.0)


def describe(
    ranges: Mapping[str, Range] | None = None, defaults: Parameters | None = None
) -> dict[str, dict[str, Any]]:
    """Return every parameter's kind, bounds, choices, unit, default and line, ready for JSON."""
    values = (defaults or Parameters()).values()
    ranges = RANGES if ranges is None else ranges
    return {name: _description(spec) | {"default": values[name]} for name, spec in ranges.items()}


def _description(spec: Range) -> dict[str, Any]:
    base: dict[str, Any] = {"kind": spec.kind, "about": spec.about, "group": spec.group, "on": spec.on}
    if spec.kind == "choice":
        return base | {"choices": list(spec.choices)}
    if spec.kind == "route":
        return base | {"sources": list(SOURCES)}
    if spec.kind == "bool":
        return base
    more: dict[str, Any] = {"multiple": spec.multiple} if spec.multiple > 1 else {}
    more |= {"or_zero": True} if spec.or_zero else {}
    more |= {"fixed": True} if spec.fixed else {}
    return base | {"low": spec.low, "high": spec.high, "unit": spec.unit} | more


def _check(key: str, value: Any, spec: Range) -> None:
    if spec.kind == "bool":
        if not isinstance(value, bool):
            raise ParameterError(f"{key} is {shown(value)}; expected true or false")
    elif spec.kind == "route":
        _check_route(key, value)
    elif spec.kind == "choice":
        if value not in spec.choices:
            raise ParameterError(f"{key} is {shown(value)}; expected one of {', '.join(spec.choices)}")
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or (spec.kind == "int" and value != value // 1):
        number = "a whole number" if spec.kind == "int" else "a number"
        raise ParameterError(f"{key} is {shown(value)}; expected {number}")
    elif not spec.low <= value <= spec.high and not (spec.or_zero and value == 0):
        low, high = (int(bound) if bound == bound // 1 else bound for bound in (spec.low, spec.high))
        told = f"{'0, or ' if spec.or_zero else ''}{low} to {high} {spec.unit}"
        raise ParameterError(f"{key} is {shown(value)}; expected {told}".rstrip())
    elif value % spec.multiple and spec.multiple > 1:
        raise ParameterError(f"{key} is {shown(value)}; expected a multiple of {spec.multiple}")


def _check_route(key: str, value: Any) -> None:
    """Raise ParameterError unless `value` is a route to a parameter that can be moved; a bundle need not have it."""
    if not isinstance(value, str):
        raise ParameterError(f"{key} is {shown(value)}; expected a line of text")
    try:
        route = parse_route(value)
    except ValueError as error:
        raise ParameterError(f"{key} is {shown(value)}; {error}") from error
    movable = [name for name, spec in RANGES.items() if spec.kind == "float" and not spec.fixed]
    if route is not None and route.target not in movable:
        raise ParameterError(f"{key} leads to {shown(route.target)}; expected one of {', '.join(movable)}")


def _check_limits(values: Mapping[str, Value], ranges: Mapping[str, Range]) -> None:
    """Raise ParameterError where parameters that fit alone do not fit together.

    One that is on may allow less of another one; and a picture has no more than `MAX_PIXELS`, whatever its shape.
    """
    for name, spec in ranges.items():
        for other, most in spec.limits if values[name] else ():
            if float(found := values[other]) > most:
                raise ParameterError(
                    f"{other} is {found} with {name} on; expected at most {most}, lower it or switch {name} off"
                )
    height, width = int(values["height"]), int(values["width"])
    if height * width > MAX_PIXELS:
        raise ParameterError(
            f"a picture of {height}x{width} has {height * width} pixels; expected {MAX_PIXELS} at most, lower one side"
        )


def _convert(value: Any, spec: Range) -> Value:
    kinds: dict[str, type] = {"float": float, "int": int}
    converted: Value = kinds.get(spec.kind, lambda same: same)(value)
    return converted
