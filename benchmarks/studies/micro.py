"""Each stage on its own, measured against a fixed operation of the same run, with a gate for continuous integration.

    python -m clavilux.benchmarks.studies.micro                        # the default bundle: a table, and a line of JSON
    python -m clavilux.benchmarks.studies.micro --write baseline.json        # keep the ratios
    python -m clavilux.benchmarks.studies.micro --gate baseline.json       # exit code 1 where a stage has become slower

Times of one machine mean nothing on another, so none is kept: a stage's figure is how many times as long it takes as a
fixed chain of matrix products on the same threads, measured by turns with it. A stage fails the gate when that ratio
has grown by more than ALLOWED, and its whole 95 % interval lies above the baseline. A baseline of another processor is
used with a warning: caches and vector widths shift ratios, too.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from clavilux.benchmarks.bench.report import columns
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements import machine
from clavilux.benchmarks.measurements.alternate import Ratio, alternate, ratio
from clavilux.benchmarks.measurements.ceiling import FACTOR, product_graph
from clavilux.benchmarks.measurements.in_process import LOUDNESS
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER
from clavilux.runtime.clock import Timer
from clavilux.runtime.commands.options import threads
from clavilux.runtime.conditioning.conditioner import Conditioner
from clavilux.runtime.hearing.log_mel import LogMel
from clavilux.runtime.loading import DEFAULT_BUNDLE
from clavilux.runtime.models import workloads
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.sound.format import SAMPLE_RATE, frame_count
from clavilux.runtime.sound.window import SlidingWindow
from clavilux.server.protocol.binary import PackedFrame, pack_frame, unpack_frame
from clavilux.server.protocol.messages import PictureFormat
from clavilux.server.protocol.words import WIRE_STAGES
from clavilux.server.stage.compression import compress

ALLOWED = 0.15  # growth of a ratio
ROUNDS = 30
REFERENCE = "reference"
SIDE, PRODUCTS = 384, 8  # of the reference's products: some milliseconds
LONG_ENOUGH = 0.002  # s, of one turn: shorter operations are repeated until then
SOUND_RATE = 48_000  # Hz, of what is resampled
EXIT_SLOWER = 1
GRAPHS = {"encode": AUDIO_ENCODER, "denoise": DENOISER, "decode": DECODER}

Operation = Callable[[], object]


@dataclass(frozen=True)
class Baseline:
    """Ratios that were kept."""

    processor: str
    bundle: str
    ratios: dict[str, float]


def operations(bundle: Bundle, device: str, count: int) -> dict[str, Operation]:
    """Return what each stage does once, on seeded inputs, by its name."""
    random = np.random.default_rng(0)
    audio, picture = bundle.audio, bundle.picture
    hop = random.normal(0, LOUDNESS, audio.hop_samples).astype(np.float32)
    captured = random.normal(0, LOUDNESS, SOUND_RATE * audio.hop_samples // SAMPLE_RATE).astype(np.float32)
    window, log_mel = SlidingWindow(audio.window_samples), LogMel(frame_count(audio.window_samples))
    conditioner = Conditioner(bundle.conditioning.bos, bundle.conditioning.idle)
    works = workloads(bundle)
    sessions = {name: open_session(graph_file(bundle, name), device, count) for name in GRAPHS.values()}
    pixels = random.integers(0, 256, (picture.height // 8, picture.width // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    body = compress(pixels, PictureFormat())
    jpeg, stages = PictureFormat().encoding, (1,) * len(WIRE_STAGES)
    packed = PackedFrame(1, jpeg, (picture.width, picture.height), 1, 2, 3, stages, body)
    return {
        "resample": lambda: window.push(captured[:, None], SOUND_RATE, 0.0),
        "features": lambda: log_mel.push(hop),
        **{name: partial(works[graph], sessions[graph]) for name, graph in GRAPHS.items()},
        "condition": lambda: conditioner.advance(0.03, 0.35, 2.5),
        "compress": lambda: compress(pixels, PictureFormat()),
        "pack": lambda: unpack_frame(pack_frame(packed)),
    }


def reference(count: int) -> Operation:
    """Return the fixed operation that everything is held against: products of float32 matrices on the CPU."""
    with TemporaryDirectory() as folder:
        session = open_session(product_graph(Path(folder) / "products.onnx", SIDE, SIDE, PRODUCTS), "cpu", count)
    given = np.ones((1, 1), np.float32)
    return lambda: session.run({FACTOR: given})


def repeats(operation: Operation, clock: Timer = time.perf_counter) -> int:
    """Return how often an operation must run to take LONG_ENOUGH; this warms it up, too."""
    count = 1
    while True:
        since = clock()
        for _ in range(count):
            operation()
        if clock() - since >= LONG_ENOUGH:
            return count
        count *= 2


def turn(operation: Operation, count: int, clock: Timer = time.perf_counter) -> float:
    """Return the seconds of one run, the mean of `count`."""
    since = clock()
    for _ in range(count):
        operation()
    return (clock() - since) / count


def measure(
    stages: Mapping[str, Operation], fixed: Operation, rounds: int, clock: Timer = time.perf_counter
) -> dict[str, Ratio]:
    """Return each stage's ratio to the fixed operation, all of them by turns."""
    everything = {REFERENCE: fixed, **stages}
    runs = {name: partial(turn, work, repeats(work, clock), clock) for name, work in everything.items()}
    taken = alternate(runs, rounds)
    return {name: ratio(taken[name], taken[REFERENCE]) for name in stages}


def slower(found: Mapping[str, Ratio], baseline: Mapping[str, float]) -> dict[str, float]:
    """Return the growth of every stage that fails the gate, for example {"decode": 0.31}.

    Raises BenchError when a stage is missing on either side, since nothing would guard it.
    """
    if set(found) != set(baseline):
        odd = sorted(set(found) ^ set(baseline))
        raise BenchError(f"{', '.join(odd)}: not in both, this run and the baseline; write the baseline again")
    growth = {name: one.value / baseline[name] - 1 for name, one in found.items()}
    return {name: round(by, 3) for name, by in growth.items() if by > ALLOWED and found[name].low > baseline[name]}


def read_baseline(path: Path) -> Baseline:
    """Read what `--write` wrote. Raises BenchError when it is something else."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        ratios = {str(name): float(value) for name, value in found["ratios"].items()}
        baseline = Baseline(str(found["processor"]), str(found["bundle"]), ratios)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{path} is no baseline ({type(error).__name__}); write one with --write {path}") from error
    if not all(value > 0 for value in ratios.values()):
        raise BenchError(f"{path} holds a ratio that is not above 0; write it again")
    return baseline


def table(found: Mapping[str, Ratio], baseline: Mapping[str, float] | None) -> str:
    """Return the ratios, beside those of the baseline if there is one."""
    rows = [("stage", "ratio", "95 % interval", "baseline", "change")]
    for name, one in found.items():
        before = (baseline or {}).get(name)
        beside = ("", "") if before is None else (f"{before:.4f}", f"{one.value / before - 1:+.0%}")
        rows.append((name, f"{one.value:.4f}", f"{one.low:.4f}-{one.high:.4f}", *beside))
    return columns(rows)


def main(words: list[str] | None = None) -> int:
    """Measure, print a table and a line of JSON; return 0, or EXIT_SLOWER where the gate is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?", default=DEFAULT_BUNDLE)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=threads, default=0)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", type=Path, metavar="FILE", help="keep the ratios there")
    parser.add_argument("--gate", type=Path, metavar="FILE", help="fail where a ratio has grown by more than 15 %%")
    arguments = parser.parse_args(words)
    host, baseline = machine.describe(), read_baseline(arguments.gate) if arguments.gate else None
    bundle = Bundle.open(arguments.bundle)
    for line in warnings(host, bundle.name, baseline):
        print(f"*** {line}", file=sys.stderr)
    stages = operations(bundle, arguments.device, arguments.threads)
    found = measure(stages, reference(arguments.threads), arguments.rounds)
    print(table(found, baseline.ratios if baseline else None))
    failures = slower(found, baseline.ratios) if baseline else {}
    for name, by in failures.items():
        print(f"{name}: {by:.0%} slower than the baseline; at most {ALLOWED:.0%} is allowed", file=sys.stderr)
    if arguments.write:
        kept = Baseline(host.processor, bundle.name, {name: one.value for name, one in found.items()})
        arguments.write.write_text(json.dumps(asdict(kept), indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"ratios": {name: asdict(one) for name, one in found.items()}, "slower": failures}))
    return EXIT_SLOWER if failures else 0


def warnings(host: machine.Machine, bundle: str, baseline: Baseline | None) -> list[str]:
    """Return what makes the figures doubtful, a line each. Raises BenchError for the baseline of another bundle."""
    lines = [loud] if (loud := machine.warning(host)) else []
    if baseline and baseline.bundle != bundle:
        raise BenchError(f"the baseline is of bundle {baseline.bundle}, not of {bundle}; write another one")
    if baseline and baseline.processor != host.processor:
        lines.append(f"the baseline is of another processor: {baseline.processor}; ratios differ by that alone")
    return lines


if __name__ == "__main__":
    sys.exit(main())
