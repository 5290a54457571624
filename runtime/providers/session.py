"""Execution providers: whoever can run a graph stands behind `Session`, and is declared as a `Device`.

    session = open_session("decoder.onnx", "openvino", threads=2)

To add one, write a file that declares it and list it in `clavilux.runtime.placement.devices`. What the devices of ONNX
Runtime share is here too.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.errors import ProviderError

Array = NDArray[np.generic]

CPU = "CPUExecutionProvider"
RECORD_NODES = "session.record_ep_graph_assignment_info"
FATAL = 4  # log level: failures become errors of ours, not lines on the terminal


@dataclass(frozen=True)
class ShapeRange:
    """The shapes that one input with open axes will have. ProviderError when they do not rise or differ in rank."""

    smallest: tuple[int, ...]
    usual: tuple[int, ...]  # what an engine is made fastest for
    largest: tuple[int, ...]

    def __post_init__(self) -> None:
        rank = len(self.usual)
        shapes = (self.smallest, self.usual, self.largest)
        rises = all(1 <= low <= usual <= high for low, usual, high in zip(*shapes, strict=False))
        if any(len(shape) != rank for shape in shapes) or not rises:
            raise ProviderError(f"shapes {' '.join(map(str, shapes))}; expected smallest, usual, largest of one rank")


@dataclass(frozen=True)
class GraphFile:
    """A graph, and what an engine for it depends on."""

    path: Path
    sha256: str = ""  # of the graph with its weights; "": unknown, then no engine of it is kept
    precision: str = "float32"  # of the graph's own arithmetic
    shapes: Mapping[str, ShapeRange] = field(default_factory=dict)  # of every input with open axes, by its name


class Session(Protocol):
    """One loaded graph. Not safe for use by two threads at once."""

    provider: str
    """What really runs the graph, in the words of its library."""

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the graph on named host arrays; return its outputs in the graph's order."""


@dataclass(frozen=True)
class Device:
    """What `--device` may name, declared in a file of its own."""

    name: str
    packages: tuple[str, ...]  # of PyPI, that it is made of: with another version it may be faster or slower
    check: Callable[[], object]  # raises ProviderError, with what is missing and how to get it, where it cannot run
    open: Callable[[GraphFile, int], Session]  # on so many threads, 0: one per core; raises ProviderError
    ready: Callable[[GraphFile], bool] | None = None  # whether its engine is built, where that takes minutes
    part: "Callable[[str], Device] | None" = None  # the device that `name:part` means; None: it has no parts
    parts: Callable[[], tuple[str, ...]] = tuple  # what may stand behind the colon here; raises ProviderError


class OnnxRuntimeSession:
    """A graph on ONNX Runtime."""

    def __init__(self, session: Any, name: str, errors: tuple[type[Exception], ...]) -> None:
        self._session = session
        self._name = name
        self._errors = errors
        self.provider: str = session.get_providers()[0]

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the graph on named host arrays; return its outputs in the graph's order.

        Raises ProviderError when the arrays are not what the graph takes.
        """
        try:
            outputs: list[Array] = self._session.run(None, dict(inputs))
        except self._errors as error:
            raise ProviderError(f"{self._name} does not run: {first_line(error)}; export the bundle again") from error
        return outputs


def open_onnxruntime(graph: Path, provider: str, options: Any) -> Session:
    """Load `graph` on one provider of ONNX Runtime, named in its words.

    Raises ProviderError when it does not load there, or when another provider would take over.
    """
    session = load_onnxruntime(graph, provider, options, {})
    return OnnxRuntimeSession(session, graph.name, runtime_errors(import_onnxruntime()))


def load_onnxruntime(graph: Path, provider: str, options: Any, settings: Mapping[str, str] | None) -> Any:
    """Return an `onnxruntime.InferenceSession` on `provider`, with `settings`; None: `options` name the provider.

    Raises ProviderError when it does not load there, or when another provider would take over.
    """
    onnxruntime = import_onnxruntime()
    options.log_severity_level = FATAL
    providers = None if settings is None else [(provider, dict(settings))]
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=providers, enable_fallback=0)
    except runtime_errors(onnxruntime) as error:
        raise ProviderError(f"{graph.name} does not load on {provider}: {first_line(error)}") from error
    used = session.get_providers()[0]
    if used != provider:
        raise ProviderError(f"{provider} does not run here, {used} would take over; run: clavilux doctor")
    return session


def session_options(onnxruntime: Any, threads: int) -> Any:
    """Return the options all sessions share; `threads` are the CPU's, 0: one per core.

    Threads do not spin between calls: the server, the picture coder and the browser want the same cores.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def check_device(device: str) -> None:
    """Raise ProviderError when `device` cannot run here, before anything is loaded on it."""
    from clavilux.runtime.placement.devices import find_device  # which stands on this file

    find_device(device).check()


def open_session(graph: Path | GraphFile, device: str = "cpu", threads: int = 0) -> Session:
    """Load one graph on the device that was asked for, or raise ProviderError: never on another one.

    A plain path is a graph with closed axes whose hash is not known.
    """
    from clavilux.runtime.placement.devices import find_device  # which stands on this file

    return find_device(device).open(graph if isinstance(graph, GraphFile) else GraphFile(graph), threads)


def check_inputs(
    name: str, expected: Mapping[str, tuple[type[np.generic], tuple[object, ...]]], inputs: Mapping[str, Array]
) -> None:
    """Raise ProviderError unless `inputs` are what the graph `name` takes: types and shapes, where no int is open.

    For libraries that would take the bytes of another type as they are, or convert them without a word.
    """
    if inputs.keys() != expected.keys():
        raise ProviderError(f"{name} does not run on {sorted(inputs)}; it takes {sorted(expected)}")
    for key, array in inputs.items():
        dtype, shape = expected[key]
        closed = [length if isinstance(length, int) else None for length in shape]
        fits = len(closed) == array.ndim and all(
            length in (None, actual) for length, actual in zip(closed, array.shape, strict=True)
        )
        if array.dtype != dtype or not fits:
            found = f"{array.dtype} {list(array.shape)}"
            raise ProviderError(
                f"{name} does not run: {key} is {found}, expected {np.dtype(dtype)} {list(shape)}; "
                "export the bundle again"
            )


def placed_nodes(session: Any) -> dict[str, Counter[str]]:
    """Return how many nodes of each operator run on which provider, for a session that was opened to record it."""
    nodes: dict[str, Counter[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        nodes.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
    return nodes


def import_onnxruntime(extra: str = "cpu") -> Any:
    """Return ONNX Runtime. Raises ProviderError when it is not installed; `extra` is what would bring it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderError(f"ONNX Runtime is not installed; run: pip install 'clavilux[{extra}]'") from error
    return onnxruntime


def runtime_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: a dozen classes of its own that share no base."""
    own = vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
    return RuntimeError, ValueError, *(kind for kind in own if isinstance(kind, type) and issubclass(kind, Exception))


def first_line(error: Exception) -> str:
    """Return what a library's error says, without the lines that follow the first one."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
