"""A plan for so many stages and viewers, from what `clavilux.benchmarks.studies.scale` measured: arithmetic, no more.

    python -m clavilux.benchmarks.studies.plan scale.json --viewers 10000 --stages 10
    python -m clavilux.benchmarks.studies.plan scale.json --stages 10 --rate 30 --pictures 240  # another card's

Stages per machine: pictures per second of all its stages, by the rate of each, with headroom. Viewers: frames times
rate. What a stage's process cannot carry goes to relays, which Clavilux does not have: one is taken to cost per frame
what the server's event loop was measured to cost. docs/scale.md says where all of this ends.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from math import ceil, floor
from pathlib import Path
from typing import Any

from clavilux.benchmarks.bench.report import columns
from clavilux.benchmarks.command_line import ended
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.percentiles import MS
from clavilux.benchmarks.studies.scale_report import FORMAT, KILO, MICRO
from clavilux.command import Parser
from clavilux.server.settings import Settings

HEADROOM = 0.7  # of what was measured, that a plan may use: bursts, other processes, warmer rooms
LINK = 10.0  # Gbit/s of a machine's network
GIGA = 1e9
MAX_COUNT = 10**9  # viewers and stages that anyone may plan for
ROUNDING = 1e-9
AS_ASKED = 0.95  # of the asked rate; stages that reach it would perhaps have gone faster


@dataclass(frozen=True)
class Measured:
    """Figures that a plan takes from scale.json."""

    machine: str
    bundle: str
    rate: float  # frames per second that were asked
    frame_bytes: float  # the largest mean of any point
    frame_cpu: float  # seconds of an event loop per frame sent
    fixed_cpu: float  # seconds per second of an event loop, without viewers
    pictures: float  # per second, of all stages at once, at most
    at_least: bool  # those stages did what was asked: the machine might do more
    memory_mb: float  # of one server


@dataclass(frozen=True)
class Wish:
    """Stages and viewers to plan for, and the means."""

    stages: int = 1
    viewers: int = 0  # of all stages together
    rate: float | None = None  # frames per second; None: as measured
    pictures: float | None = None  # per second, of one machine or card; None: as measured
    frame: float | None = None  # kB; None: as measured
    headroom: float = HEADROOM
    link: float = LINK  # Gbit/s


@dataclass(frozen=True)
class CapacityPlan:
    """Machines, networks and relays that a wish takes."""

    rate: float  # frames per second and stage
    stages_per_machine: int  # 0: not even one, at this rate with this headroom
    machines: int | None  # for the stages; None: no number of these is enough
    memory_mb: float  # that the servers of a full machine hold
    mbit_per_viewer: float
    gbit: float  # to all viewers
    per_process: int  # viewers that an event loop of its own carries
    direct: int  # viewers that a stage's own process takes
    viewers_per_stage: int
    relays_per_stage: int  # all tiers together; 0: the stages' own processes are enough
    tiers: int
    links: int  # that carry it all


def read(path: Path) -> Measured:
    """Read what `clavilux.benchmarks.studies.scale` wrote. Raises BenchError for something else, or less than all."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise BenchError(f"{path} has format {found['format']}; expected {FORMAT}: measure again")
        viewers, stages, line = found["viewers"], found["stages"], found["per_frame"]
        if not stages or line is None:
            missing = "two numbers of viewers" if line is None else "stages"
            raise BenchError(f"{path} holds no {missing}; measure them: python -m clavilux.benchmarks.studies.scale")
        best = max(stages, key=lambda one: one["together"])
        return Measured(
            machine=f"{found['machine']['processor']}, {found['machine']['cores']} cores",
            bundle=str(found["bundle"]),
            rate=float(found["frame_rate"]),
            frame_bytes=_positive(max(one["frame_bytes"] for one in viewers), "frame_bytes"),
            frame_cpu=_positive(line["slopes"].get("frames", 0.0), "CPU per frame"),
            fixed_cpu=max(0.0, float(line["fixed"])),
            pictures=_positive(best["together"], "pictures per second"),
            at_least=min(best["each"]) >= AS_ASKED * float(found["frame_rate"]),
            memory_mb=float(best["resident_mb"] or 0.0),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(
            f"{path} is no scale.json ({type(error).__name__}); write one: python -m clavilux.benchmarks.studies.scale"
        ) from error


def _positive(value: Any, name: str) -> float:
    if not float(value) > 0:
        raise BenchError(f"{name} was measured as {value}; expected more than 0: measure longer, on an idle machine")
    return float(value)


def plan(measured: Measured, wish: Wish) -> CapacityPlan:
    """Return what the wish takes."""
    rate = wish.rate or measured.rate
    per_machine = whole(wish.headroom * (wish.pictures or measured.pictures) / rate)
    stream = 8 * (wish.frame * KILO if wish.frame else measured.frame_bytes) * rate  # bit/s
    per_process = whole(wish.headroom / (measured.frame_cpu * rate))
    free = max(0.0, wish.headroom - measured.fixed_cpu)
    direct = min(Settings().max_viewers, whole(free / (measured.frame_cpu * rate)))
    each = ceil(wish.viewers / wish.stages)
    relays, tiers = relayed(each, direct, per_process)
    return CapacityPlan(
        rate=rate,
        stages_per_machine=per_machine,
        machines=ceil(wish.stages / per_machine) if per_machine else None,
        memory_mb=round(per_machine * measured.memory_mb, 1),
        mbit_per_viewer=round(stream / MICRO, 3),
        gbit=round(wish.viewers * stream / GIGA, 4),
        per_process=per_process,
        direct=direct,
        viewers_per_stage=each,
        relays_per_stage=relays,
        tiers=tiers,
        links=ceil(wish.viewers * stream / (wish.headroom * wish.link * GIGA)),
    )


def whole(value: float) -> int:
    """Return how many whole ones `value` has, where 13.9999999999 came of a division that gives 14."""
    return floor(value + ROUNDING)


def relayed(viewers: int, direct: int, per_process: int) -> tuple[int, int]:
    """Return how many relays carry so many viewers of a stage whose own process takes `direct`, and in how many tiers.

    Raises BenchError where no tree of relays can: one must carry two at least.
    """
    relays, tiers, wanted = 0, 0, viewers
    while wanted > direct:
        if per_process < 2 or not direct:
            raise BenchError(
                f"a process carries {min(per_process, direct)} viewers at this rate; plan for a lower --rate"
            )
        wanted = ceil(wanted / per_process)
        relays, tiers = relays + wanted, tiers + 1
    return relays, tiers


def table(measured: Measured, wish: Wish, found: CapacityPlan) -> str:
    """Return the plan for people."""
    pictures = wish.pictures or measured.pictures
    source = "given" if wish.pictures else f"measured{', at least' if measured.at_least else ''}"
    share = f"{wish.headroom:.0%} of it to be used"
    kilobytes = measured.frame_bytes / KILO
    beside = f" with frames of {kilobytes:.1f} kB" if wish.frame else ""
    rows = [
        ("from", "figure", "how"),
        ("pictures per second, one machine", f"{pictures:.1f}", f"{source}; {share}"),
        ("frame, kB", f"{wish.frame or kilobytes:.1f}", "given" if wish.frame else "measured"),
        ("event loop per frame, ms", f"{measured.frame_cpu * MS:.3f}", f"measured{beside}; taken for relays, too"),
        (
            "memory of a stage, MB",
            f"{measured.memory_mb:.0f}",
            f"measured, {measured.bundle}; a card's on top",
        ),
    ]
    wanted = f"{counted(wish.stages, 'stage')}, {counted(wish.viewers, 'viewer')}, {found.rate:g} frames per second"
    lines = (f"* {line}" for line in _lines(wish, found))
    return "\n".join([f"{measured.bundle} on {measured.machine}: {wanted}", columns(rows), "", *lines])


def counted(number: int, name: str) -> str:
    """Return a number with what it counts, as one writes it."""
    return f"{number} {name}{'' if number == 1 else 's'}"


def _lines(wish: Wish, found: CapacityPlan) -> list[str]:
    lines = [
        f"a machine carries {counted(found.stages_per_machine, 'stage')} ({found.memory_mb:.0f} MB of servers): "
        f"{counted(found.machines, 'machine')}"
        if found.machines
        else f"a machine does not carry one stage at {found.rate:g} frames per second: "
        "lower --rate, take a faster machine, or fewer steps"
    ]
    if not wish.viewers:
        return lines
    lines.append(
        f"a viewer takes {found.mbit_per_viewer:.2f} Mbit/s, all of them {found.gbit:.2f} Gbit/s: "
        f"{counted(found.links, 'network')} of {wish.link:g} Gbit/s at {wish.headroom:.0%}, without TCP and TLS"
    )
    lines.append(
        f"a stage has {counted(found.viewers_per_stage, 'viewer')}; its own process takes {found.direct} "
        f"(at most {Settings().max_viewers}), an event loop of its own {found.per_process}"
    )
    if found.relays_per_stage:
        lines.append(
            f"that takes {counted(found.relays_per_stage, 'relay')} per stage in {counted(found.tiers, 'tier')}, "
            f"{wish.stages * found.relays_per_stage} in all, a core each; Clavilux has no relay today"
        )
    return lines


def arguments_from(words: list[str] | None) -> argparse.Namespace:
    """Read the command line. Raises ClaviluxError."""
    parser = Parser(prog="python -m clavilux.benchmarks.studies.plan", description=__doc__)
    add = parser.add_argument
    add("scale", type=Path, help="the scale.json of a machine")
    add("--stages", type=_count, default=1, metavar="N", help="servers, one performer each (1)")
    add("--viewers", type=_count, default=0, metavar="N", help="of all stages together (0)")
    add("--rate", type=_number, metavar="FPS", help="frames per second (as measured)")
    add("--pictures", type=_number, metavar="P", help="pictures per second of the machine or card planned for")
    add("--frame", type=_number, metavar="KB", help="of one frame (as measured)")
    add("--headroom", type=_share, default=HEADROOM, metavar="H", help=f"share to be used ({HEADROOM})")
    add("--link", type=_number, default=LINK, metavar="GBIT", help=f"network of a machine, Gbit/s ({LINK:g})")
    add("--json", action="store_true", help="print one JSON object instead")
    return parser.parse_args(words)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:10]) <= MAX_COUNT):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number, up to {MAX_COUNT}")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_COUNT:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number above 0")
    return value


def _share(text: str) -> float:
    value = _number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a share, above 0 and up to 1")
    return value


def run(arguments: argparse.Namespace) -> None:
    """Print the plan. Raises ClaviluxError."""
    if not arguments.stages:
        raise BenchError("--stages 0; expected 1 or more")
    names = ("stages", "viewers", "rate", "pictures", "frame", "headroom", "link")
    wish = Wish(**{name: getattr(arguments, name) for name in names})
    measured = read(arguments.scale)
    found = plan(measured, wish)
    told = {"measured": asdict(measured), "wish": asdict(wish), "plan": asdict(found)}
    print(json.dumps(told) if arguments.json else table(measured, wish, found))


def main(words: list[str] | None = None) -> int:
    """Run the command; a mistake is one line, and exit code 2."""
    return ended("plan", lambda: run(arguments_from(words)))


if __name__ == "__main__":
    sys.exit(main())
