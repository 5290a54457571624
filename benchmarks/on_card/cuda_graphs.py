"""Whether runs are captured as CUDA graphs and replayed, by ONNX Runtime's own log.

It tells nobody else: a graph that cannot be captured plays on, slower. Graphs are opened here as
`clavilux.runtime.providers.nvidia.cuda` opens them, but talking.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from clavilux.benchmarks.measurements.example_inputs import example
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import PARTS
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.graph_shapes import graph_file
from clavilux.runtime.providers.nvidia.cuda import CUDA, require_cuda, stream_settings
from clavilux.runtime.providers.nvidia.io_binding import BoundSession
from clavilux.runtime.providers.nvidia.stream import shared_stream
from clavilux.runtime.providers.onnx_runtime import import_onnxruntime, reason, runtime_errors, session_options
from clavilux.runtime.providers.session import GraphFile

INFO = 1  # ONNX Runtime's log level
CAPTURED, REPLAYED = "Capturing the cuda graph", "Replaying the captured"  # what its CUDA provider says there, in part
RUNS = 6
STDERR = 2
KEPT = 12_000  # characters of the log, its end


def captures(bundle: Bundle) -> Iterator[dict[str, Any]]:
    """Yield how often each graph was captured and replayed in RUNS runs, or why it cannot be. Raises ProviderError."""
    require_cuda()
    stream = shared_stream()
    settings = {"enable_cuda_graph": "1"} | stream_settings(stream)
    found: dict[str, Any] = {}
    for name in PARTS.values():
        said: list[str] = []
        try:
            with stderr_kept(said):
                session = open_talking(graph_file(bundle, name), CUDA, settings)
                bound = BoundSession(session, name, "cuda", captures=True, stream=stream)
                for seed in range(RUNS):
                    bound.run(example(bundle, name, seed))
            found[name] = counted(said[0])
        except ProviderError as error:
            found[name] = {"captured": 0, "replayed": 0, "refused": str(error)}
        yield found


def open_talking(graph: GraphFile, provider: str, settings: Mapping[str, str]) -> Any:
    """Return an `onnxruntime.InferenceSession` that writes all it does to standard error. Raises ProviderError."""
    onnxruntime, path = import_onnxruntime("gpu"), graph.path
    options = session_options(onnxruntime, 0, graph.axes)
    options.log_severity_level = INFO
    try:
        return onnxruntime.InferenceSession(path, options, providers=[(provider, dict(settings))], enable_fallback=0)
    except runtime_errors(onnxruntime) as error:
        raise ProviderError(f"{path.name} does not load on {provider}: {reason(error)}") from error


def counted(log: str) -> dict[str, Any]:
    """Return how often a log tells of capturing and replaying; where it tells of neither, its end as well."""
    found: dict[str, Any] = {"captured": log.count(CAPTURED), "replayed": log.count(REPLAYED)}
    return found if any(found.values()) else found | {"log": log[-KEPT:]}


@contextmanager
def stderr_kept(said: list[str]) -> Iterator[None]:
    """Keep what C++ and everyone else writes to standard error meanwhile: it is put into `said`, whatever happens."""
    before = os.dup(STDERR)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(before, STDERR)
            os.close(before)
            file.seek(0)
            said.append(file.read().decode(errors="replace"))
