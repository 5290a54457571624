"""Execution providers: whoever can run a graph stands behind `Session`.

To add one, write a function that opens a graph on it and name it in `DEVICES`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ProviderError

Array = NDArray[np.generic]

FATAL = 4  # log level: failures become errors of ours, not lines on the terminal


class Session(Protocol):
    """One loaded graph. Not safe for use by two threads at once."""

    provider: str
    """What really runs the graph, in the words of its library."""

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the graph on named host arrays; return its outputs in the graph's order."""


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
            line = str(error).splitlines()[0]
            raise ProviderError(f"{self._name} does not run: {line}; export the bundle again") from error
        return outputs


def open_onnxruntime_cpu(graph: Path, threads: int) -> Session:
    """Load `graph` on ONNX Runtime's CPU provider, on `threads` threads (0: one per core).

    Threads do not spin between calls: the server, the picture coder and the browser want the same cores.
    """
    options = import_onnxruntime().SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return open_onnxruntime(graph, "CPUExecutionProvider", options)


def open_onnxruntime(graph: Path, provider: str, options: Any) -> Session:
    """Load `graph` on one provider of ONNX Runtime, named in its words.

    Raises ProviderError when it does not load there, or when another provider would take over.
    """
    onnxruntime = import_onnxruntime()
    options.log_severity_level = FATAL
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=[provider])
    except _errors(onnxruntime) as error:
        raise ProviderError(f"{graph.name} does not load on {provider}: {str(error).splitlines()[0]}") from error
    used = session.get_providers()[0]
    if used != provider:
        raise ProviderError(f"{provider} does not run here, {used} would take over; run: clavilux doctor")
    return OnnxRuntimeSession(session, graph.name, _errors(onnxruntime))


DEVICES: dict[str, Callable[[Path, int], Session]] = {"cpu": open_onnxruntime_cpu}
"""What `--device` may name."""


def open_session(graph: Path, device: str = "cpu", threads: int = 0) -> Session:
    """Load one graph on the device that was asked for, or raise ProviderError: never on another one."""
    opener = DEVICES.get(device)
    if opener is None:
        raise ProviderError(f"no device {device!r}; there are {', '.join(DEVICES)}")
    return opener(graph, threads)


def import_onnxruntime() -> Any:
    """Return ONNX Runtime. Raises ProviderError when it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderError("ONNX Runtime is not installed; run: pip install 'clavilux[cpu]'") from error
    return onnxruntime


def _errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: a dozen classes of its own that share no base."""
    own = vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
    return RuntimeError, ValueError, *(kind for kind in own if isinstance(kind, type) and issubclass(kind, Exception))
