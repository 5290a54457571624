"""`--device auto`: every device that can run here plays each part of the bundle, once, and the fastest takes the part.

    clavilux live --device auto           # measures for a few seconds at first, and remembers
    clavilux live --device auto:again     # measures again

A device counts only when its results are those of the first one, the CPU. It has to be clearly faster than that to be
taken, since a second runtime costs memory and start-up.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from statistics import median

import numpy as np

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import PARTS
from clavilux.runtime.clock import Timer
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.choice_cache import DeviceChoice, choice_file, circumstances, recall, remember
from clavilux.runtime.placement.devices import AUTO, check_device, open_session, runnable
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.providers.nvidia.driver import find_card
from clavilux.runtime.providers.nvidia.stream import engine_stream
from clavilux.runtime.providers.session import Array, Device, GraphFile, Session, Workload

log = logging.getLogger("clavilux.auto")

AGAIN = f"{AUTO}:again"
SECONDS = 1.5  # of measuring one part; a device runs twice however long that takes
ROUNDS = 15  # more of them would not change the median much
MARGIN = 0.1  # by how much of its time a device must beat the first one
MAX_DIFFERENCE = 0.05  # mean of it, over the mean size of the first one's results: float16 arithmetic stays below

Workloads = Mapping[str, Workload]
"""Use of each graph of a bundle, by the graph's name."""


def open_graphs(bundle: Bundle, device: str, threads: int, works: Callable[[Bundle], Workloads]) -> dict[str, Session]:
    """Load the parts of a bundle on `device`, "auto" too; return their sessions by the graphs' names.

    `works` gives what "auto" measures the devices by. Raises ProviderError: the device cannot run here, or none that
    can runs a part.
    """
    with engine_stream():
        if device.lower() in (AUTO, AGAIN):
            return _open_auto(bundle, threads, works, again=device.lower() == AGAIN)
        return {name: open_session(graph_file(bundle, name), device, threads) for name in PARTS.values()}


def remembered(bundle: Bundle, threads: int) -> str:
    """Return in words what auto would take for this bundle."""
    found = recall(choice_file(bundle, threads), circumstances(bundle, threads))
    if isinstance(found, DeviceChoice):
        return describe(found.devices)
    return f"not measured{found and ', as '}{found}; --device {AUTO} measures"


def describe(devices: Mapping[str, str]) -> str:
    """Return which device takes which part, for example "openvino:CPU for the encoder, cpu for the decoder"."""
    taken = {device: [part for part in devices if devices[part] == device] for device in devices.values()}
    return ", ".join(f"{device} for the {' and '.join(parts)}" for device, parts in taken.items())


def choose(milliseconds: Mapping[str, float]) -> str:
    """Return the fastest device; the first one unless that is beaten by the margin."""
    first = next(iter(milliseconds))
    fastest = min(milliseconds, key=milliseconds.__getitem__)
    return fastest if milliseconds[fastest] < (1 - MARGIN) * milliseconds[first] else first


def race(runs: Mapping[str, Callable[[], object]], clock: Timer = time.perf_counter) -> dict[str, float]:
    """Return the median milliseconds of each run, all of them by turns, so that what slows the machine slows all."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    began = clock()
    for played in range(ROUNDS):
        if played and clock() - began > SECONDS:
            break
        for name, run in runs.items():
            since = clock()
            run()
            times[name].append(clock() - since)
    return {name: round(1000 * median(taken), 3) for name, taken in times.items()}


def _open_auto(
    bundle: Bundle, threads: int, works: Callable[[Bundle], Workloads], *, again: bool
) -> dict[str, Session]:
    path, now = choice_file(bundle, threads), circumstances(bundle, threads)
    found = "" if again else recall(path, now)
    if isinstance(found, DeviceChoice):
        try:
            sessions = _open_chosen(bundle, threads, found)
        except ProviderError as error:
            found = f"what was chosen does not run any more ({error})"
        else:
            log.warning("auto takes %s, as measured before (%s measures again)", describe(found.devices), AGAIN)
            return sessions
    if found:
        log.warning("auto measures again: %s", found)
    choice, sessions = measure(bundle, threads, runnable(), works(bundle))
    for device in dict.fromkeys(name for times in choice.milliseconds.values() for name in times):
        figures = (f"{part} {times[device]:.1f} ms" for part, times in choice.milliseconds.items() if device in times)
        log.warning("auto: %s: %s", device, ", ".join(figures))
    log.warning("auto takes %s: %s; %s", describe(choice.devices), _why(choice), remember(path, now, choice))
    return sessions


def _open_chosen(bundle: Bundle, threads: int, choice: DeviceChoice) -> dict[str, Session]:
    return {
        graph: open_session(graph_file(bundle, graph), choice.devices[part], threads) for part, graph in PARTS.items()
    }


def measure(
    bundle: Bundle, threads: int, devices: Mapping[str, Device], works: Workloads, clock: Timer = time.perf_counter
) -> tuple[DeviceChoice, dict[str, Session]]:
    """Let the devices play each part; return the choice, and the sessions that won, by the graphs' names.

    What fails is named and left out of that part. Raises ProviderError when no device runs a part.
    """
    log.warning("auto: measuring %s on %s, once", ", ".join(devices), bundle.name)
    tell_better_device(devices)
    milliseconds: dict[str, dict[str, float]] = {}
    winners: dict[str, Session] = {}
    chosen: dict[str, str] = {}
    for part, name in PARTS.items():
        sessions = _open_all(graph_file(bundle, name), threads, devices, works[name])
        if not sessions:
            raise ProviderError(f"{AUTO}: no device runs {name} here; --device cpu says what is missing")
        runs = {device: _bind(works[name], session) for device, session in sessions.items()}
        milliseconds[part] = race(runs, clock)
        chosen[part] = choose(milliseconds[part])
        winners[name] = sessions[chosen[part]]
    return DeviceChoice(chosen, milliseconds), winners


def tell_better_device(devices: Collection[str]) -> None:
    """Say what is missing for the device that the machine's card is best played by, unless that is among `devices`."""
    try:
        card = find_card()
    except ProviderError:
        return
    best = card.devices[0]
    if best not in devices:
        try:
            check_device(best)
        except ProviderError as error:
            log.warning("auto: %s is for --device %s, which does not run here: %s", card.name, best, error)


def difference(found: Array, expected: Array) -> float:
    """Return how far results are from the expected ones, relative to these; infinity when one is not finite."""
    one, other = (array.astype(np.float64) for array in (found, expected))
    if not np.isfinite(one).all():
        return float("inf")
    return float(np.abs(one - other).mean() / max(np.abs(other).mean(), np.finfo(np.float32).tiny))


def _open_all(graph: GraphFile, threads: int, devices: Mapping[str, Device], work: Workload) -> dict[str, Session]:
    """Return the sessions of the devices that run `graph` with the first one's results; name the others."""
    sessions: dict[str, Session] = {}
    expected: Array | None = None
    for name, device in devices.items():
        try:
            session = _open_to_measure(device, graph, threads)
            found = work(session)
            off = difference(found, found if expected is None else expected)
            if off > MAX_DIFFERENCE:
                raise ProviderError(f"its results differ by {off:.3g} from {next(iter(sessions), name)}'s")
            sessions[name], expected = session, found if expected is None else expected
        except ProviderError as error:
            log.warning("auto: %s is left out for %s: %s", name, graph.path.name, error)
    return sessions


def _open_to_measure(device: Device, graph: GraphFile, threads: int) -> Session:
    """Load `graph`, and keep nothing on disk that the losers would leave there."""
    if device.ready is None:
        return device.open(replace(graph, sha256=""), threads)
    if not device.ready(graph):
        raise ProviderError(f"its engine takes minutes to build; play once with --device {device.name}, then {AGAIN}")
    return device.open(graph, threads)


def _bind(work: Workload, session: Session) -> Callable[[], object]:
    return lambda: work(session)


def _why(choice: DeviceChoice) -> str:
    """Return the reason for a choice: how much faster each is, or that none is."""
    reasons = []
    for part, device in choice.devices.items():
        times = choice.milliseconds[part]
        first = next(iter(times))
        if device != first:
            reasons.append(f"the {part} runs {times[first] / times[device]:.2f} times as fast as on {first}")
    if reasons:
        return ", ".join(reasons)
    several = any(len(times) > 1 for times in choice.milliseconds.values())
    return f"nothing is {MARGIN:.0%} faster" if several else "there is nothing else here"
