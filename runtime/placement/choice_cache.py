"""The memory of `--device auto`: which device plays which part of a bundle, measured once, and what that holds for.

A file in the user's cache for each bundle and number of threads. What was measured under other circumstances, or cannot
be read, is named and measured again.
"""

import os
import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import PARTS
from clavilux.runtime.errors import ClaviluxError, ProviderError
from clavilux.runtime.files import Record, user_cache
from clavilux.runtime.placement.devices import DECLARED
from clavilux.runtime.providers.nvidia.driver import find_card
from clavilux.runtime.providers.other import PACKAGES
from clavilux.runtime.providers.session import first_line

CHOICES = "choices"  # folder in the user's cache
CPUINFO = Path("/proc/cpuinfo")
CHANGES = {
    "bundle": "the bundle has changed",
    "versions": "other versions are installed",
    "machine": "it was measured on another machine",
    "threads": "it was measured with other threads",
}


@dataclass(frozen=True)
class Circumstances:
    """Circumstances that a measurement holds for."""

    bundle: str  # sha256 over the graphs
    versions: dict[str, str]  # of the packages that devices are made of
    machine: str  # processor, cores, card
    threads: int  # as --threads says; 0: one per core


@dataclass(frozen=True)
class DeviceChoice:
    """Device that plays each part, and the times that decided it."""

    devices: dict[str, str]  # by part
    milliseconds: dict[str, dict[str, float]]  # medians by part and device; a device that failed there is not in it


def circumstances(bundle: Bundle, threads: int) -> Circumstances:
    """Return the present circumstances."""
    hashes = "".join(f"{name} {entry.sha256}\n" for name, entry in sorted(bundle.files.items()))
    return Circumstances(sha256(hashes.encode()).hexdigest(), _versions(), _machine(), threads)


def choice_file(bundle: Bundle, threads: int) -> Path:
    """Return where the choice for `bundle` is remembered."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", bundle.name)
    place = sha256(str(bundle.folder.resolve()).encode()).hexdigest()[:12]
    return user_cache(CHOICES) / f"{name}-{place}-{threads}.json"


def recall(path: Path, now: Circumstances) -> DeviceChoice | str:
    """Return what is remembered in the file `path`; or why nothing is that holds now, "" when there is no such file."""
    if not path.exists():
        return ""
    try:
        record = Record.read(path)
        then, choice = msgspec.convert(record.key, Circumstances), msgspec.convert(record.data, DeviceChoice)
    except (OSError, ValueError) as error:
        return f"{path} is damaged ({first_line(error)})"
    if not _is_whole(choice):
        return f"{path} is damaged (a part or the time of its device is missing)"
    changes = [told for field, told in CHANGES.items() if getattr(then, field) != getattr(now, field)]
    return " and ".join(changes) or choice


def remember(path: Path, now: Circumstances, choice: DeviceChoice) -> str:
    """Write the choice into the file `path`; return in words where it is, or why it is not."""
    try:
        Record(now, data=choice).write(path)
    except ClaviluxError as error:
        return f"not remembered: {error}"
    return f"remembered in {path}"


def _is_whole(choice: DeviceChoice) -> bool:
    """Return whether a choice that was read names a measured device for every part, and nothing else."""
    times = choice.milliseconds
    whole = set(choice.devices) == set(times) == set(PARTS)
    return whole and all(choice.devices[part] in times[part] for part in PARTS)


def _versions() -> dict[str, str]:
    packages = {package for device in DECLARED for package in device.packages} | set(PACKAGES.values())
    return dict(_installed(sorted(packages)))


def _installed(packages: Iterable[str]) -> Iterable[tuple[str, str]]:
    for package in packages:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _machine() -> str:
    try:
        card = f", {find_card().name}"
    except ProviderError:
        card = ""
    return f"{_processor()}, {os.cpu_count()} cores{card}"


def _processor(cpuinfo: Path = CPUINFO) -> str:
    with suppress(OSError):
        named = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE)
        if named:
            return named.group(1)
    return platform.processor() or platform.machine()
