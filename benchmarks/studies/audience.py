"""Clients of a stage in a process of their own, so that what they cost is not the server's.

    python -m clavilux.benchmarks.studies.audience ws://127.0.0.1:7860/ws --viewers 16
    python -m clavilux.benchmarks.studies.audience ws://127.0.0.1:7860/ws --performer --sound bark.wav

Every line on its standard input is answered with a line of JSON: a `Tally` of what came since the line before, the
first one when every client has had its first picture. It ends with its input. Viewers acknowledge each frame and decode
none; the performer streams sound as a browser does, decodes every picture, and calls it shown then.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.serving import PATIENCE
from clavilux.benchmarks.measurements.through_the_socket import MICROSECONDS, RATE, load, play
from clavilux.runtime.errors import ClaviluxError
from clavilux.server.client.connect import SoundFormat, connect
from clavilux.server.client.frame import ReceivedFrame
from clavilux.server.protocol.binary import FRAME_HEADER

TOKEN_VARIABLE = "CLAVILUX_TOKEN"  # noqa: S105  (the name of a variable)
STAGE_BYTES = 4  # of one stage's time in a frame


@dataclass
class Received:
    """Frames that came to one client since it was last asked."""

    frames: int = 0
    bytes: int = 0  # of frames: header, stage times and picture
    skipped: int = 0  # frames that the engine made and this client did not get


@dataclass(frozen=True)
class Tally:
    """Counts of all clients of one process since it was last asked."""

    seconds: float  # since then
    cpu_seconds: float  # taken by the clients' process meanwhile
    clients: tuple[Received, ...]
    heard_to_shown: tuple[float, ...] = ()  # seconds, of every picture a performer showed
    compress: tuple[float, ...] = ()  # seconds that the server took for its JPEG, as the frame tells


@dataclass
class Client:
    """One connection, and what it has counted."""

    count: Received = field(default_factory=Received)
    heard_to_shown: list[float] = field(default_factory=list)
    compress: list[float] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    _before: int | None = None  # sequence of the frame before

    def take(self, frame: ReceivedFrame) -> None:
        """Count a frame."""
        packed = frame.packed
        self.count.frames += 1
        self.count.bytes += FRAME_HEADER.size + STAGE_BYTES * len(packed.stages) + len(packed.picture)
        if self._before is not None:
            self.count.skipped += max(0, frame.sequence - self._before - 1)
        self._before = frame.sequence
        self.begun.set()

    async def watch(self, url: str) -> None:
        """Take frames until cancelled."""
        async with connect(url, token=os.environ.get(TOKEN_VARIABLE)) as stage:
            async for frame in stage:
                self.take(frame)

    async def perform(self, url: str, sound: Path | None) -> None:
        """Stream sound and show pictures until cancelled; a picture before any sound counts as none."""
        token = os.environ.get(TOKEN_VARIABLE)
        async with connect(url, role="performer", sound=SoundFormat(rate=RATE), token=token) as stage:
            playing = asyncio.create_task(play(stage, load(sound)))
            try:
                async for frame in stage:
                    _ = frame.pixels  # decoded: shown
                    if frame.heard_until is not None:
                        self.heard_to_shown.append((stage.server_time() - frame.heard_until) / MICROSECONDS)
                        self.compress.append(frame.stages.get("compress", 0.0))
                        self.take(frame)
            finally:
                playing.cancel()

    def empty(self) -> Received:
        """Return what was counted, and begin anew."""
        count, self.count = self.count, Received()
        self.heard_to_shown, self.compress = [], []
        return count


@contextmanager
def taking_part(url: str, *words: str) -> Iterator[Callable[[], Tally]]:
    """Let clients take part until the block ends; yield what asks them for a Tally.

    `words` are this module's options. Asking raises BenchError when a client cannot take part any more.
    """
    command = [sys.executable, "-u", "-m", "clavilux.benchmarks.studies.audience", url, *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        yield lambda: _ask(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with suppress(BrokenPipeError):  # a question that nobody read any more
                    pipe.close()


def _ask(process: "subprocess.Popen[str]") -> Tally:
    line = ""
    if process.stdin and process.stdout:
        with suppress(BrokenPipeError):  # its last line says why
            process.stdin.write("\n")
            process.stdin.flush()
        line = process.stdout.readline()
    found: dict[str, Any] = json.loads(line or '{"why": "the clients ended without a word"}')
    if "why" in found:
        raise BenchError(str(found["why"]))
    return Tally(
        seconds=found["seconds"],
        cpu_seconds=found["cpu_seconds"],
        clients=tuple(Received(**one) for one in found["clients"]),
        heard_to_shown=tuple(found["heard_to_shown"]),
        compress=tuple(found["compress"]),
    )


async def attend(clients: list[Client], tasks: list["asyncio.Task[None]"]) -> None:
    """Answer every line of standard input until it ends. Raises what a client met."""
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    answering = asyncio.create_task(_answer(orders, clients))
    try:
        done, _ = await asyncio.wait([answering, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if answering not in done:
            raise BenchError("the server said goodbye to a client; expected it to play on")
    finally:
        for task in (answering, *tasks):
            task.cancel()
        await asyncio.gather(answering, *tasks, return_exceptions=True)


async def _answer(orders: asyncio.StreamReader, clients: list[Client]) -> None:
    before, cpu = time.perf_counter(), time.process_time()
    while await orders.readline():
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(client.begun.wait() for client in clients))
        now, used = time.perf_counter(), time.process_time()
        heard = tuple(one for client in clients for one in client.heard_to_shown)
        compress = tuple(one for client in clients for one in client.compress)
        counts = tuple(client.empty() for client in clients)
        print(json.dumps(asdict(Tally(now - before, used - cpu, counts, heard, compress))))
        before, cpu = now, used


async def _take_part(url: str, viewers: int, sound: Path | None) -> None:
    clients = [Client() for _ in range(viewers or 1)]
    runs = [client.watch(url) if viewers else client.perform(url, sound) for client in clients]
    await attend(clients, [asyncio.create_task(run) for run in runs])


def main() -> int:
    """Take part; what goes wrong is a line of JSON, `why`, and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the websocket")
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--viewers", type=int, default=0, help="so many who watch")
    role.add_argument("--performer", action="store_true", help="one who plays")
    parser.add_argument("--sound", type=Path, help="what the performer plays (seeded noise)")
    arguments = parser.parse_args()
    try:
        asyncio.run(_take_part(arguments.url, arguments.viewers, arguments.sound))
    except (ClaviluxError, TimeoutError) as error:
        print(json.dumps({"why": str(error) or f"no picture came to every client within {PATIENCE:.0f} s"}))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
