"""Lines through the points that `clavilux.benchmarks.studies.scale` measured, a table for people, JSON for the plan.

Lines are least squares, and are told with the points they were drawn from and how far off the worst one lies.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from clavilux.benchmarks.bench.report import columns
from clavilux.benchmarks.measurements.in_process import StageTimes
from clavilux.benchmarks.measurements.machine import Machine, warning
from clavilux.benchmarks.measurements.percentiles import MS, Summary
from clavilux.runtime.files import written_whole

FORMAT = 1  # of the JSON
MEGAPIXEL = 1e6
CPU_HEADS = ("server CPU", "event loop", "JPEG", "not models", "clients")
MICRO, KILO = 1e6, 1e3  # µs per second, bytes per kB


@dataclass(frozen=True)
class Watched:
    """One stage with one performer and so many viewers."""

    viewers: int
    delivered: float  # frames per second to each viewer, on average; to the performer where nobody watches
    slowest: float  # frames per second to the viewer who got the fewest
    shown: float  # frames per second to the performer
    heard_to_shown: Summary  # at the performer
    skipped: float  # share of the engine's frames that viewers did not get
    bytes_per_second: float  # to each viewer, frames alone
    frame_bytes: float
    server_cpu: float  # seconds per second, all threads
    loop_cpu: float  # the same of the event loop's thread: protocol and sockets
    compress_cpu: float  # seconds per second that JPEG took, by the clock
    clients_cpu: float  # the viewers' process

    @property
    def sent(self) -> float:
        """Frames per second to everyone, the performer too."""
        return self.shown + self.viewers * self.delivered

    @property
    def serving(self) -> float:
        """Share of the server's CPU time that does not go to models: event loop and JPEG."""
        return (self.loop_cpu + self.compress_cpu) / self.server_cpu if self.server_cpu else 0.0


@dataclass(frozen=True)
class Together:
    """So many stages at once, each with its performer alone."""

    stages: int
    threads: int  # of each; 0: one per core
    each: tuple[float, ...]  # frames per second, as each performer was shown them
    heard_to_shown: Summary  # of all performers
    server_cpu: float  # seconds per second, all servers
    resident_mb: float | None  # of one server, the largest
    card_mb: float | None

    @property
    def together(self) -> float:
        """Frames per second of all stages."""
        return round(sum(self.each), 2)


@dataclass(frozen=True)
class LinearFit:
    """value = fixed + sum of slope * x, through `points` points."""

    fixed: float
    slopes: dict[str, float]  # by what they multiply
    points: int
    worst: float  # farthest that a point lies from the line, as a share of its value

    def at(self, **xs: float) -> float:
        """Return the value there; an x that this line does not have counts for nothing."""
        return self.fixed + sum(slope * xs.get(name, 0.0) for name, slope in self.slopes.items())


@dataclass(frozen=True)
class Scale:
    """Everything of one run; what was left out is empty."""

    machine: Machine
    bundle: str
    provider: str
    frame_rate: float  # asked of every server
    seconds: float  # of each point
    viewers: tuple[Watched, ...] = ()
    stages: tuple[Together, ...] = ()
    cost: tuple[StageTimes, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def per_viewer(self) -> LinearFit | None:
        """The event loop's CPU seconds per second against viewers."""
        return fitted({"viewers": [one.viewers for one in self.viewers]}, [one.loop_cpu for one in self.viewers])

    @property
    def per_frame(self) -> LinearFit | None:
        """The event loop's CPU seconds per second against frames sent per second."""
        return fitted({"frames": [one.sent for one in self.viewers]}, [one.loop_cpu for one in self.viewers])

    @property
    def per_picture(self) -> LinearFit | None:
        """Milliseconds of a picture against megapixels times steps, and against megapixels where sizes differ."""
        sizes = [one.setting.height * one.setting.width / MEGAPIXEL for one in self.cost]
        work = [size * one.setting.steps for size, one in zip(sizes, self.cost, strict=True)]
        taken = [one.picture.p50 for one in self.cost]
        whole = fitted({"megapixels": sizes, "megapixel_steps": work}, taken, relative=True)
        return whole or fitted({"megapixel_steps": work}, taken, relative=True)

    def json(self) -> str:
        """Return one JSON object."""
        lines = {name: getattr(self, name) for name in ("per_viewer", "per_frame", "per_picture")}
        found = {"format": FORMAT, **asdict(self), **{name: line and asdict(line) for name, line in lines.items()}}
        for row, one in zip(found["viewers"], self.viewers, strict=True):
            row |= {"sent": one.sent, "serving": one.serving}
        for row, many in zip(found["stages"], self.stages, strict=True):
            row["together"] = many.together
        return json.dumps(found)

    def write(self, path: Path) -> None:
        """Write the JSON, whole or not at all."""
        with written_whole(path) as part:
            part.write_text(self.json() + "\n", encoding="utf-8")

    def table(self) -> str:
        """Return everything for people."""
        machine = self.machine
        cards = "; ".join(machine.cards) or "no NVIDIA card"
        head = (
            f"{machine.processor}, {machine.cores} cores; {cards}; {self.bundle} on {self.provider}, "
            f"{self.frame_rate:g} pictures per second asked, {self.seconds:g} s each"
        )
        loud = warning(machine)
        parts = (head, f"*** {loud}" if loud else "", self._viewers(), self._stages(), self._cost())
        return "\n\n".join(part for part in parts if part)

    def _viewers(self) -> str:
        rows: list[tuple[str, ...]] = [
            (*("viewers", "frames/s", "slowest", "p50 ms", "p95 ms", "skipped", "kB/s each", "kB/frame"), *CPU_HEADS)
        ]
        for one in self.viewers:
            rates = (f"{one.delivered:.1f}", f"{one.slowest:.1f}", *_latency(one.heard_to_shown), f"{one.skipped:.1%}")
            carried = (f"{one.bytes_per_second / KILO:.0f}", f"{one.frame_bytes / KILO:.1f}")
            parts = (one.server_cpu, one.loop_cpu, one.compress_cpu)
            cpu = (*(f"{part:.3f}" for part in parts), f"{one.serving:.0%}", f"{one.clients_cpu:.3f}")
            rows.append((str(one.viewers), *rates, *carried, *cpu))
        return self._told(rows, self.per_viewer, self.per_frame) if self.viewers else ""

    def _told(self, rows: list[tuple[str, ...]], viewer: LinearFit | None, frame: LinearFit | None) -> str:
        lines = [columns(rows)]
        if viewer and frame:
            points = ", ".join(str(one.viewers) for one in self.viewers)
            lines.append(
                f"one more viewer: {viewer.slopes['viewers'] * MS:.2f} ms of the event loop per second, "
                f"{frame.slopes['frames'] * MICRO:.0f} µs per frame sent "
                f"(least squares through {points} viewers; farthest point {viewer.worst:.0%}, {frame.worst:.0%} off)"
            )
        return "\n".join([*lines, "CPU in seconds per second; heard to shown at the performer"])

    def _stages(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("stages", "threads", "frames/s each", "together", "p50 ms", "p95 ms", "server CPU", "MB each", "card MB")
        ]
        for one in self.stages:
            rates = (f"{mean(one.each):.1f}", f"{one.together:.1f}", *_latency(one.heard_to_shown))
            memory = (_told(one.resident_mb), _told(one.card_mb))
            rows.append((str(one.stages), str(one.threads or "all"), *rates, f"{one.server_cpu:.2f}", *memory))
        return columns(rows) if self.stages else ""

    def _cost(self) -> str:
        rows: list[tuple[str, ...]] = [("one picture", "Mpx*steps", "p50 ms", "p95 ms", "pictures/s", "on the line ms")]
        line = self.per_picture
        for one in self.cost:
            place = one.setting.height * one.setting.width / MEGAPIXEL
            work = place * one.setting.steps
            there = f"{line.at(megapixels=place, megapixel_steps=work):.1f}" if line else ""
            times = (*_latency(one.picture), f"{one.frames_per_second:.1f}")
            rows.append((str(one.setting), f"{work:.3f}", *times, there))
        return "\n".join([columns(rows), *([_formula(line)] if line else [])]) if self.cost else ""


def fitted(xs: dict[str, Sequence[float]], values: Sequence[float], *, relative: bool = False) -> LinearFit | None:
    """Return the line of least squares, of errors or of `relative` ones, which need values above 0.

    None where the points do not tell all of its slopes apart.
    """
    table = np.column_stack([np.ones(len(values)), *(np.asarray(x, np.float64) for x in xs.values())])
    if np.linalg.matrix_rank(table) < table.shape[1]:
        return None
    wanted = np.asarray(values, np.float64)
    weights = 1 / wanted if relative else np.ones(len(wanted))
    found, *_ = np.linalg.lstsq(table * weights[:, None], wanted * weights, rcond=None)
    off = np.abs(table @ found - wanted)
    worst = float((off / np.where(wanted == 0, 1, np.abs(wanted))).max())
    fixed, *slopes = (float(f"{value:.6g}") for value in found)
    return LinearFit(fixed, dict(zip(xs, slopes, strict=True)), len(wanted), round(worst, 4))


def _formula(line: LinearFit) -> str:
    names = {"megapixels": "per megapixel", "megapixel_steps": "per megapixel and step"}
    parts = ", ".join(f"{slope:.1f} ms {names[name]}" for name, slope in line.slopes.items())
    return (
        f"a picture: {line.fixed:.1f} ms fixed, {parts} "
        f"(least squares of relative errors, {line.points} points; farthest {line.worst:.0%} off)"
    )


def _latency(told: Summary) -> tuple[str, str]:
    return f"{told.p50:.0f}" if told.p50 >= 100 else f"{told.p50:.1f}", f"{told.p95:.1f}"


def _told(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
