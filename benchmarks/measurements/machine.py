"""The machine that figures belong to: processor, cores, cards, versions, how busy it was, and what a process takes.

Linux tells all of it; other systems tell less, and what is not told is None.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CPUINFO, MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
PROCESSES = Path("/proc")
KB_PER_GB, KB_PER_MB = 2**20, 1000
BUSY = 0.3  # of the cores taken by others in the last minute: figures begin to suffer
PATIENCE = 20.0  # s, for a driver's tool
CARDS = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
CARD_MEMORY = ("nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
PACKAGES = ("clavilux", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "transformers", "diffusers")


@dataclass(frozen=True)
class Machine:
    """Machine that the benchmark ran on."""

    processor: str
    cores: int
    memory_gb: float | None
    cards: tuple[str, ...]
    system: str
    python: str
    versions: dict[str, str]  # of what is installed
    load: float | None  # processes that wanted a core in the last minute, before the benchmark began


def describe() -> Machine:
    """Return this machine as it is now."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gb=_memory(),
        cards=tuple(_lines(CARDS)),
        system=platform.platform(terse=True),
        python=sys.version.split()[0],
        versions=dict(filter(None, map(_installed, PACKAGES))),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def warning(machine: Machine) -> str | None:
    """Return a loud line where others use the machine, None where it is idle enough."""
    if machine.load is None or machine.load <= BUSY * machine.cores:
        return None
    return (
        f"THIS MACHINE IS BUSY: {machine.load:.1f} processes want its {machine.cores} cores. "
        "Absolute times below are too long, and ratios uncertain; measure again when it is idle."
    )


def family(process_id: int, *, root: Path = PROCESSES) -> tuple[int, ...]:
    """Return a process and all that it has started and that have, such as a worker with the models, as far as told."""
    children: dict[int, list[int]] = {}
    for place in root.glob("[0-9]*/stat"):
        try:
            parent = int(place.read_text().rpartition(")")[2].split()[1])
        except (OSError, LookupError, ValueError):  # one that has just ended
            continue
        children.setdefault(parent, []).append(int(place.parent.name))
    found = [process_id]
    for one in found:
        found += sorted(children.get(one, []))
    return tuple(found)


def resident_mb(process_id: int, *, peak: bool = False, root: Path = PROCESSES) -> float | None:
    """Return the memory that a process and its family hold, or held at most, each, in MB; None where nobody tells."""
    told = [_resident_mb(one, peak, root) for one in family(process_id, root=root)]
    return None if told[0] is None else round(sum(filter(None, told)), 1)


def _resident_mb(process_id: int, peak: bool, root: Path) -> float | None:
    try:
        text = (root / str(process_id) / "status").read_text()
    except OSError:
        return None
    found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", text)
    return int(found[1]) * 1.024 / KB_PER_MB if found else None


def cpu_seconds(process_id: int, *, main_thread: bool = False, root: Path = PROCESSES) -> float | None:
    """Return the CPU time that a process and its family, or its main thread alone, has taken; None where nobody tells.

    Of those that run. Linux counts it in ticks of 10 ms.
    """
    if main_thread:
        return _cpu_seconds(root / str(process_id) / "task" / str(process_id) / "stat")
    told = [_cpu_seconds(root / str(one) / "stat") for one in family(process_id, root=root)]
    return None if told[0] is None else sum(filter(None, told))


def _cpu_seconds(place: Path) -> float | None:
    """Read proc(5)'s stat: the name before the numbers may hold anything, even a bracket."""
    try:
        user, system = place.read_text().rpartition(")")[2].split()[11:13]
    except (OSError, ValueError):
        return None
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def anonymous_mb(process: Path) -> float:
    """Return what belongs to a process alone, 0 for one that has ended. `process` is its folder in /proc."""
    try:
        told = (process / "smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in told.splitlines() if line.startswith("Anonymous:")) / KB_PER_MB


def card_mb(process_id: int) -> float | None:
    """Return the card's memory that a process and its family hold, in MB; None without a card, or one that tells."""
    pairs = [line.split(", ") for line in _lines(CARD_MEMORY)]
    ours = {str(one) for one in family(process_id)}
    held = [float(used) for process, used in pairs if process in ours and used.isdecimal()]
    return sum(held) if held else None


def _processor() -> str:
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    named = re.search(r"model name\s*: (.+)", text)
    return named[1] if named else platform.processor() or platform.machine()


def _memory() -> float | None:
    found = re.search(r"MemTotal:\s+(\d+) kB", MEMINFO.read_text()) if MEMINFO.exists() else None
    return round(int(found[1]) / KB_PER_GB, 1) if found else None


def _lines(command: tuple[str, ...]) -> list[str]:
    if shutil.which(command[0]) is None:
        return []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _installed(name: str) -> tuple[str, str] | None:
    try:
        return name, version(name)
    except PackageNotFoundError:
        return None
