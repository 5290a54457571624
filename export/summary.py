"""The tables that an export prints at its end: the proof, what stays in float32, what each part took."""

import shlex
from collections.abc import Sequence

from clavilux.export.build import Report
from clavilux.export.parity.figures import columns, table
from clavilux.runtime.bundle.bundle import Bundle

CPU, CARD, RTX = "cpu", "cuda", "tensorrt-rtx"  # devices
MEGABYTE = 1e6
GIGABYTE = 1e9


def summary(report: Report) -> str:
    """Return the tables of one export."""
    parts = [table(report.bundle.parity), _precision(report.bundle), _phases(report)]
    return "\n\n".join(part for part in parts if part)


def how_to_play(bundle: Bundle, device: str) -> str:
    """Return the command that plays a bundle, made for `device`; and for a card, how it should have been made."""
    words = ["clavilux", "live", "--bundle", str(bundle.folder)]
    if bundle.precision.arithmetic == "float16":
        words += ["--device", CARD if device == CPU else device]
        return f"now: {shlex.join(words)}"
    return f"now: {shlex.join(words)}\nfor a card, export with --precision float16 (--device {RTX} on an RTX 30 to 50)"


def _precision(bundle: Bundle) -> str:
    """Return what is not computed in what was asked for, and why; nothing when there is nothing to tell."""
    rows: list[Sequence[str]] = [
        (one.component, f"{one.count} in float32", one.why, one.operators) for one in bundle.precision.kept
    ]
    rows += [(one.component, one.arithmetic, one.why, "") for one in bundle.precision.choices]
    return columns([("component", "arithmetic", "why", "operators"), *rows]) if rows else ""


def _phases(report: Report) -> str:
    rows = [("stage", "seconds", "MB written", "peak memory, GB")]
    for name, made in report.stages.items():
        size = sum(entry.bytes for entry in made.files.values())
        rows.append((name, f"{made.seconds:.0f}", f"{size / MEGABYTE:.1f}", f"{made.peak / GIGABYTE:.2f}"))
    peak = max(made.peak for made in report.stages.values())
    whole = sum(entry.bytes for entry in report.bundle.files.values())
    seconds = sum(made.seconds for made in report.stages.values())  # of all runs, when it was stopped in between
    rows.append(("whole", f"{seconds:.0f}", f"{whole / MEGABYTE:.1f}", f"{peak / GIGABYTE:.2f}"))
    return columns(rows)
