"""`clavilux doctor`: what is installed, which devices really load the bundle, and how fast the bundle plays here."""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import DECODER
from clavilux.runtime.commands.options import add_model_options, parameters_from
from clavilux.runtime.commands.printable import printable
from clavilux.runtime.errors import BundleError, ClaviluxError, DeviceError, ProviderError
from clavilux.runtime.loading import DEFAULT_BUNDLE, open_instrument
from clavilux.runtime.placement.autotune import remembered
from clavilux.runtime.placement.devices import AUTO, all_devices, usable
from clavilux.runtime.providers.nvidia.driver import find_card
from clavilux.runtime.providers.session import Device, GraphFile
from clavilux.runtime.sound.format import SAMPLE_RATE
from clavilux.runtime.sound.inputs import listed
from clavilux.runtime.sound.system import SoundSystem

MEASURED_SECONDS = 3.0
WARM_UP_FRAMES = 3
PACKAGES = (
    "clavilux",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13",
    "openvino",
    "av",
    "torch",
    "transformers",
    "diffusers",
)

EXAMPLES = """\
examples:
  clavilux doctor
  clavilux doctor --json
  clavilux doctor --device auto
  clavilux doctor --bundle ~/bundles/mine
"""


@dataclass(frozen=True)
class Speed:
    """How a bundle plays on this machine, sounding all the time."""

    bundle: str
    provider: str
    picture: str  # width x height, pixels
    frames_per_second: float
    frame_ms: float  # median of condition, denoise and decode together
    encode_ms: float  # median per hop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the report. Raises BundleError, ProviderError or ParameterError, after it, when nothing can play here."""
    report: dict[str, object] = {
        "machine": machine(),
        "packages": {name: _version(name) for name in PACKAGES},
        "providers": providers(Path(arguments.bundle or DEFAULT_BUNDLE)),
        "inputs": inputs(),
    }
    try:
        report["plays"] = asdict(measure(arguments))
    except ClaviluxError as error:
        report["plays"] = f"no: {error}"
        raise
    finally:
        report["auto"] = _auto(Path(arguments.bundle or DEFAULT_BUNDLE), arguments.threads)
        print(json.dumps(report) if arguments.json else printable(_table(report)))
    return 0


def machine() -> dict[str, str]:
    """Return what this program runs on."""
    return {
        "system": platform.platform(terse=True),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": sys.version.split()[0],
        "NVIDIA card": _card(),
    }


def providers(bundle: Path) -> dict[str, str]:
    """Return whether each device really loads the bundle's decoder, by its name, or what is missing for it."""
    found: dict[str, str] = {}
    for device in all_devices():
        try:
            found |= {one.name: _try(one, bundle / DECODER) for one in usable(device)}
        except ProviderError as error:
            found[device.name] = str(error)
    return found


def inputs() -> list[str] | str:
    """Return the names of the sound inputs, or why there are none."""
    try:
        return [source.words for source in listed(SoundSystem().inputs())]
    except DeviceError as error:
        return str(error)


def measure(arguments: argparse.Namespace) -> Speed:
    """Play seeded noise for a few seconds as fast as the machine can. Raises BundleError or ProviderError."""
    instrument = open_instrument(arguments.bundle, device=arguments.device, threads=arguments.threads)
    parameters = instrument.defaults.merge(parameters_from(arguments.set), instrument.ranges)
    noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
    frames: list[float] = []
    encodes: list[float] = []
    hops = 0
    begin = now = time.perf_counter()
    fed = 0
    while now - begin < MEASURED_SECONDS or len(frames) <= WARM_UP_FRAMES:
        due = int((now - begin) * SAMPLE_RATE)
        instrument.hear(np.resize(noise, due - fed), SAMPLE_RATE, captured_at=fed / SAMPLE_RATE)
        fed = due
        stages = instrument.step(now, parameters).stages
        if instrument.hops > hops:
            encodes.append(stages["encode"])
            hops = instrument.hops
        frames.append(stages["condition"] + stages["denoise"] + stages["decode"])
        now = time.perf_counter()
    bundle = instrument.bundle
    return Speed(
        bundle=bundle.name,
        provider=instrument.models.provider,
        picture=f"{bundle.picture.width}x{bundle.picture.height}",
        frames_per_second=round(len(frames) / (now - begin), 1),
        frame_ms=round(1000 * float(np.median(frames[WARM_UP_FRAMES:])), 1),
        encode_ms=round(1000 * float(np.median(encodes)), 1),
    )


def _try(device: Device, graph: Path) -> str:
    """Return whether `device` loads `graph`, which is spared where an engine would be built first, for minutes."""
    if device.ready:
        return "can run; engines are built when it first plays"
    if not graph.is_file():
        return f"not tried: {graph} is missing"
    try:
        device.open(GraphFile(graph), 0)
    except ProviderError as error:
        return str(error)
    return "loads"


def _card() -> str:
    """Return the NVIDIA card, and which devices are for it, the best first; or why there is none."""
    try:
        card = find_card()
    except ProviderError as error:
        return str(error)
    devices = ", then ".join(f"--device {name}" for name in card.devices)
    return f"{card.name}, {card.architecture}, driver for CUDA {card.cuda}: {devices}"


def _auto(bundle: Path, threads: int) -> str:
    """Return what `--device auto` would take."""
    try:
        return remembered(Bundle.open(bundle), threads)
    except BundleError:
        return f"not measured; --device {AUTO} measures"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _table(report: dict[str, object]) -> str:
    lines = []
    for title, part in report.items():
        entries = (
            part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else [("", part)]
        )
        lines.append(title)
        lines += [f"  {key!s:24} {value}" for key, value in entries] or ["  none"]
    return "\n".join(lines)
