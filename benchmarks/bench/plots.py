"""Pictures of a report: where a sound's time goes, what peers cost beside Clavilux, and what size and steps cost.

Dark on light, so that they print; one hue for ours, greys for the others, red only for a budget that is missed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clavilux.benchmarks.bench.report import HEARD_BUDGET_MS, BenchReport
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.in_process import WORK, Setting
from clavilux.benchmarks.measurements.machine import Machine
from clavilux.benchmarks.measurements.through_the_socket import WATERFALL

INK, FAINT, GRID, PAPER = "#1d2733", "#66717e", "#dfe3e8", "#ffffff"
OURS, OTHERS, ALARM = "#0b6e8f", "#8b97a5", "#b3261e"
STAGE_COLOURS = ("#c9d6df", "#7fb4c9", "#b9a7d3", "#0b6e8f", "#e0a458", "#9aa37a")  # as WORK
DPI = 160
WIDTH = 8.0  # inches
ROW = 0.42  # inches, a bar with its room
STYLE: Any = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlepad": 26,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 10.5,
    "grid.color": GRID,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.1,
}

LEGEND: Any = {"fontsize": 9, "handlelength": 1, "columnspacing": 1.2, "borderpad": 0.2, "borderaxespad": 0.2}

ReportPlot = Callable[[Any, BenchReport], None]


def draw_all(report: BenchReport, folder: Path) -> tuple[str, ...]:
    """Write a PNG for each part of the report that there is into `folder`; return their names.

    Raises BenchError when matplotlib is not installed.
    """
    plots: dict[str, tuple[bool, ReportPlot]] = {
        "waterfall.png": (report.socket is not None, _waterfall),
        "comparison.png": (bool(report.comparison and report.comparison.compared), _comparison),
        "cost.png": (bool(report.stages), _cost),
        "ceiling.png": (bool(report.reached), _ceiling),
    }
    names = [name for name, (there, _) in plots.items() if there]
    for name in names:
        _draw(plots[name][1], report, folder / name)
    return tuple(names)


def _draw(draw: ReportPlot, report: BenchReport, path: Path) -> None:
    with sheet(path, caption(report.machine, report.bundle, report.provider)) as figure:
        draw(figure.add_subplot(), report)


@contextmanager
def sheet(path: Path, told: str, size: tuple[float, float] = (WIDTH, 4.0)) -> Iterator[Any]:
    """Yield a figure of `size` inches to draw on, then write it to `path` with the line `told` at its foot.

    Raises BenchError when matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BenchError("matplotlib is not installed; run: pip install 'clavilux[bench]'") from error
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, dpi=DPI)
        yield figure
        figure.supxlabel(told, fontsize=8, color=FAINT, x=0.01, ha="left")
        figure.savefig(path)


def caption(machine: Machine, bundle: str, provider: str) -> str:
    """Return what stands at the foot of a picture: what was measured, and on what."""
    load = "" if machine.load is None else f"; load {machine.load:.1f} before it began"
    place = machine.cards[0] if machine.cards and "CPU" not in provider else machine.processor
    return f"{bundle} on {provider}, {place}, {machine.cores} cores{load}"


def subtitle(axes: Any, text: str) -> None:
    """Put a line under the title of `axes`."""
    place = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(text, (0, 1), (0, 8), **place, fontsize=9.5, color=FAINT, va="bottom")


def _rows(axes: Any, count: int) -> None:
    """Give the figure the height that so many bars take."""
    axes.figure.set_size_inches(WIDTH, 1.75 + ROW * count)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)


def _waterfall(axes: Any, report: BenchReport) -> None:
    """Draw the way of a sound, part after part, each where the one before ended."""
    told = report.socket
    if told is None:
        return
    _rows(axes, len(WATERFALL) + 1)
    parts = [told.waterfall[name] for name in WATERFALL]
    starts = [sum(parts[:index]) for index in range(len(parts))]
    total, p50, p95 = sum(parts), told.first_shown.p50, told.first_shown.p95
    longest = max(p95, total)
    for row, (part, start) in enumerate(zip(parts, starts, strict=True)):
        axes.barh(row, part, left=start, color=OURS if WATERFALL[row] in WORK else OTHERS, height=0.66)
        axes.text(start + part + 0.008 * longest, row, f"{part:.1f}", va="center", fontsize=9.5)
    last = len(parts)
    axes.barh(last, p50, color=INK, height=0.66)
    axes.plot([p50, p95], [last, last], color=INK, linewidth=1.6, marker="|", markersize=9)
    axes.text(p95 + 0.012 * longest, last, f"p50 {p50:.0f}, p95 {p95:.0f}", va="center", fontsize=9.5, weight="bold")
    colour = ALARM if p95 > HEARD_BUDGET_MS else FAINT
    if longest > 0.6 * HEARD_BUDGET_MS:
        axes.axvline(HEARD_BUDGET_MS, color=colour, linestyle=(0, (4, 3)), linewidth=1.2)
        axes.text(
            HEARD_BUDGET_MS,
            -0.55,
            f"budget {HEARD_BUDGET_MS:.0f} ms ",
            color=colour,
            fontsize=9,
            ha="right",
            va="bottom",
        )
    axes.set_yticks(range(last + 1), [*WATERFALL, "heard to shown"])
    axes.get_yticklabels()[-1].set_weight("bold")
    axes.set_ylim(last + 0.6, -1.05)
    axes.set_xlim(0, max(longest * 1.22, p95 * 1.3) or 1.0)  # or else, where nothing was shown in time
    axes.set_xlabel("milliseconds since the sound was captured")
    axes.set_title("From a sound to its picture")
    subtitle(axes, "medians; blue is work, grey is waiting and carrying")


def _comparison(axes: Any, report: BenchReport) -> None:
    """Draw each peer's ratio with its interval."""
    found = report.comparison
    if found is None:
        return
    rows = sorted(found.compared, key=lambda one: (*_order(one.setting), -one.ratio.value))
    _rows(axes, len(rows) + 1)
    several = len({one.setting for one in rows}) > 1
    axes.barh(0, 1, color=OURS, height=0.66)
    axes.text(1, 0, "  1", va="center", fontsize=10, weight="bold")
    longest = max(one.ratio.high for one in rows)
    for row, one in enumerate(rows, start=1):
        ratio = one.ratio
        axes.barh(row, ratio.value, color=OTHERS, height=0.66)
        axes.plot([ratio.low, ratio.high], [row, row], color=INK, linewidth=1.4, marker="|", markersize=8)
        told = f"{ratio.value:.2f}" if one.equal else f"{ratio.value:.2f}, another picture ({one.psnr_db:.0f} dB)"
        axes.text(ratio.high + 0.015 * longest, row, told, va="center", fontsize=10, color=INK if one.equal else ALARM)
    axes.axvline(1, color=OURS, linewidth=1.2)
    names = [f"{one.peer}\n{one.setting}" if several else one.peer for one in rows]
    axes.set_yticks(range(len(rows) + 1), ["Clavilux", *names])
    axes.get_yticklabels()[0].set_weight("bold")
    axes.invert_yaxis()
    axes.set_xlim(0, max(longest, 1) * 1.25)
    axes.set_xlabel("time for one picture, Clavilux = 1")
    axes.set_title("The same weights on other stacks")
    which = "" if several else f"{rows[0].setting}; "
    subtitle(axes, f"{which}encode, denoise, decode by turns; medians' ratios, 95 % intervals")


def _cost(axes: Any, report: BenchReport) -> None:
    """Stack the stages of each setting: against size where there are several, against steps otherwise."""
    rows = sorted(report.stages, key=lambda one: _order(one.setting))
    _rows(axes, len(rows) + 1)
    lengths = [0.0] * len(rows)
    for name, colour in zip(WORK, STAGE_COLOURS, strict=True):
        parts = [one.stages[name].p50 for one in rows]
        axes.barh(range(len(rows)), parts, left=lengths, color=colour, height=0.66, label=name)
        lengths = [length + part for length, part in zip(lengths, parts, strict=True)]
    for row, (one, length) in enumerate(zip(rows, lengths, strict=True)):
        axes.text(
            length + 0.01 * max(lengths),
            row,
            f"{length:.0f} ms, {one.frames_per_second:.1f}/s",
            va="center",
            fontsize=9.5,
        )
    axes.set_yticks(range(len(rows)), [str(one.setting) for one in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, max(lengths) * 1.24)
    axes.set_xlabel("milliseconds for one hop and one picture")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(WORK), **LEGEND)
    axes.set_title("What size and steps cost")


def _order(setting: Setting) -> tuple[int, int]:
    return setting.height * setting.width, setting.steps


def _ceiling(axes: Any, report: BenchReport) -> None:
    """Draw each graph's measured time beside the least that this machine would allow."""
    rows, ceiling = report.reached, report.ceiling
    if ceiling is None:
        return
    _rows(axes, len(rows) + 1)
    longest = max(one.measured_ms for one in rows)
    for row, one in enumerate(rows):
        axes.barh(row, one.measured_ms, color=OTHERS, height=0.66)
        axes.barh(row, one.floor_ms, color=OURS, height=0.66)
        axes.text(
            one.measured_ms + 0.012 * longest, row, f"{one.fraction:.0%}, by {one.bound}", va="center", fontsize=9.5
        )
    axes.set_yticks(range(len(rows)), [one.stage for one in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.24)
    axes.set_xlabel("milliseconds; blue is the floor, grey what it really took")
    axes.set_title("How close to what the machine can do")
    limits = f"{ceiling.gigaflops:.0f} Gop/s and {ceiling.gigabytes:.0f} GB/s"
    subtitle(axes, f"{limits}, measured in the same run; {report.stages[0].setting}")
