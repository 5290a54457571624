"""Checks of a bundle's graphs on the card against the CPU: parity, threads and sizes, motion.

A run is first plain, then captured as a CUDA graph, then replayed: each of them must give what the CPU gives. How near
that is depends on the arithmetic (TF32, float16), so that figures are told, and judged by whoever reads them. Results
are yielded as they grow: what is known stays known where the process ends early.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from clavilux.benchmarks.measurements.example_inputs import example
from clavilux.benchmarks.measurements.percentiles import MS
from clavilux.export.parity.figures import relative_l2
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, MIN_FRAMES, PARTS
from clavilux.runtime.diffusion.choose import WARP
from clavilux.runtime.diffusion.host_pipeline import HostPipeline
from clavilux.runtime.diffusion.motion import Motion, taps, warp
from clavilux.runtime.diffusion.noise import draw
from clavilux.runtime.diffusion.pipeline import PictureRequest
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.loading import open_instrument
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.providers.cpu import open_cpu
from clavilux.runtime.providers.nvidia.cuda import open_cuda
from clavilux.runtime.providers.session import Array, GraphFile, Session

THREADS = 4  # of the CPU, for a session on the card
COMPARED = 4  # runs against the CPU: plain, captured, replayed, and again
TIMED = 50  # runs
LENGTHS = (1.0, 1.0, 1.0, 0.6, 0.6, 0.6, 1.0, 0.32, 0.34, 1.0)  # of the window, in turn: a size settles, then moves
TURNS = ("first thread", "second thread", "first thread again")
MOTIONS = (Motion(zoom=1.02), Motion(angle=0.1, x=0.02, y=-0.01), Motion(zoom=0.99, current=0.02, time=3.0))
FEEDBACK = 0.5  # share of the last latents that comes back, moved

Opener = Callable[[GraphFile, int], Session]
Result = dict[str, Any]


def parity(bundle: Bundle, opener: Opener = open_cuda) -> Iterator[Result]:
    """Yield how far each graph's runs are from the CPU's, relative L2 of the worst output, and what a run takes, ms.

    `stable`: two runs on the same inputs give the same to the bit. Raises ProviderError.
    """
    found: Result = {}
    for name in PARTS.values():
        graph = graph_file(bundle, name)
        expected, session = open_cpu(graph, 0), opener(graph, THREADS)
        runs = [example(bundle, name, seed) for seed in range(COMPARED)]
        distances = [distance(expected.run(inputs), session.run(inputs)) for inputs in runs]
        first, second = session.run(runs[-1]), session.run(runs[-1])
        found[name] = {
            "relative_l2": distances,
            "stable": all(map(np.array_equal, first, second)),
            "ms": median_ms(partial(session.run, runs[-1])),
        }
        yield found


def distance(expected: Sequence[Array], found: Sequence[Array]) -> float:
    """Return the relative L2 distance of the output that is farthest off; infinity where one is not finite."""
    pairs = [(one.astype(np.float64), other.astype(np.float64)) for one, other in zip(expected, found, strict=True)]
    if not all(np.isfinite(other).all() for _, other in pairs):
        return float("inf")
    return max(relative_l2(one, other) for one, other in pairs)


def median_ms(run: Callable[[], object], runs: int = TIMED) -> float:
    """Return the median time of a run in ms."""
    times = []
    for _ in range(runs):
        since = time.perf_counter()
        run()
        times.append(time.perf_counter() - since)
    return round(float(np.median(times)) * MS, 3)


def threads(bundle: Bundle, opener: Opener = open_cuda) -> Iterator[Result]:
    """Yield how far the encoder is from the CPU's on sizes that change, opened and played on one thread and another.

    CUDA graphs are kept for each thread. A turn that fails says so in words. Raises ProviderError.
    """
    graph = graph_file(bundle, AUDIO_ENCODER)
    expected, session = open_cpu(graph, 0), opener(graph, THREADS)
    found: Result = {}
    for turn in TURNS:
        play = partial(_play, found, turn, partial(_worst, bundle, expected, session))
        if turn == TURNS[1]:
            other = threading.Thread(target=play)
            other.start()
            other.join()
        else:
            play()
        yield found


def _play(found: Result, turn: str, worst: Callable[[], float]) -> None:
    try:
        found[turn] = worst()
    except ProviderError as error:
        found[turn] = str(error)


def _worst(bundle: Bundle, expected: Session, session: Session) -> float:
    """Return the largest distance over windows of LENGTHS."""
    (whole,) = example(bundle, AUDIO_ENCODER).values()
    counts = [max(MIN_FRAMES, round(length * whole.shape[1])) for length in LENGTHS]
    windows = [{"features": whole[:, :count].copy()} for count in counts]
    return max(distance(expected.run(window), session.run(window)) for window in windows)


def motion(bundle: Bundle, opener: Opener = open_cuda, device: str = "cuda") -> Iterator[Result]:
    """Yield how far moved latents are from NumPy's, and pictures of moving ones from those through the host.

    `latents` is the largest absolute difference, `pictures` in levels of 255. Raises ProviderError.
    """
    found: Result = {"latents": _moved_apart(bundle, opener(WARP, THREADS))}
    yield found
    instrument = open_instrument(bundle.folder, device=device)
    ways = instrument.pipeline, HostPipeline(instrument.models.denoiser, instrument.models.decoder)
    worst = 0
    for request in _moving_requests(bundle):
        one, other = (way.run(request).astype(int) for way in ways)
        worst = max(worst, int(np.abs(one - other).max()))
    yield found | {"pictures": worst, "pipeline": type(instrument.pipeline).__name__}


def _moved_apart(bundle: Bundle, session: Session) -> float:
    """Return how far latents that WARP moves are from those that NumPy moves, at most."""
    latents = draw(_latent_shape(bundle), 0, 0, 0)
    worst = 0.0
    for moving in MOTIONS:
        found = taps(bundle.latents.height, bundle.latents.width, moving)
        moved = session.run({"latents": latents, "places": found.places, "weights": found.weights})[0]
        worst = max(worst, float(np.abs(moved.astype(np.float32) - warp(latents, moving)).max()))
    return worst


def _moving_requests(bundle: Bundle) -> Iterator[PictureRequest]:
    """Yield requests of a sequence; the first one has no last latents that could move."""
    shape, prompt = _latent_shape(bundle), bundle.conditioning.idle[None]
    for index, moving in enumerate((None, *MOTIONS)):
        feedback = FEEDBACK if moving else 0.0
        yield PictureRequest(prompt, partial(draw, shape, 0, index), shape, feedback=feedback, motion=moving)


def _latent_shape(bundle: Bundle) -> tuple[int, ...]:
    return 1, bundle.latents.channels, bundle.latents.height, bundle.latents.width
