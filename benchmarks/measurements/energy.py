"""Energy, where the machine tells: Intel's and AMD's RAPL counters through Linux, NVIDIA's through NVML.

Counters are of whole processor packages and whole cards, with everything that runs on them.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
MICROJOULES = 1e6  # per joule
MILLIJOULES = 1e3  # per joule
SILENT = "the machine does not tell"


@dataclass(frozen=True)
class Counter:
    """One counter as it stands."""

    joules: float
    range: float = 0.0  # joules after which it begins again at 0; 0: never


def read_counters(powercap: Path = POWERCAP) -> dict[str, Counter]:
    """Return the counters that can be read now, by name; RAPL's often need the superuser."""
    return _packages(powercap) | _cards()


def spent(before: Mapping[str, Counter], after: Mapping[str, Counter]) -> dict[str, float]:
    """Return the joules that went through each counter meanwhile."""
    differences = {name: after[name].joules - counter.joules for name, counter in before.items() if name in after}
    return {name: joules + (before[name].range if joules < 0 else 0.0) for name, joules in differences.items()}


def _packages(powercap: Path) -> dict[str, Counter]:
    counters = {}
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") > 1:  # a part of a package, which the package counts already
            continue
        try:
            joules, most = (
                int((zone / name).read_text()) / MICROJOULES for name in ("energy_uj", "max_energy_range_uj")
            )
            counters[f"{(zone / 'name').read_text().strip()} ({zone.name})"] = Counter(joules, most)
        except (OSError, ValueError):
            continue
    return counters


def _cards() -> dict[str, Counter]:
    try:
        pynvml = importlib.import_module("pynvml")
    except ImportError:
        return {}
    counters = {}
    try:
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            card = pynvml.nvmlDeviceGetHandleByIndex(index)
            joules = pynvml.nvmlDeviceGetTotalEnergyConsumption(card) / MILLIJOULES
            counters[f"card {index}"] = Counter(joules)
    except pynvml.NVMLError:
        return counters
    return counters
