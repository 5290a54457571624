"""Which throughput levers pay here: several pictures in one call of the graphs, and not painting what is the same.

    python -m clavilux.benchmarks.studies.levers --architecture lumia                # its shape, exported for batches
    python -m clavilux.benchmarks.studies.levers --bundle my-bundle --device cuda    # exported with --batch 8

To the graphs, three levers are one thing, more rows in a call: stream batch (the steps of several pictures), several
stages (their pictures), and interpolated embeddings (the pictures between two hops). So seconds per picture are
measured against the rows of a call, all by turns, and told as ratios with their 95 % intervals. Rows beside each other
come together: with b of them the first picture waits for the last. A lever pays where it makes WORTH times as many
pictures, and each of them no later than the budget from sound to picture. What is saved where nothing changes, and
where nobody watches, is measured on a real engine (`clavilux.benchmarks.studies.skipping`). Prints a table, and writes
levers.json.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clavilux.benchmarks.bench.report import HEARD_BUDGET_MS, columns
from clavilux.benchmarks.command_line import make_folder
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements import machine
from clavilux.benchmarks.measurements.alternate import Ratio, alternate, ratio
from clavilux.benchmarks.measurements.energy import SILENT
from clavilux.benchmarks.measurements.percentiles import MS
from clavilux.benchmarks.peers.wanted import ARCHITECTURES, LUMIA, Wanted
from clavilux.benchmarks.peers.weights import make
from clavilux.benchmarks.studies.skipping import DEFEATED, PLAYING, SKIPPING, UNWATCHED, Spent, middle, take_turns
from clavilux.export.options import Progress
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import DECODER, DENOISER
from clavilux.runtime.commands.options import threads
from clavilux.runtime.diffusion.denoiser import Denoiser
from clavilux.runtime.diffusion.guider import guider_for
from clavilux.runtime.diffusion.schedule import Schedule
from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole
from clavilux.runtime.loading import open_engine
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.playing.engine import Engine
from clavilux.runtime.providers.nvidia.io_binding import BoundSession
from clavilux.runtime.providers.session import Session

BATCHES = (1, 2, 4, 8)
WORTH = 1.1  # times as fast: for less, no picture should come later
ROUNDS = 15
SECONDS = 4.0  # of measuring each state of the engine
STATE_ROUNDS = 3  # of all states, at most
FORMAT = 1  # of the JSON
REPORT = "levers.json"
EXIT_USAGE = 2

DENOISE, DECODE = "denoise", "decode"
STREAM, TOGETHER = "stream batch", "several stages, or interpolated embeddings, in one batch"
SKIP, ALONE = "skipping what is the same", "a few pictures for nobody"

Times = NDArray[np.float64]  # seconds of a call, round by round
Calls = Mapping[str, Mapping[int, Times]]  # by DENOISE or DECODE, and the rows of a call


@dataclass(frozen=True)
class Rows:
    """Times of a call of so many rows."""

    part: str  # DENOISE or DECODE
    batch: int
    call_ms: float  # median
    faster: Ratio  # pictures a second, times those of calls with one row


@dataclass(frozen=True)
class Gain:
    """How many times as fast, or as frugal, one lever makes it at best."""

    lever: str
    faster: Ratio
    batch: int = 1  # rows of a call; 1 where the lever is another
    later_ms: float = 0.0  # by which a picture is ready later than it would be by itself

    @property
    def pays(self) -> bool:
        """Whether it is worth something, not by chance, and pictures still come in time."""
        return self.faster.value >= WORTH and self.faster.low > 1 and self.later_ms <= HEARD_BUDGET_MS

    def __str__(self) -> str:
        verdict = "helps here" if self.pays else "does not pay here"
        at = f" at batch {self.batch}, and each picture {self.later_ms:.0f} ms later" if self.batch > 1 else ""
        return f"{self.lever}: {verdict}, {self.faster} times as much{at}"


@dataclass(frozen=True)
class Levers:
    """Everything of one run."""

    machine: machine.Machine
    bundle: str
    provider: str
    threads: int
    rows: tuple[Rows, ...]
    states: dict[str, Spent]
    gains: tuple[Gain, ...]

    def json(self) -> str:
        """Return one JSON object."""
        verdicts = [{**asdict(gain), "pays": gain.pays} for gain in self.gains]
        return json.dumps({"format": FORMAT, **asdict(self), "gains": verdicts})

    def table(self) -> str:
        """Return everything for people."""
        host = self.machine
        head = (
            f"{host.processor}, {host.cores} cores; {self.bundle} on {self.provider}, {self.threads or 'all'} threads"
        )
        loud = machine.warning(host)
        rows = [("rows in a call", "batch", "ms per call", "ms per picture", "times as fast")]
        rows += [
            (one.part, str(one.batch), f"{one.call_ms:.1f}", f"{one.call_ms / one.batch:.1f}", str(one.faster))
            for one in self.rows
        ]
        states = [("per second", "processor s", "pictures", "painted", "W")]
        states += [
            (name, f"{one.processor:.3f}", f"{one.frames:.1f}", f"{one.painted:.1f}", _watts(one.watts))
            for name, one in self.states.items()
        ]
        silent = all(one.watts is None for one in self.states.values())
        energy = f"\nEnergy: {SILENT}" if silent else "\nEnergy is that of whole packages and cards"
        begin = f"{head}\n*** {loud}" if loud else head
        return "\n\n".join([begin, columns(rows), columns(states) + energy, "\n".join(map(str, self.gains))])


def _watts(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def measure_rows(bundle: Bundle, device: str, count: int, rounds: int) -> tuple[str, Calls]:
    """Return the provider, and what calls of one row and of more took, all by turns.

    Raises BenchError when the bundle takes one picture at a time, ProviderError.
    """
    batches = [batch for batch in BATCHES if batch <= bundle.batch]
    if len(batches) == 1:
        raise BenchError(
            f"bundle {bundle.name} takes 1 picture at a time, expected more; export it with --batch {BATCHES[-1]}, "
            "or name an --architecture"
        )
    first, decoder = (open_session(graph_file(bundle, name), device, count) for name in (DENOISER, DECODER))
    guider = guider_for(bundle.guidance, bundle.conditioning.negative)
    denoiser = Denoiser(first, Schedule(bundle.schedule), guider)
    runs = {
        **{f"{DENOISE} {batch}": partial(_denoise, denoiser, bundle, batch) for batch in batches},
        **{f"{DECODE} {batch}": partial(_decode, decoder, bundle, batch) for batch in batches},
    }
    for run in runs.values():
        run()
    taken = {name: np.asarray(times) for name, times in alternate(runs, rounds).items()}
    calls = {part: {batch: taken[f"{part} {batch}"] for batch in batches} for part in (DENOISE, DECODE)}
    return first.provider, calls


def _denoise(denoiser: Denoiser, bundle: Bundle, batch: int) -> float:
    """Return the seconds that one step of so many pictures takes."""
    noise = np.random.default_rng(0).standard_normal(_shape(bundle, 1), np.float32)
    prompt = bundle.conditioning.idle[None]
    for _ in range(_settling(denoiser.session)):
        denoiser.advance([denoiser.begin(prompt, lambda _: noise) for _ in range(batch)])
    runs = [denoiser.begin(prompt, lambda _: noise) for _ in range(batch)]
    since = time.perf_counter()
    denoiser.advance(runs)
    return time.perf_counter() - since


def _decode(session: Session, bundle: Bundle, batch: int) -> float:
    """Return the seconds that decoding so many pictures takes."""
    latents = {"latents": np.random.default_rng(0).standard_normal(_shape(bundle, batch), np.float32)}
    for _ in range(_settling(session)):
        session.run(latents)
    since = time.perf_counter()
    session.run(latents)
    return time.perf_counter() - since


def _settling(session: Session) -> int:
    """Return how many calls a session needs before one of another shape is as fast as it gets."""
    return 2 if isinstance(session, BoundSession) else 1  # where buffers get their places, then a CUDA graph


def _shape(bundle: Bundle, batch: int) -> tuple[int, int, int, int]:
    latents = bundle.latents
    return batch, latents.channels, latents.height, latents.width


def summed_up(calls: Calls) -> tuple[Rows, ...]:
    """Return a row of the table for each part and batch."""
    return tuple(
        Rows(part, batch, _ms(several), _ratio(batch * calls[part][1], several))
        for part, times in calls.items()
        for batch, several in times.items()
    )


def gains(calls: Calls) -> tuple[Gain, Gain]:
    """Return what more rows bring to whole pictures, at the batch that surely brings most, in time if one does."""
    batches = [batch for batch in calls[DENOISE] if batch > 1]
    levers = ([lever(calls, batch) for batch in batches] for lever in (_stream, _together))
    stream, together = (max(found, key=lambda gain: (gain.pays, gain.faster.low)) for found in levers)
    return stream, together


def _stream(calls: Calls, batch: int) -> Gain:
    """Turn so many calls of one row, a picture's steps, into one call; the decoder has one row in either case."""
    decode = calls[DECODE][1]
    alone, call = batch * calls[DENOISE][1] + decode, calls[DENOISE][batch] + decode
    return Gain(STREAM, _ratio(alone, call), batch, _ms(batch * call - alone))


def _together(calls: Calls, batch: int) -> Gain:
    """Make so many pictures in one call of each graph; the first waits for the last."""
    alone, call = (calls[DENOISE][rows] + calls[DECODE][rows] for rows in (1, batch))
    return Gain(TOGETHER, _ratio(batch * alone, call), batch, _ms(call - alone))


def _ms(seconds: Times) -> float:
    return round(float(np.median(seconds)) * MS, 3)


def _ratio(times: Times, reference: Times) -> Ratio:
    return ratio(times.tolist(), reference.tolist())


def savings(taken: Mapping[str, Sequence[Spent]]) -> tuple[Gain, Gain]:
    """Return how many times as little processor time silence and solitude take, for what the engine leaves out."""
    processor = {name: [one.processor for one in many] for name, many in taken.items()}
    return (
        Gain(SKIP, ratio(processor[DEFEATED], processor[SKIPPING])),
        Gain(ALONE, ratio(processor[PLAYING], processor[UNWATCHED])),
    )


def measure(bundle: Bundle, open_it: Callable[[], Engine], asked: argparse.Namespace, progress: Progress) -> Levers:
    """Measure all levers. Raises BenchError, ProviderError."""
    host = machine.describe()
    progress(f"{bundle.name}: calls of one row and of more, by turns")
    provider, calls = measure_rows(bundle, asked.device, asked.threads, asked.rounds)
    progress("an engine that plays, is silent, and is alone")
    with open_it() as engine:
        taken = take_turns(engine, asked.seconds, min(asked.rounds, STATE_ROUNDS))
    found = (*gains(calls), *savings(taken))
    return Levers(host, bundle.name, provider, asked.threads, summed_up(calls), middle(taken), found)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the table and write the JSON; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--bundle", type=Path, metavar="FOLDER", help="one that was exported with --batch")
    which.add_argument("--architecture", choices=ARCHITECTURES, help="of seeded random weights (lumia)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="where it runs (cpu)")
    parser.add_argument("--threads", default="0", metavar="N", help="for the models (0: one per core)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"turns that each takes ({ROUNDS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help=f"of each state ({SECONDS:g})")
    parser.add_argument(
        "--out", type=Path, default=Path("clavilux-bench"), metavar="FOLDER", help="for JSON and exports"
    )
    asked = parser.parse_args(words)
    try:
        _check(asked)
        levers = _run(asked, lambda line: print(line, file=sys.stderr))
    except ClaviluxError as error:
        print(f"nothing to measure: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(levers.table())
    print(f"\n{asked.out / REPORT}")
    return 0


def _check(asked: argparse.Namespace) -> None:
    if asked.rounds < 1 or not asked.seconds > 0:
        raise BenchError(f"--rounds {asked.rounds} --seconds {asked.seconds:g}; expected 1 or more, and above 0")
    asked.threads = threads(asked.threads)
    make_folder(asked.out)


def _run(asked: argparse.Namespace, progress: Progress) -> Levers:
    folder = asked.bundle
    if folder is None:
        wanted = Wanted(batch=BATCHES[-1])
        folder = make(asked.architecture or LUMIA, wanted, asked.out / "work", progress).bundle
    levers = measure(
        Bundle.open(folder), lambda: open_engine(folder, device=asked.device, threads=asked.threads), asked, progress
    )
    with written_whole(asked.out / REPORT) as part:
        part.write_text(levers.json() + "\n", encoding="utf-8")
    return levers


if __name__ == "__main__":
    sys.exit(main())
