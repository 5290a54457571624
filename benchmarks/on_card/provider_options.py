"""Options of ONNX Runtime's CUDA provider, one by one: what each does to the time of a graph, and to its results.

What is faster and as right is worth a line in `clavilux.runtime.providers.nvidia.cuda`, which sets none of them. Times
are the card's own, between events on its stream.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from clavilux.benchmarks.measurements.example_inputs import example
from clavilux.benchmarks.measurements.percentiles import MS
from clavilux.benchmarks.on_card.graph_checks import distance
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import DECODER, DENOISER
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.providers.nvidia.cuda import CUDA, require_cuda, stream_settings
from clavilux.runtime.providers.nvidia.io_binding import BoundSession
from clavilux.runtime.providers.nvidia.stream import CudaStream, shared_stream
from clavilux.runtime.providers.onnx_runtime import import_onnxruntime, load_onnxruntime, session_options
from clavilux.runtime.providers.session import Array, GraphFile

CAPTURES = "enable_cuda_graph"
DEFAULT = "default"
TRIES: Mapping[str, Mapping[str, str]] = {
    DEFAULT: {},
    "NHWC": {"prefer_nhwc": "1"},
    "heuristic search": {"cudnn_conv_algo_search": "HEURISTIC"},
    "no TF32": {"use_tf32": "0"},
    "fused bias": {"fuse_conv_bias": "1"},
    "NHWC, fused bias": {"prefer_nhwc": "1", "fuse_conv_bias": "1"},
    "no CUDA graph": {CAPTURES: "0"},
}
SETTLED, TIMED = 4, 60  # runs
BEGUN, DONE = 0, 1  # marks in the stream

Open = Callable[[GraphFile, Mapping[str, str]], BoundSession]


def options(bundle: Bundle, opener: Open | None = None) -> Iterator[dict[str, Any]]:
    """Yield ms of each graph with each of TRIES, and how far its results are from the default's; or why it fails.

    Raises ProviderError where there is no card.
    """
    if opener is None:
        require_cuda()
    found: dict[str, Any] = {}
    for name in (DENOISER, DECODER):
        graph, inputs = graph_file(bundle, name), example(bundle, name)
        plain: list[Array] = []
        for label, settings in TRIES.items():
            try:
                results, times = played((opener or open_with)(graph, settings), inputs)
                plain = plain or results
                tried: Any = {"ms": round(float(np.median(times)) * MS, 3), "relative_l2": distance(plain, results)}
            except ProviderError as error:
                tried = str(error)
            found.setdefault(name, {})[label] = tried
            yield found


def open_with(graph: GraphFile, settings: Mapping[str, str]) -> BoundSession:
    """Load a graph as the instrument does, but with these options of the provider. Raises ProviderError."""
    stream = shared_stream()
    wanted = {CAPTURES: "1", **stream_settings(stream), **settings}
    session = load_onnxruntime(graph.path, CUDA, session_options(import_onnxruntime("gpu"), threads=0), wanted)
    return BoundSession(session, graph.path.name, "cuda", captures=wanted[CAPTURES] == "1", stream=stream)


def played(session: BoundSession, inputs: Mapping[str, Array]) -> tuple[list[Array], list[float]]:
    """Return the results of a graph on its inputs, and the seconds of TIMED runs. Raises ProviderError.

    Nothing goes up or comes down in the runs that are timed.
    """
    run = session.bind({name: array.shape for name, array in inputs.items()})
    for _ in range(SETTLED):
        results = run.fetch(inputs)
    return results, [_seconds(session.stream, run.queue) for _ in range(TIMED)]


def _seconds(stream: CudaStream | None, queue: Callable[[], None]) -> float:
    if stream is None:
        raise ProviderError("a session without a stream of its own cannot be timed on the card")
    stream.mark(BEGUN)
    queue()
    stream.mark(DONE)
    stream.wait()
    return stream.seconds(BEGUN, DONE)
