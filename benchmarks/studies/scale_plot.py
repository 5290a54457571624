"""The curves of `clavilux.benchmarks.studies.scale` on one sheet: throughput above, what it costs below.

Drawn as `clavilux.benchmarks.bench.plots` draws: one hue for what is told, greys beside it, red only for a budget that
is missed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from clavilux.benchmarks.bench.plots import ALARM, FAINT, INK, LEGEND, OTHERS, OURS, caption, sheet, subtitle
from clavilux.benchmarks.bench.report import HEARD_BUDGET_MS
from clavilux.benchmarks.studies.scale_report import MEGAPIXEL, MICRO, Scale

PANEL = (5.0, 3.9)  # inches, width and height

ScalePlot = Callable[[Any, Scale], None]


def draw(scale: Scale, path: Path) -> None:
    """Write every curve that there is to `path`, a PNG. Raises BenchError when matplotlib is not installed."""
    columns: list[tuple[ScalePlot, ...]] = []
    if scale.viewers:
        columns += [(_delivered, _heard_by_viewers), (_loop, _bandwidth)]
    if scale.stages:
        columns.append((_together, _heard_by_stages))
    if scale.cost:
        columns.append((_cost,))
    width, rows = len(columns), max(map(len, columns))
    told = caption(scale.machine, scale.bundle, scale.provider)
    with sheet(path, told, (PANEL[0] * width, PANEL[1] * rows)) as figure:
        for place, drawn in enumerate(columns):
            for row, panel in enumerate(drawn):
                axes = figure.add_subplot(rows, width, row * width + place + 1)
                axes.grid(axis="y")
                panel(axes, scale)


def _counted(axes: Any, counts: list[int], what: str) -> None:
    """Give an axis of doubling counts the counts that were measured."""
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_xticks(counts, [str(one) for one in counts])
    axes.minorticks_off()
    axes.set_xlim(0.85 * min(counts) if min(counts) else -0.1, 1.15 * max(max(counts), 1))
    axes.set_xlabel(what)
    axes.set_ylim(bottom=0)


def _delivered(axes: Any, scale: Scale) -> None:
    counts = [one.viewers for one in scale.viewers]
    axes.plot(counts, [one.delivered for one in scale.viewers], "o-", color=OURS, label="each viewer")
    axes.plot(counts, [one.shown for one in scale.viewers], "s--", color=OTHERS, label="the performer")
    axes.axhline(scale.frame_rate, color=FAINT, linestyle=(0, (4, 3)), linewidth=1.2)
    _counted(axes, counts, "viewers")
    axes.set_ylim(0, scale.frame_rate * 1.15)
    axes.legend(loc="lower left", **LEGEND)
    axes.set_title("Frames per second")
    subtitle(axes, f"one stage; dashed: {scale.frame_rate:g} asked")


def _heard(axes: Any, counts: list[int], p50: list[float], p95: list[float]) -> None:
    axes.plot(counts, p95, "s--", color=OTHERS, label="p95")
    axes.plot(counts, p50, "o-", color=OURS, label="p50")
    missed = max(p95) > HEARD_BUDGET_MS
    axes.axhline(HEARD_BUDGET_MS, color=ALARM if missed else FAINT, linestyle=(0, (4, 3)), linewidth=1.2)
    axes.set_ylabel("ms")
    axes.legend(loc="lower right", **LEGEND)
    axes.set_title("Heard to shown")
    subtitle(axes, f"at the performers; dashed: budget of {HEARD_BUDGET_MS:.0f} ms")


def _heard_by_viewers(axes: Any, scale: Scale) -> None:
    counts, told = [one.viewers for one in scale.viewers], [one.heard_to_shown for one in scale.viewers]
    _heard(axes, counts, [one.p50 for one in told], [one.p95 for one in told])
    _counted(axes, counts, "viewers")


def _heard_by_stages(axes: Any, scale: Scale) -> None:
    counts, told = [one.stages for one in scale.stages], [one.heard_to_shown for one in scale.stages]
    _heard(axes, counts, [one.p50 for one in told], [one.p95 for one in told])
    _counted(axes, counts, "stages at once")


def _loop(axes: Any, scale: Scale) -> None:
    sent = [one.sent for one in scale.viewers]
    axes.plot(sent, [one.loop_cpu for one in scale.viewers], "o", color=OURS, label="event loop")
    line = scale.per_frame
    if line:
        ends = [0.0, max(sent)]
        axes.plot(ends, [line.at(frames=end) for end in ends], color=INK, linewidth=1.2, label="least squares")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("frames sent per second, to everyone")
    axes.set_ylabel("CPU seconds per second")
    axes.legend(loc="lower right", **LEGEND)
    axes.set_title("What viewers cost the server")
    told = f"{line.slopes['frames'] * MICRO:.0f} µs per frame" if line else "one point has no slope"
    subtitle(axes, f"{told}, from {', '.join(str(one.viewers) for one in scale.viewers)} viewers")


def _bandwidth(axes: Any, scale: Scale) -> None:
    counts = [one.viewers for one in scale.viewers]
    carried = [8 * one.bytes_per_second * one.viewers / MICRO for one in scale.viewers]
    axes.plot(counts, carried, "o-", color=OURS)
    _counted(axes, counts, "viewers")
    axes.set_ylabel("Mbit/s, to all viewers")
    axes.set_title("What the network carries")
    subtitle(axes, f"frames of {scale.viewers[-1].frame_bytes / 1000:.1f} kB; no headers of TCP or TLS")


def _together(axes: Any, scale: Scale) -> None:
    counts = [one.stages for one in scale.stages]
    axes.plot(counts, [one.together for one in scale.stages], "o-", color=OURS, label="all stages")
    axes.plot(counts, [one.together / one.stages for one in scale.stages], "s--", color=OTHERS, label="each")
    _counted(axes, counts, "stages at once")
    axes.legend(loc="best", **LEGEND)
    axes.set_title("Pictures per second")
    subtitle(axes, f"{scale.frame_rate:g} asked of each stage")


def _cost(axes: Any, scale: Scale) -> None:
    """Draw every setting, a colour per size, and the line at each size."""
    line = scale.per_picture
    sizes = sorted({(one.setting.height, one.setting.width) for one in scale.cost}, key=lambda size: size[0] * size[1])
    shades = np.linspace(1.0, 0.35, len(sizes))
    for (height, width), shade in zip(reversed(sizes), shades, strict=True):
        here = [one for one in scale.cost if (one.setting.height, one.setting.width) == (height, width)]
        place = height * width / MEGAPIXEL
        work = [place * one.setting.steps for one in here]
        axes.plot(work, [one.picture.p50 for one in here], "o", color=OURS, alpha=shade, label=f"{width}x{height}")
        if line:
            ends = [min(work), max(work)]
            there = [line.at(megapixels=place, megapixel_steps=end) for end in ends]
            axes.plot(ends, there, color=INK, linewidth=1.2, alpha=shade)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("megapixels x steps")
    axes.set_ylabel("ms for one picture, p50")
    axes.legend(loc="lower right", **LEGEND)
    axes.set_title("What size and steps cost")
    subtitle(axes, f"lines: least squares, at most {line.worst:.0%} off" if line else "too few points for a line")
