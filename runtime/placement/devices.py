"""Devices that `--device` may name, and sessions on them.

    session = open_session("decoder.onnx", "openvino", threads=2)

To add a device, declare it in a file as `clavilux.runtime.providers.cpu` does, and list it in `DECLARED`.
"""

import os
from contextlib import suppress
from pathlib import Path

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers import cpu, openvino
from clavilux.runtime.providers.nvidia import cuda, tensorrt, tensorrt_rtx
from clavilux.runtime.providers.other import available, find_provider, short_name
from clavilux.runtime.providers.session import Device, GraphFile, Session
from clavilux.runtime.refused_json import shown

AUTO = "auto"
DECLARED = (cpu.DEVICE, openvino.DEVICE, cuda.DEVICE, tensorrt.DEVICE, tensorrt_rtx.DEVICE)
DEVICES = {device.name: device for device in DECLARED}


def most_threads() -> int:
    """Return how many threads a graph may run on: as many as there are cores."""
    return os.cpu_count() or 1


def check_threads(threads: int) -> None:
    """Raise ProviderError unless `threads` is a number of threads, or 0 for one per core."""
    if type(threads) is not int or not 0 <= threads <= most_threads():
        raise ProviderError(
            f"threads is {shown(threads)}; expected a whole number, 0 (one per core) to {most_threads()}, the cores"
        )


def check_device(device: str) -> None:
    """Raise ProviderError when `device` cannot run here, before anything is loaded on it."""
    find_device(device).check()


def open_session(graph: Path | GraphFile, device: str = "cpu", threads: int = 0) -> Session:
    """Load one graph on the device that was asked for, or raise ProviderError: never on another one.

    A plain path is a graph with closed axes whose hash is not known.
    """
    return find_device(device).open(graph if isinstance(graph, GraphFile) else GraphFile(graph), threads)


def find_device(name: str) -> Device:
    """Return the device `name`: one of DEVICES, a part of one ("openvino:GPU"), or a provider of ONNX Runtime.

    Raises ProviderError when there is no such device, or it cannot be had from what is installed.
    """
    family, colon, part = name.partition(":")
    device = DEVICES.get(short_name(family)) or find_provider(family)
    if device is None:
        names = ", ".join(one.name for one in all_devices())
        raise ProviderError(f"no device {name!r}; there are {names}, {AUTO} for a whole bundle")
    if not colon:
        return device
    if device.part is None or (device.parts and not part):  # without `parts` all of them have names, which it tells
        raise ProviderError(f"no device {name!r}; expected --device {device.name}{':PART' if device.part else ''}")
    return device.part(part)


def all_devices() -> tuple[Device, ...]:
    """Return the declared devices, and the other providers that this ONNX Runtime has; the first ones are the plainest.

    None of them need run here.
    """
    return (*DECLARED, *(other for short, other in available().items() if short not in DEVICES))


def usable(device: Device) -> tuple[Device, ...]:
    """Return what of a device can run here: itself, or each of its parts on its own. Raises ProviderError: nothing."""
    device.check()
    return tuple(device.part(name) for name in device.parts()) if device.part and device.parts else (device,)


def runnable() -> dict[str, Device]:
    """Return what could run here, by its name, each part of a device on its own; the first ones are the plainest."""
    found: dict[str, Device] = {}
    for device in all_devices():
        with suppress(ProviderError):
            found |= {one.name: one for one in usable(device)}
    return found
