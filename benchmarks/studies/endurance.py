"""Endurance: a server with viewers who come and go, parameters that change and workers that are killed, for very long.

    python -m clavilux.benchmarks.studies.endurance                 # lumia, the pictures of 8 hours at 15 a second
    python -m clavilux.benchmarks.studies.endurance --hours 1 --bundle small --set frame_rate=120

Time is counted in pictures: an hour is what a stage makes in one at `USUAL_RATE`, so that a small bundle at a high
frame rate ages faster. One performer sounds, 20 viewers join and leave, all parameters of the page's sliders are moved,
and twice an hour the worker is killed. Prints the memory of the server and of its worker, descriptors and threads every
so many pictures, and in the end the slope of memory over the hours, by least squares, each worker counted from its own
beginning. Needs Linux.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

import numpy as np

from clavilux.benchmarks.command_line import ended, model_words
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.machine import PROCESSES, anonymous_mb
from clavilux.benchmarks.measurements.serving import PATIENCE
from clavilux.benchmarks.studies.faults import Venue, perform
from clavilux.command import Parser
from clavilux.runtime.commands.options import add_model_options
from clavilux.runtime.errors import ClaviluxError
from clavilux.server.client.connect import connect
from clavilux.server.client.stage import ClientStage

USUAL_RATE = 15.0  # pictures a second
HOURS = 8.0
VIEWERS = 20
STAY = (2.0, 30.0)  # s that a viewer stays, at least and at most
KILLS = 2.0  # an hour
LOOKS = 30.0  # an hour
SETTLED = 0.2  # of an hour, after a beginning, that memory is given to settle
SLIDERS = {"glide": (0.0, 5.0), "walk": (0.0, 2.0), "hue": (-180.0, 180.0), "feedback": (0.0, 0.9), "zoom": (0.5, 2.0)}
CHANGES = 0.2  # s between two changes of a parameter
POLL = 0.2  # s


@dataclass(frozen=True)
class Look:
    """Holdings of the server and its worker at a moment."""

    hour: float  # of pictures
    worker: int  # how many workers there were before
    server_mb: float
    worker_mb: float
    descriptors: int  # of the server
    threads: int  # of the server


def look(venue: Venue, hour: float, workers: int) -> Look:
    """Look at the server and its worker now. Raises BenchError where the system does not show them."""
    server = PROCESSES / str(venue.process)
    try:
        descriptors, threads = (len(list((server / name).iterdir())) for name in ("fd", "task"))
    except OSError as error:
        raise BenchError(f"{server} cannot be looked at ({error}); this needs Linux and a server that runs") from error
    worker = anonymous_mb(PROCESSES / str(venue.worker))
    return Look(hour, workers, anonymous_mb(server), worker, descriptors, threads)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the second over the first, by least squares; 0 for fewer than three points."""
    if len(points) < 3:
        return 0.0
    x, y = np.asarray(points, np.float64).T
    return float(np.polyfit(x, y, 1)[0])


def slopes(looks: Sequence[Look]) -> dict[str, float]:
    """Return how memory (MB), descriptors and threads grow an hour, once they have settled.

    The worker's is the mean over the workers, for each one begins with memory of its own, by how long they lived.
    """
    settled = [one for one in looks if one.hour >= SETTLED]
    own = {
        name: slope([(one.hour, float(getattr(one, name))) for one in settled])
        for name in ("server_mb", "descriptors", "threads")
    }
    each = []
    for worker in dict.fromkeys(one.worker for one in looks):
        lived = [one for one in looks if one.worker == worker]
        lived = [one for one in lived if one.hour >= lived[0].hour + SETTLED]
        if len(lived) > 2:
            each.append((slope([(one.hour, one.worker_mb) for one in lived]), lived[-1].hour - lived[0].hour))
    whole = sum(hours for _, hours in each)
    return own | {"worker_mb": sum(one * hours for one, hours in each) / whole if whole else 0.0}


class Audience:
    """Viewers who come and go, one who turns every knob, and one who counts the pictures."""

    def __init__(self, url: str, seed: int) -> None:
        self.pictures = 0  # that the engine has made, as the counting viewer sees
        self.visits = 0
        self._url = url
        self._random = random.Random(seed)  # noqa: S311

    def start(self) -> list["asyncio.Task[None]"]:
        """Let them all come."""
        runs = [self._count(), self._turn(), *(self._visit() for _ in range(VIEWERS)), perform(self._url)]
        return [asyncio.create_task(run) for run in runs]

    async def _count(self) -> None:
        before = None
        async for frame in connect(self._url):
            self.pictures += 0 if before is None else max(0, frame.sequence - before)
            before = frame.sequence

    async def _visit(self) -> None:
        while True:
            with suppress(ClaviluxError, TimeoutError):
                async with connect(self._url) as stage, asyncio.timeout(self._random.uniform(*STAY)):
                    self.visits += 1
                    await _watch(stage)
            await asyncio.sleep(POLL)

    async def _turn(self) -> None:
        while True:
            with suppress(ClaviluxError):
                async with connect(self._url, role="performer") as stage:
                    while True:
                        name, (low, high) = self._random.choice(list(SLIDERS.items()))
                        await stage.set(**{name: self._random.uniform(low, high)})
                        await asyncio.sleep(CHANGES)
            await asyncio.sleep(POLL)


async def _watch(stage: ClientStage) -> None:
    async for _ in stage:
        pass


async def endure(venue: Venue, hours: float, seed: int) -> list[Look]:
    """Play for so many hours of pictures; return what was looked at. Raises BenchError."""
    audience, looks, workers, began = Audience(venue.url, seed), list[Look](), 0, time.monotonic()
    tasks = audience.start()
    try:
        hour = 0.0
        while hour < hours:
            await asyncio.sleep(POLL)
            hour = min(hours, audience.pictures / USUAL_RATE / 3600)  # so that nothing is due after the end
            if hour >= (workers + 1) / KILLS:
                await venue.killed()
                workers += 1
                await _recovered(audience)
            if hour >= len(looks) / LOOKS:
                looks.append(look(venue, hour, workers))
                print(f"{time.monotonic() - began:6.0f} s  {line(looks[-1])}, {audience.visits} visits", flush=True)
            if any(task.done() for task in tasks):
                raise BenchError("one of the audience has left for good; expected all to come back")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return looks


async def _recovered(audience: Audience) -> None:
    """Wait until pictures come again. Raises BenchError when they do not."""
    before, end = audience.pictures, time.monotonic() + PATIENCE
    while time.monotonic() < end:
        await asyncio.sleep(POLL)
        if audience.pictures > before + 3:
            return
    raise BenchError(f"no picture within {PATIENCE:g} s of the end of a worker; expected another one to take over")


def line(one: Look) -> str:
    """Return a look in words."""
    return (
        f"{one.hour:5.2f} h: server {one.server_mb:.1f} MB, worker {one.worker} {one.worker_mb:.1f} MB, "
        f"{one.descriptors} descriptors, {one.threads} threads"
    )


def run(arguments: argparse.Namespace) -> None:
    """Endure, and print the slopes. Raises ClaviluxError."""
    with closing(Venue(model_words(arguments))) as venue:
        venue.start()
        looks = asyncio.run(endure(venue, arguments.hours, arguments.seed))
    told = ", ".join(f"{name} {value:+.2f}" for name, value in slopes(looks).items())
    print(f"an hour of pictures, {looks[-1].worker} workers killed: {told}")


def main(words: list[str] | None = None) -> int:
    """Run the study; a mistake is one line, and exit code 2."""
    parser = Parser(prog="python -m clavilux.benchmarks.studies.endurance", description=__doc__)
    add_model_options(parser)
    parser.add_argument(
        "--hours", type=float, default=HOURS, help=f"of pictures at {USUAL_RATE:g} a second ({HOURS:g})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what the audience does (0)")
    return ended("endurance", lambda: run(parser.parse_args(words)))


if __name__ == "__main__":
    sys.exit(main())
