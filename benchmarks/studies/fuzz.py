"""Fuzz: a million hostile messages to everything that reads what others have sent.

    python -m clavilux.benchmarks.studies.fuzz --messages 1000000
    python -m clavilux.benchmarks.studies.fuzz --only socket,http --seconds 60
    python -m clavilux.benchmarks.studies.fuzz --messages 1000000 --atheris

`decoders` are read in this process: protocol, manifest, routes, parameters, tokens, headers, and the state machine of
connections. `socket` and `sounding` are a real `clavilux serve` with hostile clients, beside a usual performer and a
viewer, or beside a viewer alone; `http` sends it requests. Each part gets so many messages; those on a wire end after
`--seconds` at the latest. Inputs are seeded mutations of valid ones (`fuzz_inputs`).

Prints a table and a line of JSON. Exit code 1: something was raised, answered or logged that is not declared; its input
lies in the folder that is told. With `--atheris`, which needs `pip install atheris==3.0.0`, the decoders are fuzzed
with feedback of what code an input reaches, and nothing else is.
"""

import argparse
import asyncio
import hashlib
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

from clavilux.benchmarks.bench.report import columns
from clavilux.benchmarks.command_line import chosen, make_folder, parse_seconds, require, stopwatch
from clavilux.benchmarks.measurements.serving import Server, serving
from clavilux.benchmarks.studies.attacks import Footprint, Play, footprint, played
from clavilux.benchmarks.studies.audience import taking_part
from clavilux.benchmarks.studies.fuzz_decoders import Case, Decoder, Findings, connections, decoders, tried
from clavilux.benchmarks.studies.fuzz_wire import FAULTS, LIVES, Siege, beset
from clavilux.command import EXIT_MISTAKE
from clavilux.runtime.commands.printable import complain
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.loading import open_engine

PARTS = ("decoders", "socket", "sounding", "http")
MESSAGES = 1_000_000
VIEWER, PERFORMER = ("--viewers", "1"), ("--performer",)
BESIDE = {"socket": (PERFORMER, VIEWER), "sounding": (VIEWER,), "http": (PERFORMER, VIEWER)}
"""Usual clients beside each part on a wire; the first one's pictures are told."""

KEPT = 3  # inputs of one kind
WATCHING = 5.0  # s that a usual client's pictures are counted before and after
EXIT_FOUND = 1
TRACEBACK = "Traceback"


def kept_in(folder: Path) -> Callable[[str, Case], None]:
    """Return what writes the first `KEPT` inputs of a name into `folder`, as they are or as Python shows them."""
    kept: Counter[str] = Counter()

    def keep(name: str, case: Case) -> None:
        kept[name] += 1
        if kept[name] > KEPT:
            return
        data = case if isinstance(case, bytes) else repr(case).encode()
        clean = "".join(letter if letter.isalnum() else "-" for letter in name)
        (folder / f"{clean}-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)

    return keep


@contextmanager
def readers(folder: Path) -> Iterator[tuple[Decoder, ...]]:
    """Give all decoders; their files are written into `folder`."""
    with connections(open_engine()) as conversing:
        yield (*decoders(folder), conversing)


def decoded(messages: int, random: Random, folder: Path) -> list[Findings]:
    """Return the findings of each decoder, to which messages are shared out evenly."""
    keep, findings = kept_in(folder), []
    with readers(folder) as all_of_them:
        for decoder in all_of_them:
            found = tried(decoder, -(-messages // len(all_of_them)), random, keep)
            keep(f"{decoder.name}-slowest", found.slowest)
            findings.append(found)
    return findings


def besieged(part: str, messages: int, seconds: float, random: Random, folder: Path) -> tuple[Findings, str]:
    """Return the findings of a part on a wire, and a line about who played and watched beside it."""
    with (folder / f"{part}.log").open("w+", encoding="utf-8") as log:
        with serving([], log=log) as server, ExitStack() as stack:
            ask, *_ = [stack.enter_context(taking_part(server.socket, *words)) for words in BESIDE[part]]
            before, rest = played(ask, server, WATCHING), footprint(server.process_id)
            found, during = _struck(part, server, lambda: played(ask, server, WATCHING), (messages, seconds, random))
            after, end = played(ask, server, WATCHING), footprint(server.process_id)
            newcomer = played(stack.enter_context(taking_part(server.socket, *VIEWER)), server, WATCHING)
        log.seek(0)
        tracebacks = log.read().count(TRACEBACK)
    found.undeclared.update({"a traceback in the log": tracebacks} if tracebacks else {})
    found.undeclared.update({"no pictures afterwards": 1} if not (after.rate and newcomer.rate) else {})
    found.memory = (rest.memory, end.memory)
    return found, _line(part, (before, during, after), (rest, end))


def _struck(
    part: str, server: Server, watch: Callable[[], Play], limits: tuple[int, float, Random]
) -> tuple[Findings, Play]:
    """Beset a server; return what was met, and how it played meanwhile."""

    async def both() -> tuple[Siege, Play]:
        playing = asyncio.create_task(asyncio.to_thread(watch))
        return await beset(server.socket, LIVES.get(part, LIVES["socket"]), *limits), await playing

    began = time.perf_counter()
    siege, during = asyncio.run(both())
    found = Findings(part, siege.sent, time.perf_counter() - began)
    for ending, times in siege.endings.items():
        (found.undeclared if ending in FAULTS else found.declared)[ending] += times
    return found, during


def _line(part: str, plays: Sequence[Play], prints: Sequence[Footprint]) -> str:
    rates = ", ".join(f"{play.rate:.1f}" for play in plays)
    rest, end = prints
    return (
        f"{part}: {rates} pictures/s before, during and after; "
        f"{rest.descriptors} and {end.descriptors} descriptors, {rest.threads} and {end.threads} threads"
    )


def table(findings: Sequence[Findings]) -> str:
    """Return findings for people."""
    rows = [("part", "messages", "s", "undeclared", "slowest ms", "MB", "what they led to")]
    for one in findings:
        rows.append(
            (
                one.part,
                str(one.messages),
                f"{one.seconds:.0f}",
                _counted(one.undeclared) or "0",
                "-" if one.slowest_ms is None else f"{one.slowest_ms:.1f}",
                " ".join(f"{memory:.0f}" for memory in one.memory),
                _counted(one.declared),
            )
        )
    rows.append(("all", str(sum(one.messages for one in findings)), "", "", "", "", ""))
    return columns(rows)


def _counted(words: Counter[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(words.items()))


def guided(messages: int, folder: Path) -> int:
    """Fuzz the decoders under atheris in a process of its own; return its exit code. Raises BenchError without it."""
    require(["atheris"])
    words = ["-m", "clavilux.benchmarks.studies.fuzz_guided", "--messages", str(messages), "--out", str(folder)]
    return subprocess.run([sys.executable, *words], check=False).returncode and EXIT_FOUND  # noqa: S603


def _run(arguments: argparse.Namespace) -> int:
    logging.getLogger("clavilux").addHandler(logging.NullHandler())  # of refused tokens it would say very much
    folder, progress = Path(arguments.out), stopwatch()
    make_folder(folder)
    if arguments.atheris:
        return guided(arguments.messages, folder)
    findings, lines, random = [], [], Random(arguments.seed)  # noqa: S311  (chance, not secrets)
    for part in arguments.only:
        progress(part)
        if part == "decoders":
            findings += decoded(arguments.messages, random, folder)
        else:
            found, line = besieged(part, arguments.messages, arguments.seconds, random, folder)
            findings.append(found)
            lines.append(line)
    print("\n".join((table(findings), *lines, f"inputs to look at are in {folder}")))
    print(json.dumps([{name: value for name, value in vars(found).items() if name != "slowest"} for found in findings]))
    return EXIT_FOUND if any(found.undeclared for found in findings) else 0


def main(words: list[str] | None = None) -> int:
    """Run the study; return 0, 1 for something undeclared, or 2 after a line about a mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=MESSAGES, help=f"of each part ({MESSAGES})")
    parser.add_argument("--seconds", type=parse_seconds, default=100.0, help="of each part on a wire, at most (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (0)")
    parser.add_argument("--out", default=f"{tempfile.gettempdir()}/clavilux-fuzz", help="folder for inputs and logs")
    parser.add_argument("--atheris", action="store_true", help="fuzz the decoders with feedback, and nothing else")
    parser.add_argument(
        "--only", type=lambda text: chosen(text, PARTS), default=PARTS, metavar="PART,…", help=", ".join(PARTS)
    )
    arguments = parser.parse_args(words)
    try:
        return _run(arguments)
    except ClaviluxError as error:
        complain("fuzz", error)
        return EXIT_MISTAKE


if __name__ == "__main__":
    sys.exit(main())
