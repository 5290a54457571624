"""Any other execution provider of ONNX Runtime, by its name: CoreML, DirectML, MIGraphX, QNN, WebGPU ...

    clavilux live --device coreml

The installed ONNX Runtime must list it. Nodes that it leaves to the CPU are said, with their operators; a provider that
leaves all of them is refused.
"""

import functools
import logging
from collections import Counter
from typing import Any

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.onnx_runtime import (
    CPU,
    RECORD_NODES,
    OnnxRuntimeSession,
    import_onnxruntime,
    load_onnxruntime,
    placed_nodes,
    runtime_errors,
    session_options,
)
from clavilux.runtime.providers.session import Device, GraphFile, Session

log = logging.getLogger("clavilux.provider")

SUFFIX = "ExecutionProvider"
REMOTE = f"Azure{SUFFIX}"  # only passes graphs on to a service; it runs nothing itself
OTHER_NAMES = {"directml": "dml"}
PACKAGES = {
    "coreml": "onnxruntime",
    "dml": "onnxruntime-directml",
    "migraphx": "onnxruntime-migraphx",
    "qnn": "onnxruntime-qnn",
    "webgpu": "onnxruntime-webgpu",
}
"""Packages of PyPI whose ONNX Runtime has a provider, by its short name."""


def short_name(name: str) -> str:
    """Return how a provider may be asked for, for example "dml" for "DmlExecutionProvider" and "DirectML"."""
    short = name.lower().removesuffix(SUFFIX.lower())
    return OTHER_NAMES.get(short, short)


def find_provider(name: str) -> Device | None:
    """Return the device of a provider that ONNX Runtime knows, in any case of letters; None when it knows none such.

    Raises ProviderError when it knows the provider, but this installation was built without it.
    """
    try:
        onnxruntime = import_onnxruntime()
    except ProviderError:
        return None
    short = short_name(name)
    known = _by_short_name(onnxruntime.get_all_providers())
    here = available()
    if short in here:
        return here[short]
    if short not in known:
        return None
    raise ProviderError(f"this ONNX Runtime ({onnxruntime.__version__}) has no {known[short]}; {_advice(short)}")


def available() -> dict[str, Device]:
    """Return the devices of all providers that this ONNX Runtime has, by their short names; {} when it is missing."""
    try:
        onnxruntime = import_onnxruntime()
    except ProviderError:
        return {}
    found = _by_short_name(onnxruntime.get_available_providers())
    return {short: _device(short, provider) for short, provider in found.items()}


def open_provider(graph: GraphFile, threads: int, provider: str) -> Session:
    """Load `graph` on `provider`, and say which nodes it leaves to the CPU.

    Raises ProviderError when it does not load there, or all of it would run on the CPU.
    """
    onnxruntime = import_onnxruntime()
    options = session_options(onnxruntime, threads)
    options.add_session_config_entry(RECORD_NODES, "1")
    session = load_onnxruntime(graph.path, provider, options, {})
    tell_host_nodes(session, graph.path.name, provider)
    return OnnxRuntimeSession(session, graph.path.name, runtime_errors(onnxruntime))


def tell_host_nodes(session: Any, name: str, provider: str) -> None:
    """Say which nodes run on the CPU. Raises ProviderError when all of them do."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        log.warning("%s: this ONNX Runtime is too old to say what %s leaves to the CPU", name, provider)
        return
    nodes = placed_nodes(session)
    host = nodes.get(CPU, Counter[str]())
    total = sum(part.total() for part in nodes.values())
    if host and host.total() == total:
        raise ProviderError(f"{name}: {provider} runs none of its {total} nodes; use --device cpu")
    if host:
        kinds = ", ".join(f"{kind} {count}" for kind, count in host.most_common())
        log.warning("%s: %d of %d nodes run on the CPU, not on %s: %s", name, host.total(), total, provider, kinds)


def _by_short_name(providers: list[str]) -> dict[str, str]:
    return {short_name(provider): provider for provider in providers if provider not in (CPU, REMOTE)}


def _device(short: str, provider: str) -> Device:
    package = PACKAGES.get(short, "onnxruntime")
    return Device(short, (package,), import_onnxruntime, functools.partial(open_provider, provider=provider))


def _advice(short: str) -> str:
    package = PACKAGES.get(short)
    if package == "onnxruntime":
        return "its package for macOS has it"
    if package:
        return f"run: pip install {package} in an environment without onnxruntime"
    return "it has to be built with it"
