"""How latency and throughput grow with viewers, stages, size and steps: curves from measurement.

    python -m clavilux.benchmarks.studies.scale                             # the default bundle, in about three minutes
    python -m clavilux.benchmarks.studies.scale --viewers 1,64 --without stages,cost --set frame_rate=15
    python -m clavilux.benchmarks.studies.scale --architecture lumia --sizes 128,256,384 --steps 1,2

A stage is one `clavilux serve`: one performer who sounds, and viewers. Servers, performers and viewers are processes of
their own on this machine, so that the server's CPU time is the server's; on few cores they still want the same ones.
Writes scale.json, which `clavilux.benchmarks.studies.plan` takes, and scale.png. What to do with them: docs/scale.md.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import mean

from clavilux.benchmarks.bench.options import BenchOptions, options_from
from clavilux.benchmarks.bench.run import (
    MAX_START_SECONDS,
    describe_host,
    find_weights,
    open_asked,
    serve_words,
    settings_for,
)
from clavilux.benchmarks.command_line import ended, make_folder, parse_counts, parse_seconds, parse_sizes, stopwatch
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements import in_process, machine
from clavilux.benchmarks.measurements.percentiles import summary
from clavilux.benchmarks.measurements.serving import Server, serving
from clavilux.benchmarks.measurements.through_the_socket import WARM_UP
from clavilux.benchmarks.peers.wanted import ARCHITECTURES
from clavilux.benchmarks.studies.audience import Tally, taking_part
from clavilux.benchmarks.studies.scale_plot import draw
from clavilux.benchmarks.studies.scale_report import Scale, Together, Watched
from clavilux.command import Parser
from clavilux.export.options import Progress
from clavilux.runtime.commands.options import add_model_options
from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.playing.pacing import MAX_FRAME_RATE
from clavilux.server.commands.play import MAX_VIEWERS
from clavilux.server.settings import Settings

MAX_STAGES = 64
PARTS = ("cost", "viewers", "stages")  # in this order: whatever builds engines comes first
JSON, PLOT = "scale.json", "scale.png"


def measure(asked: BenchOptions, viewers: tuple[int, ...], together: tuple[int, ...], progress: Progress) -> Scale:
    """Measure all parts but `asked.without`. Raises ClaviluxError for what cannot be measured here.

    Servers are asked for `MAX_FRAME_RATE` pictures a second unless `asked.values` say otherwise.
    """
    asked = replace(asked, values=(f"frame_rate={MAX_FRAME_RATE:g}", *asked.values))
    host = describe_host(progress)
    folder, instrument, parameters = open_asked(asked, find_weights(asked, progress))
    settings = settings_for(instrument.bundle, asked)
    words = serve_words(folder, settings[0], instrument.bundle, asked)
    if not parameters.frame_rate:
        raise BenchError("frame_rate is 0, which leaves room to others; expected the rate that is asked of each server")
    found = Scale(
        machine=host,
        bundle=instrument.bundle.name,
        provider=instrument.models.provider,
        frame_rate=parameters.frame_rate,
        seconds=asked.seconds,
    )
    if "cost" not in asked.without:
        found = replace(found, cost=tuple(_cost(instrument, one, parameters, asked, progress) for one in settings))
    del instrument  # and what it holds on the card
    if "viewers" not in asked.without:
        found = replace(found, viewers=watched(words, viewers, asked, progress))
    if "stages" not in asked.without:
        found = replace(found, stages=tuple(_at_once(words, count, asked, host.cores, progress) for count in together))
    return found


def _cost(
    instrument: Instrument, setting: in_process.Setting, parameters: Parameters, asked: BenchOptions, progress: Progress
) -> in_process.StageTimes:
    progress(f"cost: {setting}")
    return in_process.measure(instrument, setting, parameters, asked.seconds)


def watched(
    words: Sequence[str], viewers: tuple[int, ...], asked: BenchOptions, progress: Progress
) -> tuple[Watched, ...]:
    """Return what one server did for each number of viewers. Raises BenchError."""
    found = []
    with serving([*words, *room_for(viewers)], MAX_START_SECONDS) as server:
        for count in viewers:
            progress(f"viewers: {count}")
            found.append(watch_once(server, count, asked))
    return tuple(found)


def room_for(viewers: Sequence[int]) -> list[str]:
    """Return the options of `clavilux serve` for so many viewers."""
    most = max(viewers, default=0)
    return ["--max-viewers", str(most)] if most > Settings().max_viewers else []


def watch_once(server: Server, count: int, asked: BenchOptions) -> Watched:
    """Return what a server did for a performer and so many viewers. Raises BenchError."""
    with ExitStack() as stack:
        asking = [stack.enter_context(taking_part(server.socket, *_performing(asked)))]
        if count:
            asking.append(stack.enter_context(taking_part(server.socket, "--viewers", str(count))))
        tallies, (whole, loop) = _observed(asking, [server], asked.seconds)
    return digest(count, tallies[0], tallies[-1], whole, loop)


def digest(viewers: int, performer: Tally, audience: Tally, server_cpu: float, loop_cpu: float) -> Watched:
    """Sum up one point; without viewers the `audience` is the performer. CPU in seconds per second."""
    rates = [one.frames / audience.seconds for one in audience.clients]
    frames, carried, skipped = (
        sum(getattr(one, name) for one in audience.clients) for name in ("frames", "bytes", "skipped")
    )
    compress = mean(performer.compress) if performer.compress else 0.0
    shown = performer.clients[0].frames / performer.seconds
    return Watched(
        viewers=viewers,
        delivered=round(mean(rates), 3),
        slowest=round(min(rates), 3),
        shown=round(shown, 3),
        heard_to_shown=summary(performer.heard_to_shown),
        skipped=round(skipped / max(1, frames + skipped), 5),
        bytes_per_second=round(carried / len(rates) / audience.seconds, 1),
        frame_bytes=round(carried / max(1, frames), 1),
        server_cpu=round(server_cpu, 5),
        loop_cpu=round(loop_cpu, 5),
        compress_cpu=round(compress * shown, 5),
        clients_cpu=round(audience.cpu_seconds / audience.seconds, 5) if viewers else 0.0,
    )


def _at_once(words: Sequence[str], count: int, asked: BenchOptions, cores: int, progress: Progress) -> Together:
    progress(f"stages: {count}")
    threads = asked.threads or (max(1, cores // count) if count > 1 else 0)  # what is given last holds
    with ExitStack() as stack:
        shared = [*words, "--threads", str(threads)]
        servers = [stack.enter_context(serving(shared, MAX_START_SECONDS)) for _ in range(count)]
        asking = [stack.enter_context(taking_part(one.socket, *_performing(asked))) for one in servers]
        tallies, (whole, _) = _observed(asking, servers, asked.seconds)
        ids = [one.process_id for one in servers]
        resident, card = (_most([read(one) for one in ids]) for read in (machine.resident_mb, machine.card_mb))
    return Together(
        stages=count,
        threads=threads,
        each=tuple(round(one.clients[0].frames / one.seconds, 3) for one in tallies),
        heard_to_shown=summary([seconds for one in tallies for seconds in one.heard_to_shown]),
        server_cpu=round(whole, 5),
        resident_mb=resident,
        card_mb=card,
    )


def _observed(
    asking: Sequence[Callable[[], Tally]], servers: Sequence[Server], seconds: float
) -> tuple[list[Tally], tuple[float, float]]:
    """Return what came to everyone in `seconds` after a warm-up, and the servers' CPU and event loops' CPU, s/s."""
    _ = [ask() for ask in asking]
    time.sleep(WARM_UP)
    _ = [ask() for ask in asking]
    before, began = _cpu(servers), time.perf_counter()
    time.sleep(seconds)
    after, took = _cpu(servers), time.perf_counter() - began
    whole, loop = ((now - then) / took for now, then in zip(after, before, strict=True))
    return [ask() for ask in asking], (whole, loop)


def _cpu(servers: Sequence[Server]) -> tuple[float, float]:
    """Return the CPU seconds of these servers so far, and those of their event loops, which their main threads run."""
    read = [machine.cpu_seconds(one.process_id, main_thread=main) for main in (False, True) for one in servers]
    told = [one for one in read if one is not None]
    if len(told) < len(read):
        raise BenchError(
            "this system does not tell the CPU time of a server; expected Linux: use --without viewers,stages"
        )
    return sum(told[: len(servers)]), sum(told[len(servers) :])


def _performing(asked: BenchOptions) -> list[str]:
    return ["--performer", *(["--sound", str(asked.sound)] if asked.sound else [])]


def _most(values: Sequence[float | None]) -> float | None:
    return max((one for one in values if one is not None), default=None)


def parse_viewers(text: str) -> tuple[int, ...]:
    """Return numbers of viewers, 0 to what a server may be told to take. Raises ArgumentTypeError."""
    return _whole(text, 0, MAX_VIEWERS, "1,4,16,64")


def parse_stages(text: str) -> tuple[int, ...]:
    """Return numbers of stages, 1 to MAX_STAGES. Raises ArgumentTypeError."""
    return _whole(text, 1, MAX_STAGES, "1,2,4")


def _whole(text: str, least: int, most: int, example: str) -> tuple[int, ...]:
    words = text.split(",")
    if not all(word.isascii() and word.isdecimal() and least <= int(word[:9]) <= most for word in words):
        raise argparse.ArgumentTypeError(f"{text!r}; expected numbers from {least} to {most}, for example {example}")
    return tuple(sorted({int(word) for word in words}))


def parse_parts(text: str) -> tuple[str, ...]:
    """Return the parts to leave out. Raises ArgumentTypeError."""
    names = tuple(text.split(","))
    wrong = [name for name in names if name not in PARTS]
    if wrong or set(names) == set(PARTS):
        told = repr(wrong[0]) if wrong else "nothing is left to measure"
        raise argparse.ArgumentTypeError(f"{told}; expected some of {', '.join(PARTS)}, not all")
    return names


def arguments_from(words: list[str] | None) -> argparse.Namespace:
    """Read the command line. Raises ClaviluxError."""
    parser = Parser(prog="python -m clavilux.benchmarks.studies.scale", description=__doc__)
    add_model_options(parser)
    add = parser.add_argument
    add("--viewers", type=parse_viewers, default=(1, 4, 16, 64), metavar="N,...", help="who watch (1,4,16,64)")
    add("--stages", type=parse_stages, default=(1, 2, 4), metavar="N,...", help="servers at once (1,2,4)")
    add("--sizes", type=parse_sizes, default=(), metavar="H[xW],...", help="of the pictures (the bundle's own)")
    add("--steps", type=parse_counts, default=(), metavar="N,...", help="denoising steps (1,2,4)")
    add("--seconds", type=parse_seconds, default=10.0, metavar="S", help="to measure each point for (10)")
    add("--sound", type=Path, metavar="FILE", help="what the performers play (seeded noise)")
    add("--without", type=parse_parts, default=(), metavar="PART,...", help=f"leave out: {', '.join(PARTS)}")
    add("--architecture", choices=ARCHITECTURES, help="seeded random weights of this architecture, of any size")
    add("--no-plots", action="store_true", help="write the JSON alone")
    add("--out", type=Path, default=Path("clavilux-scale"), metavar="FOLDER", help="for JSON and plot")
    return parser.parse_args(words)


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the table, and write JSON and plot. Raises ClaviluxError."""
    asked = options_from(arguments)
    make_folder(arguments.out)
    found = measure(asked, arguments.viewers, arguments.stages, stopwatch())
    if not arguments.no_plots:
        draw(found, arguments.out / PLOT)
        found = replace(found, files=(PLOT,))
    found.write(arguments.out / JSON)
    print(f"{found.table()}\n\n{arguments.out}: {', '.join((JSON, *found.files))}")


def main(words: list[str] | None = None) -> int:
    """Run the command; a mistake is one line, and exit code 2."""
    return ended("scale", lambda: run(arguments_from(words)))


if __name__ == "__main__":
    sys.exit(main())
