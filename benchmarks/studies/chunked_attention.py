"""Cost of a hop when only its new frames go through the encoder, against the whole window: by turns, in one run.

    python -m clavilux.benchmarks.studies.chunked_attention                                 # the default bundle's shape
    python -m clavilux.benchmarks.studies.chunked_attention --shape w2v-bert --layers 4     # as wide as the reference's

Both graphs are exported as a bundle's are, from the same seeded random weights (what a hop costs does not depend on
what they are), proved against torch, and run on ONNX Runtime's CPU on one thread: the whole window
(`clavilux.export.models.audio_encoder.AudioEncoderGraph`), and one step
(`clavilux.training.studies.chunked.StreamingEncoder`) whose caches go in and out as arrays and hold as much as a window
does. Time is the processor's, so that waiting for others does not count; ratios come with a 95 % interval over rounds.
Takes torch: `pip install 'clavilux[bench,cpu,export]'`. The last line is JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from clavilux.benchmarks.bench.report import columns
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements import machine
from clavilux.benchmarks.measurements.alternate import Ratio, alternate, ratio
from clavilux.benchmarks.measurements.operations import count
from clavilux.benchmarks.measurements.percentiles import MS, warm_up
from clavilux.export.graphs.convert import save, to_onnx
from clavilux.export.models.audio_encoder import AudioEncoderGraph, max_frames
from clavilux.export.models.feature_extractor import STACK
from clavilux.export.parity.figures import relative_l2
from clavilux.export.spec import AUDIO_ENCODER_GRAPH, Component, Port
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.providers.session import Array, Session
from clavilux.runtime.sound.format import FRAME_STEP, MEL_BINS, SAMPLE_RATE, frame_count
from clavilux.training.lumia.make import EAR_WIDTH, WIDTH
from clavilux.training.lumia.models import encoder
from clavilux.training.studies.chunked import Chunks, StreamingEncoder

SEED = 0
ROUNDS = 30
WARM_UP = 10.0  # s, at most, per graph
WINDOWS, HOPS = (2.0, 3.75), (0.1, 0.2)  # s
WHOLE = "window"
PROVED_HOPS = 5  # of each exported step
MAX_ERROR = 1e-4  # relative L2 of a graph's tokens from torch's
STEP = Component(
    name="audio_encoder_step",
    file="audio_encoder_step.onnx",
    inputs=(
        Port("features", ("batch", "frames", MEL_BINS)),
        Port("keys", ("layers", "batch", "heads", "context", "head_width")),
        Port("values", ("layers", "batch", "heads", "context", "head_width")),
        Port("convolved", ("layers", "batch", "width", "past")),
        Port("hidden", ("batch", "kept", "width")),
        Port("heard", ("batch",), "int64"),
    ),
    outputs=(
        Port("tokens", ("batch", "audio_tokens", "token_width")),
        Port("next_keys", ("layers", "batch", "heads", "context", "head_width")),
        Port("next_values", ("layers", "batch", "heads", "context", "head_width")),
        Port("next_convolved", ("layers", "batch", "width", "past")),
        Port("next_hidden", ("batch", "kept", "width")),
        Port("next_heard", ("batch",), "int64"),
    ),
    exact=AUDIO_ENCODER_GRAPH.exact,
    stored=AUDIO_ENCODER_GRAPH.stored,
)
"""The streaming step as a graph: the features of the window that ends now, and caches; tokens, and caches again."""


@dataclass(frozen=True)
class HopCost:
    """One hop against its window."""

    shape: str
    layers: int
    window: float  # s
    hop: float  # s
    whole_ms: float  # processor time of a whole window, median
    step_ms: float  # of a hop's step
    ratio: Ratio  # step over whole
    arithmetic: float  # operations of matrix products and convolutions, step over whole, counted from the graphs
    caches_mb: float  # that go in, and out again


class Streaming:
    """A stream on the exported step: keeps the caches between hops."""

    def __init__(self, session: Session, caches: Mapping[str, Array]) -> None:
        self._session, self._caches = session, dict(caches)

    @property
    def bytes(self) -> int:
        """Return how much is kept."""
        return sum(array.nbytes for array in self._caches.values())

    def hear(self, features: NDArray[np.float32]) -> Array:
        """Return the tokens [1, N, D] after the window's raw log-mel frames [1, T, 80], whose last are new."""
        tokens, *caches = self._session.run({"features": features, **self._caches})
        self._caches = dict(zip(self._caches, caches, strict=True))
        return tokens


def lumia(layers: int) -> Wav2Vec2BertModel:
    """Return an encoder of the default bundle's width."""
    return encoder.build(EAR_WIDTH, WIDTH, layers)


def w2v_bert(layers: int) -> Wav2Vec2BertModel:
    """Return an encoder as wide as facebook/w2v-bert-2.0, with the reference's adapter."""
    return Wav2Vec2BertModel(
        Wav2Vec2BertConfig(
            num_hidden_layers=layers,
            add_adapter=True,
            adapter_kernel_size=3,
            adapter_stride=2,
            num_adapter_layers=2,
            layerdrop=0.0,
            attn_implementation="eager",
        )
    )


SHAPES: dict[str, tuple[Callable[[int], Wav2Vec2BertModel], int]] = {"lumia": (lumia, 4), "w2v-bert": (w2v_bert, 4)}
"""How to build each, and with how many layers unless told."""


def hearing_all(window: int, hop: int) -> Chunks:
    """Return chunks of a hop that see as many whole hops as the window holds; both in stacked frames."""
    return Chunks(hop, window // hop - 1)


def open_whole(model: Wav2Vec2BertModel, samples: int, folder: Path) -> Callable[[NDArray[np.float32]], Array]:
    """Return the encoder of whole windows of `samples`, exported into `folder` and proved. Raises BenchError."""
    module, features = AudioEncoderGraph(model, max_frames(samples)), _features(samples)
    path = folder / AUDIO_ENCODER_GRAPH.file
    save(to_onnx(module, AUDIO_ENCODER_GRAPH, {"features": torch.from_numpy(features)}), path)
    session = open_session(path, threads=1)
    with torch.inference_mode():
        expected = module(torch.from_numpy(features)).numpy()
    _prove(session.run({"features": features})[0], expected, "the whole window")
    return lambda heard: session.run({"features": heard})[0]


def open_step(model: Wav2Vec2BertModel, samples: int, chunks: Chunks, folder: Path) -> Streaming:
    """Return a stream that has heard nothing, on the step exported into `folder` and proved over several hops.

    Raises BenchError when its tokens are not torch's.
    """
    module, features = StreamingEncoder(model, chunks, max_frames(samples) // STACK).eval(), _features(samples)
    caches = module.begin().named()
    path = folder / STEP.file
    save(to_onnx(module, STEP, {"features": torch.from_numpy(features), **caches}), path)
    session = open_session(path, threads=1)
    empty = {name: one.numpy() for name, one in caches.items()}
    stream = Streaming(session, empty)
    for hop in range(PROVED_HOPS):
        moved = np.roll(features, -hop * chunks.size * STACK, axis=1)
        with torch.inference_mode():
            expected, *after = module(torch.from_numpy(moved), **caches)
        caches = dict(zip(caches, after, strict=True))
        _prove(stream.hear(moved), expected.numpy(), f"hop {hop}")
    return Streaming(session, empty)


def _features(samples: int) -> NDArray[np.float32]:
    frames = np.random.default_rng(SEED).normal(-5, 3, (1, frame_count(samples), MEL_BINS))
    return frames.astype(np.float32)


def _prove(found: Array, expected: Array, what: str) -> None:
    error = relative_l2(expected.astype(np.float64), found.astype(np.float64))
    if not error <= MAX_ERROR:
        raise BenchError(f"{what}: the graph's tokens are {error:.1e} from torch's; expected at most {MAX_ERROR:.0e}")


def measure(
    shape: str, layers: int, window: float, *, hops: Sequence[float] = HOPS, rounds: int = ROUNDS
) -> list[HopCost]:
    """Return a row per hop, all measured by turns with the whole window. Raises BenchError, ExportError."""
    torch.manual_seed(SEED)
    model, samples = SHAPES[shape][0](layers).eval(), round(window * SAMPLE_RATE)
    frames = {hop: round(hop * SAMPLE_RATE) // (FRAME_STEP * STACK) for hop in hops}
    with TemporaryDirectory() as folder:
        whole = open_whole(model, samples, Path(folder))
        streams = {hop: _open_step(model, samples, size, Path(folder)) for hop, size in frames.items()}
        taken = _by_turns(whole, streams, _features(samples), rounds)
        work = count(Path(folder) / AUDIO_ENCODER_GRAPH.file, {}).gigaflops
        parts = {hop: count(Path(folder) / f"{size}" / STEP.file, {}).gigaflops for hop, size in frames.items()}
    median = {name: round(float(np.median(times)) * MS, 3) for name, times in taken.items()}
    return [
        HopCost(
            shape,
            layers,
            window,
            hop,
            median[WHOLE],
            median[f"{hop}"],
            ratio(taken[f"{hop}"], taken[WHOLE]),
            float(f"{parts[hop] / work:.3g}"),
            round(stream.bytes / 1e6, 2),
        )
        for hop, stream in streams.items()
    ]


def _open_step(model: Wav2Vec2BertModel, samples: int, size: int, folder: Path) -> Streaming:
    """Return a stream of hops of `size` stacked frames; its graph lies apart, as sessions keep weights mapped."""
    place = folder / f"{size}"
    place.mkdir()
    return open_step(model, samples, hearing_all(max_frames(samples) // STACK, size), place)


def _by_turns(
    whole: Callable[[NDArray[np.float32]], Array],
    streams: Mapping[float, Streaming],
    heard: NDArray[np.float32],
    rounds: int,
) -> dict[str, list[float]]:
    """Return the processor times, in seconds, of the whole window and of each hop's step."""
    runs = {WHOLE: _timed(partial(whole, heard))}
    runs |= {f"{hop}": _timed(partial(stream.hear, heard)) for hop, stream in streams.items()}
    for run in runs.values():
        warm_up(run, WARM_UP, clock=time.process_time)
    return alternate(runs, rounds)


def _timed(run: Callable[[], object]) -> Callable[[], float]:
    """Return `run` giving the processor time that it took, seconds."""

    def timed() -> float:
        began = time.process_time()
        run()
        return time.process_time() - began

    return timed


def table_of(rows: Sequence[HopCost]) -> str:
    """Return the rows as text, a column per figure."""
    head = (
        "shape",
        "layers",
        "window, s",
        "hop, s",
        "whole, ms",
        "step, ms",
        "step / whole",
        "arithmetic",
        "caches, MB",
    )
    return columns([head, *map(_cells, rows)])


def _cells(row: HopCost) -> tuple[str, ...]:
    times = (
        f"{row.whole_ms:.1f}",
        f"{row.step_ms:.1f}",
        str(row.ratio),
        f"{row.arithmetic:.2f}",
        f"{row.caches_mb:.1f}",
    )
    return row.shape, str(row.layers), f"{row.window}", f"{row.hop}", *times


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="lumia")
    parser.add_argument("--layers", type=int, help="of the encoder")
    parser.add_argument("--windows", type=float, nargs="+", default=WINDOWS, metavar="S", help="lengths of the window")
    parser.add_argument("--hops", type=float, nargs="+", default=HOPS, metavar="S", help="new sound per step")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args(words)
    here = machine.describe()
    if loud := machine.warning(here):
        print(loud)
    layers = asked.layers or SHAPES[asked.shape][1]
    rows = [
        row
        for window in asked.windows
        for row in measure(asked.shape, layers, window, hops=asked.hops, rounds=asked.rounds)
    ]
    print(table_of(rows))
    print(json.dumps({"machine": asdict(here), "rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    main()
