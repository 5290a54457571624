"""ONNX Runtime: its sessions, its options and its errors, for all devices that are providers of it."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.session import Array, Session, first_line

CPU = "CPUExecutionProvider"
RECORD_NODES = "session.record_ep_graph_assignment_info"
CUDA_FAILURE = re.compile(r"(CU\w+ failure \d+: .*?) ; GPU=")
FATAL = 4  # log level: failures become errors of ours, not lines on the terminal


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
            raise ProviderError(f"{self._name} does not run: {reason(error)}; export the bundle again") from error
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
        raise ProviderError(f"{graph.name} does not load on {provider}: {reason(error)}") from error
    used = session.get_providers()[0]
    if used != provider:
        raise ProviderError(f"{provider} does not run here, {used} would take over; look for its driver and libraries")
    return session


def session_options(onnxruntime: Any, threads: int, axes: Mapping[str, int] = MappingProxyType({})) -> Any:
    """Return the options all sessions share; `threads` are the CPU's, 0: one per core.

    Open axes that are named in `axes` are closed to these lengths, and what is computed from them when the graph loads.
    Threads do not spin between calls: the server, the picture coder and the browser want the same cores.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for name, length in axes.items():
        options.add_free_dimension_override_by_name(name, length)
    return options


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


def reason(error: Exception) -> str:
    """Return what ONNX Runtime says went wrong, on a card without the half page of C++ round what CUDA said."""
    failure = CUDA_FAILURE.search(str(error))
    return failure[1] if failure else first_line(error)


def runtime_errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: a dozen classes of its own that share no base."""
    own = vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
    return RuntimeError, ValueError, *(kind for kind in own if isinstance(kind, type) and issubclass(kind, Exception))
