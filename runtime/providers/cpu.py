"""ONNX Runtime's own CPU provider: the default device, for every machine; others are measured against it."""

from clavilux.runtime.providers.onnx_runtime import CPU, import_onnxruntime, open_onnxruntime, session_options
from clavilux.runtime.providers.session import Device, GraphFile, Session


def open_cpu(graph: GraphFile, threads: int) -> Session:
    """Load `graph` on `threads` threads (0: one per core). Raises ProviderError."""
    return open_onnxruntime(graph.path, CPU, session_options(import_onnxruntime(), threads))


DEVICE = Device("cpu", ("onnxruntime",), import_onnxruntime, open_cpu)
