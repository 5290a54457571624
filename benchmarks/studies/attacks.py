"""Attacks: what hostile clients do to a stage, and to those who play and watch there.

    python -m clavilux.benchmarks.studies.attacks
    python -m clavilux.benchmarks.studies.attacks --seconds 10 --only pings,fragments
    python -m clavilux.benchmarks.studies.attacks --set frame_rate=6    # models that leave processors free

For each attack starts a real `clavilux serve`, lets a usual client play and watch before, during and after it, and
`clavilux.benchmarks.studies.attackers` attack from a process of their own, written against docs/protocol.md alone. Who
plays gives way to attackers that sound themselves; a viewer's pictures are counted then. Prints a table and a line of
JSON. Everything is on 127.0.0.1, and on the same machine: what attackers take of its processors is told. `loop` is what
the server's event loop takes. Memory, descriptors and threads are those of all the server's processes. Needs Linux.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from clavilux.benchmarks.bench.report import columns
from clavilux.benchmarks.command_line import chosen, ended, model_words, parse_seconds, stopwatch
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements import machine
from clavilux.benchmarks.measurements.machine import PROCESSES, family, resident_mb
from clavilux.benchmarks.measurements.percentiles import MS
from clavilux.benchmarks.measurements.serving import PATIENCE, Server, serving
from clavilux.benchmarks.studies.attackers import ATTACKS, Attack
from clavilux.benchmarks.studies.audience import TOKEN_VARIABLE, Tally, taking_part
from clavilux.command import Parser
from clavilux.runtime.commands.options import add_model_options

SETTLING = 1.0  # s after which an attack, or its end, is taken to show
RETURNS = 5  # times that a performer tries to come back
LOOKING = 0.1  # s between two looks at the server's processes
GUESSES = "guesses"  # the attack that needs a server with a token
TOKEN = "of-the-attacks-study"  # noqa: S105  (which guards nothing)


@dataclass(frozen=True)
class Play:
    """How a stage plays for a usual client."""

    rate: float  # pictures a second
    latency: float | None  # ms from heard to shown, median; None where nobody measures it
    loop: float = 0.0  # processors that the event loop takes


@dataclass(frozen=True)
class Footprint:
    """Footprint of a server's processes at one moment, or the most of each."""

    memory: float  # MB
    descriptors: int
    threads: int

    def most(self, other: "Footprint") -> "Footprint":
        """Return the larger of both, each for itself."""
        return Footprint(*map(max, asdict(self).values(), asdict(other).values()))


@dataclass(frozen=True)
class Outcome:
    """Outcome of one attack."""

    attack: str
    plays: tuple[Play, Play, Play]  # before, during and after
    footprints: tuple[Footprint, Footprint, Footprint]  # before, the most, and after
    met: dict[str, int] = field(default_factory=dict)  # how often an attacker met each ending
    processors: float = 0.0  # that the attackers took


def footprint(process_id: int, root: Path = PROCESSES) -> Footprint:
    """Return that of a server's processes; nothing of those that have ended. Needs Linux."""
    descriptors = threads = 0
    for process in family(process_id, root=root):
        with suppress(OSError):  # it has just ended
            descriptors += len(list((root / str(process) / "fd").iterdir()))
            threads += len(list((root / str(process) / "task").iterdir()))
    return Footprint(resident_mb(process_id, root=root) or 0.0, descriptors, threads)


class Watch:
    """Looks at a server's processes, in a thread of its own, as long as its block lasts."""

    def __init__(self, process_id: int) -> None:
        self.most = footprint(process_id)
        self._process_id = process_id
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOKING):
            self.most = self.most.most(footprint(self._process_id))


def played(ask: Callable[[], Tally], server: Server, seconds: float) -> Play:
    """Return how a stage plays for so long; for a client that is no longer there, not at all."""
    try:
        ask()
        before = _loop_seconds(server)
        time.sleep(seconds)
        tally, taken = ask(), _loop_seconds(server) - before
    except BenchError:
        return Play(0.0, None)
    heard = median(tally.heard_to_shown) if tally.heard_to_shown else None
    rate, loop = tally.clients[0].frames / tally.seconds, taken / tally.seconds
    return Play(round(rate, 1), None if heard is None else round(MS * heard, 1), round(loop, 2))


def _loop_seconds(server: Server) -> float:
    return machine.cpu_seconds(server.process_id, main_thread=True) or 0.0


@contextmanager
def attacking(attack: str, server: Server, seconds: float) -> Iterator[Callable[[], dict[str, Any]]]:
    """Attack for so long, and while the block lasts; yield what waits for the end and tells what was met, and taken."""
    words = [attack, server.socket, "--seconds", str(seconds)]
    command = [sys.executable, "-m", "clavilux.benchmarks.studies.attackers", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603

    def told() -> dict[str, Any]:
        try:
            line, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            line = ""
        return json.loads(line or '{"met": {"attackers ended without a word": 1}, "processors": 0.0}')  # type: ignore[no-any-return]

    try:
        yield told
    finally:
        process.kill()
        process.communicate()


def suffered(name: str, attack: Attack, server: Server, seconds: float) -> Outcome:
    """Return what an attack of so many seconds does to a server."""
    with taking_part(server.socket, "--viewers", "1") as watching:
        with taking_part(server.socket, "--performer") as ask:
            before, rest = played(ask, server, seconds), footprint(server.process_id)
            if not attack.sounds:
                during, most, told = _struck(name, server, ask, seconds)
                time.sleep(SETTLING)
                after = played(ask, server, seconds)
        if attack.sounds:
            during, most, told = _struck(name, server, watching, seconds)
            after = _returned(server, seconds)
        return Outcome(name, (before, during, after), (rest, most, footprint(server.process_id)), **told)


def _returned(server: Server, seconds: float) -> Play:
    """Return how the stage plays for who comes back to perform, once whoever has taken the place is let go."""
    for _ in range(RETURNS):
        with taking_part(server.socket, "--performer") as ask:
            after = played(ask, server, seconds)
        if after.rate:
            break
        time.sleep(SETTLING)
    return after


def _struck(
    name: str, server: Server, ask: Callable[[], Tally], seconds: float
) -> tuple[Play, Footprint, dict[str, Any]]:
    """Return how the stage plays during an attack, its largest footprint, and what the attackers met and took."""
    with attacking(name, server, seconds + 2 * SETTLING) as told, Watch(server.process_id) as watch:
        time.sleep(2 * SETTLING)  # Python takes one to start
        during = played(ask, server, seconds)
        return during, watch.most, told()


@contextmanager
def token_of(attack: str) -> Iterator[None]:
    """Have a token in the environment, which server and usual clients read, for an attack that needs one."""
    before = os.environ.pop(TOKEN_VARIABLE, None)
    try:
        if attack == GUESSES:
            os.environ[TOKEN_VARIABLE] = TOKEN
        yield
    finally:
        os.environ.pop(TOKEN_VARIABLE, None)
        if before is not None:
            os.environ[TOKEN_VARIABLE] = before


def tried(name: str, words: list[str], seconds: float) -> Outcome:
    """Return the outcome of one attack on a server of its own, that `words` start."""
    with token_of(name), serving(words) as server:
        return suffered(name, ATTACKS[name], server, seconds)


def table(outcomes: list[Outcome]) -> str:
    """Return the outcomes for people: before, during (or the most) and after."""
    rows = [("attack", "pictures/s", "p50 ms", "loop", "attackers", "MB", "descriptors", "threads", "what they met")]
    for one in outcomes:
        rows.append(
            (
                one.attack,
                " ".join(f"{play.rate:.1f}" for play in one.plays),
                " ".join("-" if play.latency is None else f"{play.latency:.0f}" for play in one.plays),
                " ".join(f"{play.loop:.2f}" for play in one.plays),
                f"{one.processors:.2f}",
                " ".join(f"{found.memory:.0f}" for found in one.footprints),
                " ".join(f"{found.descriptors}" for found in one.footprints),
                " ".join(f"{found.threads}" for found in one.footprints),
                ", ".join(f"{count} {ending}" for ending, count in sorted(one.met.items())),
            )
        )
    return columns(rows)


def _run(arguments: argparse.Namespace) -> None:
    if loud := machine.warning(machine.describe()):
        print(f"*** {loud}", file=sys.stderr)
    progress = stopwatch()
    outcomes = []
    for name in arguments.only:
        progress(name)
        outcomes.append(tried(name, model_words(arguments), arguments.seconds))
    print(table(outcomes))
    print(json.dumps([asdict(outcome) for outcome in outcomes]))


def main(words: list[str] | None = None) -> int:
    """Run the study; return 0, or 2 after a line about a mistake."""
    parser = Parser(prog="python -m clavilux.benchmarks.studies.attacks", description=__doc__)
    add_model_options(parser)
    parser.add_argument("--seconds", type=parse_seconds, default=5.0, help="of each attack, and before and after (5)")
    parser.add_argument(
        "--only",
        type=lambda text: chosen(text, ATTACKS),
        default=tuple(ATTACKS),
        metavar="NAME,…",
        help=f"some of {', '.join(ATTACKS)}",
    )
    return ended("attacks", lambda: _run(parser.parse_args(words)))


if __name__ == "__main__":
    sys.exit(main())
