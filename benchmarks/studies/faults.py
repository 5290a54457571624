"""Faults on a stage that plays: what a viewer sees of each, how long it lasts, and what is the same afterwards.

    python -m clavilux.benchmarks.studies.faults                         # lumia, every fault, in about three minutes
    unshare -rn python -m clavilux.benchmarks.studies.faults --only network
    sudo python -m clavilux.benchmarks.studies.faults --only memory
    python -m clavilux.benchmarks.studies.faults --only killed,hung --bundle mine --device cuda

Starts `clavilux serve` as a user does, with a performer who sounds and a viewer, who reconnect as the Python client
does. Then it kills the worker that holds the models, stops it, stops the server for five seconds (as a machine does
that sleeps), ends it, kills it, takes the network away for half a minute, which needs a network namespace of its own,
and lets the system kill the worker because it gives it no more memory, which needs the rights of root and may take some
seconds. `half-open` is a performer's connection that breaks without a word, and how long it keeps others out. `gap` is
the longest time between two pictures at the viewer, `back` when it ended, counted from the fault. Needs Linux.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.typing import Subprotocol

from clavilux.benchmarks.bench.report import columns
from clavilux.benchmarks.command_line import chosen, ended, model_words, stopwatch
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.machine import PROCESSES, family
from clavilux.benchmarks.measurements.serving import PATIENCE, Server, serving
from clavilux.command import Parser
from clavilux.runtime.commands.options import add_model_options
from clavilux.runtime.errors import ClaviluxError
from clavilux.server.client.connect import SoundFormat, backoff, connect
from clavilux.server.client.stage import ClientStage, Disconnected
from clavilux.server.protocol.messages import ServerMessage, Start, Started
from clavilux.server.protocol.text import encode, parse_event
from clavilux.server.protocol.words import SUBPROTOCOL, Role

RATE = 16_000  # Hz
BLOCK = 320  # samples: 20 ms
LOUDNESS = 0.1  # deviation of the noise that is played
GLIDE = 1.25  # s, the parameter that must survive
QUIET = 3.0  # s of undisturbed playing before and after each fault
NAP = 5.0  # s that the server is stopped for
AWAY = 30.0  # s without a network
MEMORY_GROUPS = {Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes", Path("/sys/fs/cgroup"): "memory.max"}
"""Where the system keeps control groups of memory, the first kind and the second, and the file of their limit."""
MEMORY_LEFT = 400_000  # bytes
LOOK = 0.05  # s between two looks at the status


@dataclass(frozen=True)
class Seen:
    """Something that a viewer saw."""

    at: float  # s
    picture: int | None = None  # its sequence
    told: str = ""  # state of the engine, or how a connection ended


@dataclass
class Viewer:
    """A viewer that reconnects as the client does, and remembers what it saw."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    parameters: dict[str, object] = field(default_factory=dict)

    async def watch(self) -> None:
        """Watch until cancelled."""
        delays = backoff()
        while True:
            with suppress(Disconnected):
                async with connect(self.url) as stage:
                    delays = backoff()
                    looking = asyncio.create_task(self._look(stage))
                    try:
                        async for frame in stage:
                            self._note(picture=frame.sequence)
                    except Disconnected as lost:
                        self._note(told=f"closed {lost.code}")
                    finally:
                        looking.cancel()
            await asyncio.sleep(next(delays))

    async def _look(self, stage: ClientStage) -> None:
        before = "playing"
        while True:
            self.parameters = stage.parameters
            engine = stage.status.engine if stage.status else before
            if engine != before:
                self._note(told=engine)
            before = engine
            await asyncio.sleep(LOOK)

    def _note(self, *, picture: int | None = None, told: str = "") -> None:
        self.seen.append(Seen(time.monotonic(), picture, told))


async def perform(url: str) -> None:
    """Sound and set a parameter, once, until cancelled; come back as often as it takes."""
    noise = np.random.default_rng(0).normal(0, LOUDNESS, RATE).astype(np.float32)
    delays, fresh = backoff(), True
    while True:
        with suppress(ClaviluxError):
            async with connect(url, role="performer", sound=SoundFormat(rate=RATE)) as stage:
                delays = backoff()
                if fresh:
                    await stage.set(glide=GLIDE)
                fresh = False
                due = time.monotonic()
                for start in _endless(len(noise)):
                    await stage.send(noise[start : start + BLOCK])
                    due += BLOCK / RATE
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.sleep(next(delays))


def _endless(length: int) -> Iterator[int]:
    while True:
        yield from range(0, length - BLOCK, BLOCK)


class Venue:
    """A server on a port that stays the same, and all that can happen to it."""

    def __init__(self, words: Sequence[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/ws"
        self._words = [*words, "--port", str(port)]
        self._kept = ExitStack()
        self._server: Server | None = None

    def start(self) -> None:
        """Start the server; return once it has made a picture. Raises BenchError."""
        self._server = self._kept.enter_context(serving(self._words))

    def close(self) -> None:
        """End the server, if it runs."""
        self._kept.close()

    @property
    def process(self) -> int:
        """The server's process."""
        if self._server is None:
            raise BenchError("no server runs")
        return self._server.process_id

    @property
    def worker(self) -> int:
        """The process that holds the models. Raises BenchError where there is none."""
        for child in family(self.process)[1:]:
            with suppress(OSError):
                if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                    return child
        raise BenchError("the server has no worker; expected one: leave --in-process away; this needs Linux")

    async def killed(self) -> None:
        """Kill the worker."""
        os.kill(self.worker, signal.SIGKILL)

    async def hung(self) -> None:
        """Stop the worker, as one that hangs stands still."""
        os.kill(self.worker, signal.SIGSTOP)

    async def starved(self) -> None:
        """Let the system give the worker no more memory, and wait until it has killed it. Raises BenchError."""
        await asyncio.to_thread(starve, self.worker)

    async def nap(self) -> None:
        """Stop the server for NAP seconds, as a machine does that sleeps: every clock of it jumps."""
        os.kill(self.process, signal.SIGSTOP)
        await asyncio.sleep(NAP)
        os.kill(self.process, signal.SIGCONT)

    async def ended(self) -> None:
        """End the server as a service manager does, and start it again."""
        await self._restart(signal.SIGTERM)

    async def crashed(self) -> None:
        """Kill the server, and start it again."""
        await self._restart(signal.SIGKILL)

    async def network(self) -> None:
        """Take the network away for AWAY seconds; this process has one of its own. Raises BenchError where not."""
        await _link("down")
        await asyncio.sleep(AWAY)
        await _link("up")

    async def _restart(self, number: signal.Signals) -> None:
        os.kill(self.process, number)
        await asyncio.to_thread(self.close)
        await asyncio.to_thread(self.start)


def starve(process: int, groups: Mapping[Path, str] = MEMORY_GROUPS) -> None:
    """Put a process into a control group that has no memory left, until the system has killed it. Raises BenchError."""
    root, limit = next(((root, limit) for root, limit in groups.items() if root.is_dir()), (Path(), ""))
    group = root / f"clavilux-{process}"
    try:
        group.mkdir()
        (group / limit).write_text(str(MEMORY_LEFT))
        (group / "cgroup.procs").write_text(str(process))
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        raise BenchError(
            f"{group} cannot hold a process ({error.strerror}); expected Linux, and the rights of root"
        ) from error
    end = time.monotonic() + PATIENCE
    while (PROCESSES / str(process)).is_dir() and time.monotonic() < end:
        time.sleep(LOOK)
    with suppress(OSError):
        group.rmdir()


FAULTS: dict[str, tuple[str, Callable[[Venue], Awaitable[None]]]] = {
    "killed": ("worker killed", Venue.killed),
    "hung": ("worker hangs", Venue.hung),
    "memory": ("worker gets no memory", Venue.starved),
    "nap": (f"server stopped for {NAP:g} s", Venue.nap),
    "ended": ("server ended and started", Venue.ended),
    "crashed": ("server killed and started", Venue.crashed),
    "network": (f"no network for {AWAY:g} s", Venue.network),
}
"""Faults by name: what they are, and how they are caused."""
HALF_OPEN = "half-open"  # fault of a performer's connection
KNOWN = (*FAULTS, HALF_OPEN)
USUAL = tuple(name for name in KNOWN if name not in ("network", "memory"))  # that need no rights


@dataclass(frozen=True)
class Outcome:
    """Effect of a fault on a viewer."""

    fault: str
    back: float  # s from the fault to the end of the longest time without a picture,
    gap: float  # and how long that was
    told: tuple[str, ...]  # states of the engine and ends of connections, in order
    goes_on: bool  # whether the sequence of pictures went on
    kept: bool  # whether the parameter that was set still holds


def outcome(fault: str, viewer: Viewer, began: float) -> Outcome:
    """Sum up what a viewer has seen of a fault at `began`. Raises BenchError when no picture came after it."""
    pictures = [(one.at, one.picture) for one in viewer.seen if one.picture is not None]
    before = [one for one in pictures if one[0] <= began]
    after = [one for one in pictures if one[0] > began]
    if not before or not after:
        raise BenchError(f"{fault}: {len(before)} pictures before, {len(after)} after; expected some of both")
    widest = max(pairwise([before[-1], *after]), key=lambda pair: pair[1][0] - pair[0][0])
    return Outcome(
        fault=fault,
        back=widest[1][0] - began,
        gap=widest[1][0] - widest[0][0],
        told=tuple(one.told for one in viewer.seen if one.at > began and one.told),
        goes_on=all(one < other for (_, one), (_, other) in pairwise([before[-1], *after])),
        kept=viewer.parameters.get("glide") == GLIDE,
    )


async def suffer(venue: Venue, name: str) -> Outcome:
    """Play, let a fault happen, and return what a viewer saw of it. Raises BenchError."""
    title, cause = FAULTS[name]
    viewer = Viewer(venue.url)
    playing = [asyncio.create_task(viewer.watch()), asyncio.create_task(perform(venue.url))]
    try:
        await _undisturbed(viewer)
        began = time.monotonic()
        await cause(venue)
        await _undisturbed(viewer)
    finally:
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)
    return outcome(title, viewer, began)


async def _undisturbed(viewer: Viewer) -> None:
    """Wait until pictures have come for QUIET seconds. Raises BenchError when they do not."""
    async with asyncio.timeout(PATIENCE):
        since = time.monotonic()
        while True:
            await asyncio.sleep(LOOK)
            now = time.monotonic()
            newest = max((one.at for one in viewer.seen if one.picture is not None), default=0.0)
            if now - newest > QUIET / 2:
                since = now
            if now - since > QUIET and viewer.parameters:
                return


async def _link(state: str) -> None:
    """Switch this network namespace's loopback. Raises BenchError where it is the machine's own."""
    if len(socket.if_nameindex()) > 1:
        raise BenchError("this is the machine's own network; run it inside: unshare -rn")
    done = await asyncio.create_subprocess_exec("ip", "link", "set", "lo", state)
    if await done.wait():
        raise BenchError("ip link set lo does not work here; expected to be inside: unshare -rn")


async def half_open(url: str, *, own: bool) -> float:
    """Return how long a performer whose connection has broken without a word keeps another one out, in seconds.

    `own`: the other one is the performer himself, who shows his session. Raises BenchError.
    """
    broken, started = await _begin(url)
    if not isinstance(started, Started):
        raise BenchError(f"a performer was not let in, but got {started}; expected started")
    broken.transport.pause_reading()  # from here on it neither reads nor says anything
    began = time.monotonic()
    try:
        while time.monotonic() < began + PATIENCE:
            other, answer = await _begin(url, started.session if own else None)
            await other.close()
            if isinstance(answer, Started):
                return time.monotonic() - began
            await asyncio.sleep(LOOK)
    finally:
        broken.transport.abort()
    raise BenchError(f"a performer who is gone keeps others out for more than {PATIENCE:g} s")


async def _begin(url: str, session: str | None = None) -> tuple[ClientConnection, ServerMessage | None]:
    """Return a connection that wants to perform, and the answer to that."""
    socket = await open_socket(url, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None)
    await socket.send(encode(Start(Role.PERFORMER, SoundFormat(rate=RATE), session=session)))
    await socket.recv()  # hello
    while isinstance(answer := await socket.recv(), bytes):
        pass
    return socket, parse_event(answer)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a row for each fault."""
    rows: list[tuple[str, ...]] = [("fault", "back, s", "gap, s", "pictures go on", "glide kept", "told")]
    for one in outcomes:
        words = (("no", "yes")[flag] for flag in (one.goes_on, one.kept))
        rows.append((one.fault, f"{one.back:.1f}", f"{one.gap:.1f}", *words, ", ".join(one.told) or "nothing"))
    return columns(rows)


def run(arguments: argparse.Namespace) -> None:
    """Let every fault that is asked for happen, and print what it did. Raises ClaviluxError."""
    progress, found, lines = stopwatch(), [], []
    words = model_words(arguments)
    if "network" in arguments.only:
        asyncio.run(_link("up"))
    for name in arguments.only:
        progress(FAULTS[name][0] if name in FAULTS else name)
        with closing(Venue(words)) as venue:
            venue.start()
            if name == HALF_OPEN:
                own, others = (asyncio.run(half_open(venue.url, own=own)) for own in (True, False))
                lines.append(
                    f"a broken performer's place: his own again after {own:.1f} s, anyone's after {others:.1f} s"
                )
            else:
                found.append(asyncio.run(suffer(venue, name)))
    print("\n".join([*([table(found)] if found else []), *lines]))


def main(words: list[str] | None = None) -> int:
    """Run the study; a mistake is one line, and exit code 2."""
    parser = Parser(prog="python -m clavilux.benchmarks.studies.faults", description=__doc__)
    add_model_options(parser)
    parser.add_argument(
        "--only", type=lambda text: chosen(text, KNOWN), default=USUAL, metavar="FAULT,...", help=", ".join(KNOWN)
    )
    return ended("faults", lambda: run(parser.parse_args(words)))


if __name__ == "__main__":
    sys.exit(main())
