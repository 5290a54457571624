"""Report of a benchmark, as a table for the terminal and as JSON for whoever tracks it.

Absolute times belong to one machine; they are told beside it, and never claimed of another.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clavilux.benchmarks.measurements.ceiling import Ceiling, Reached
from clavilux.benchmarks.measurements.energy import SILENT
from clavilux.benchmarks.measurements.in_process import WORK, StageTimes
from clavilux.benchmarks.measurements.machine import Machine, warning
from clavilux.benchmarks.measurements.startup import StartUp
from clavilux.benchmarks.measurements.through_the_socket import WATERFALL, Shown
from clavilux.benchmarks.peers.compare import Comparison
from clavilux.runtime.files import written_whole
from clavilux.runtime.playing.pacing import MAX_FRAME_RATE

FORMAT = 1  # of the JSON
SLOW_FIRST = 1.0  # s, by which a first picture must be late to be worth a line
HEARD_BUDGET_MS = 200.0
"""From a sound to its picture: as long as people usually take to answer each other (Stivers et al. 2009, PNAS 106)."""


@dataclass(frozen=True)
class BenchReport:
    """Everything of one run; what was not asked for is None or empty."""

    machine: Machine
    bundle: str
    provider: str  # what really ran the graphs
    threads: int
    stages: tuple[StageTimes, ...]
    ceiling: Ceiling | None = None
    reached: tuple[Reached, ...] = ()  # at the first setting
    start_up: StartUp | None = None
    socket: Shown | None = None
    frame_rate: float = MAX_FRAME_RATE  # the most that was asked of the server
    browser: dict[str, float] | None = None  # frame_rate, p50, p95 as Chromium acknowledged
    comparison: Comparison | None = None
    files: tuple[str, ...] = field(default=())  # plots beside the JSON

    def json(self) -> str:
        """Return one JSON object."""
        found: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        for row, reached in zip(found["reached"], self.reached, strict=True):
            row["fraction"] = reached.fraction
        found["budgets"] = {"heard_to_shown_ms": HEARD_BUDGET_MS, "interval_ms": 1000 / self.frame_rate}
        return json.dumps(found)

    def write(self, path: Path) -> None:
        """Write the JSON, whole or not at all."""
        with written_whole(path) as part:
            part.write_text(self.json() + "\n", encoding="utf-8")

    def table(self) -> str:
        """Return everything for people."""
        parts = (
            self._head(),
            self._start_up(),
            self._stages(),
            self._ceiling(),
            self._socket(),
            self._browser(),
            self._comparison(),
        )
        return "\n\n".join(part for part in parts if part)

    def _head(self) -> str:
        machine = self.machine
        memory = f", {machine.memory_gb:.0f} GB" if machine.memory_gb else ""
        cards = "; ".join(machine.cards) or "no NVIDIA card"
        lines = [
            f"{machine.processor}, {machine.cores} cores{memory}; {cards}; {machine.system}, Python {machine.python}",
            f"{self.bundle} on {self.provider}, {self.threads or 'all'} threads; "
            + ", ".join(f"{name} {number}" for name, number in machine.versions.items()),
        ]
        loud = warning(machine)
        return "\n".join([*lines, f"*** {loud}"] if loud else lines)

    def _start_up(self) -> str:
        told = self.start_up
        if told is None:
            return ""
        memory = "" if told.resident_mb is None else f"; it holds {told.resident_mb:.0f} MB then"
        return (
            f"Start-up, median of {told.starts}: listening after {told.listening_s:.2f} s, "
            f"first picture after {told.first_picture_s:.2f} s{memory}"
        )

    def _stages(self) -> str:
        rows: list[tuple[str, ...]] = [("median ms", *WORK, "picture", "p95", "p99", "pictures/s")]
        for one in self.stages:
            medians = (_ms(one.stages[name].p50) for name in WORK)
            picture = one.picture
            rate = f"{one.frames_per_second:.1f}"
            rows.append((str(one.setting), *medians, _ms(picture.p50), _ms(picture.p95), _ms(picture.p99), rate))
        unstable = [str(one.setting) for one in self.stages if not one.warm_up.stable]
        notes = [f"Times still moved after the warm-up: {'; '.join(unstable)}"] if unstable else []
        return "\n".join([columns(rows), *notes])

    def _ceiling(self) -> str:
        if self.ceiling is None:
            return ""
        rows = [("stage", "Gop", "MB", "floor ms", "bound by", "measured ms", "reached")]
        for one in self.reached:
            work = one.work
            rows.append(
                (
                    one.stage,
                    f"{work.gigaflops:.2f}",
                    f"{work.megabytes:.1f}",
                    _ms(one.floor_ms),
                    one.bound,
                    _ms(one.measured_ms),
                    f"{one.fraction:.0%}",
                )
            )
        ceiling = self.ceiling
        head = (
            f"Ceiling, measured now: {ceiling.gigaflops:.0f} Gop/s of {ceiling.arithmetic} products, "
            f"{ceiling.gigabytes:.1f} GB/s of memory ({self.stages[0].setting})"
        )
        return f"{head}\n{columns(rows)}"

    def _socket(self) -> str:
        told = self.socket
        if told is None:
            return ""
        pace, first, every = told.pacing, told.first_shown, told.heard_to_shown
        interval = 1000 / self.frame_rate
        rows: list[tuple[str, ...]] = [
            ("through the socket, ms", "p50", "p95", "p99"),
            ("heard to shown, every picture", *map(_ms, (every.p50, every.p95, every.p99))),
            ("heard to shown, first of its sound", *map(_ms, (first.p50, first.p95, first.p99))),
            ("between two pictures", *map(_ms, (pace.intervals.p50, pace.intervals.p95, pace.intervals.p99))),
        ]
        card = f", {told.card_mb:.0f} MB on the card" if told.card_mb else ""
        lines = [
            columns(rows),
            f"p95 is {'within' if every.p95 <= HEARD_BUDGET_MS else 'OVER'} the budget of {HEARD_BUDGET_MS:.0f} ms",
            f"{pace.frames_per_second:.1f} pictures per second of {self.frame_rate:.0f} at most ({interval:.0f} ms); "
            f"jitter {_ms(pace.jitter_ms)} ms, {pace.late:.1%} late, {told.skipped} skipped",
            "where the time goes: " + ", ".join(f"{name} {_ms(told.waterfall[name])}" for name in WATERFALL),
            f"memory {_mb(told.resident_mb)}, at most {_mb(told.peak_mb)}{card}",
            f"energy: {_energy(told)}",
        ]
        return "\n".join(lines)

    def _browser(self) -> str:
        if self.browser is None:
            return ""
        one = self.browser
        rate = f"{one['frame_rate']:.1f} pictures per second"
        return f"In Chromium, heard to shown: {one['p50']:.0f} ms p50, {one['p95']:.0f} ms p95, at {rate}"

    def _comparison(self) -> str:
        found = self.comparison
        if found is None:
            return ""
        rows: list[tuple[str, ...]] = [
            ("peer", "setting", "time / ours", "with features", "encode", "denoise", "decode", "PSNR dB", "memory MB")
        ]
        for one in found.compared:
            memory = found.resident_mb.get(one.peer)
            stages = (f"{one.stages[name].value:.2f}" for name in ("encode", "denoise", "decode"))
            psnr = f"{one.psnr_db:.0f}{'' if one.equal else ' DIFFERENT'}"
            whole = f"{one.whole.value:.2f}"
            rows.append(
                (one.peer, str(one.setting), str(one.ratio), whole, *stages, psnr, f"{memory:.0f}" if memory else "?")
            )
        ours = found.resident_mb.get("Clavilux")
        lines = [
            "Against Clavilux = 1 on the same weights, by turns: medians' ratio and its 95 % interval",
            columns(rows) if found.compared else "",
            f"Clavilux holds {_mb(ours)}",
        ]
        for title, loaded in found.loaded.items():
            versions = ", ".join(f"{name} {number}" for name, number in loaded.versions.items())
            notes = "".join(f"; {note}" for note in loaded.notes)
            lines.append(f"{title}: {versions}; loads in {loaded.seconds:.1f} s{notes}")
        lines += [
            f"{one.peer}, {one.setting}: the first picture took {one.first_picture_s:.1f} s"
            for one in found.compared
            if one.first_picture_s > one.picture.p50 / 1000 + SLOW_FIRST
        ]
        lines += [f"{title} is left out: {why}" for title, why in found.failed.items()]
        return "\n".join(line for line in lines if line)


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as text in columns: the first one to the left, all others to the right; a rule under the head."""
    table = [list(map(str, row)) for row in rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _mb(value: float | None) -> str:
    return "the system does not tell" if value is None else f"{value:.0f} MB"


def _energy(told: Shown) -> str:
    if not told.energy_j:
        return SILENT
    pictures = max(1.0, told.pacing.frames_per_second * told.seconds)
    return ", ".join(
        f"{name} {joules / told.seconds:.1f} W, {joules / pictures:.3f} J per picture"
        for name, joules in told.energy_j.items()
    )
