"""OpenVINO through its own runtime: Intel's and AMD's CPUs, Intel's GPUs.

    clavilux live --device openvino            # the CPU
    clavilux live --device openvino:GPU        # another of its devices, as OpenVINO calls it
    clavilux live --device openvino:CPU:BF16   # the CPU in bfloat16, where it has that

Arithmetic stays what the bundle says unless bfloat16 is asked for: left alone, OpenVINO takes that or float16 where the
device has them, and pictures change. What it makes of a graph is kept by `clavilux.runtime.providers.engine_cache`:
loading it takes a third of the time.
"""

import functools
import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.engine_cache import EngineKey, describe_shapes, engine_folder, engine_places
from clavilux.runtime.providers.session import Array, Device, GraphFile, Session, check_inputs, first_line

log = logging.getLogger("clavilux.openvino")

NAME = "openvino"
PROCESSOR = "CPU"  # OpenVINO's name of it
BFLOAT16 = "BF16"  # OpenVINO's name of an arithmetic that processors may have
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # Linux's names of the instructions for it
TELEMETRY = "openvino_telemetry"  # package
BLOB = "model.blob"
KEEPS = "EXPORT_IMPORT"  # capability of a device whose compiled models can be written and read
PLACES = ("Exception from ", "Check '")  # how lines begin that say where OpenVINO failed, not why


class OpenVinoSession:
    """A graph that OpenVINO compiled. Inputs go into tensors that stay while the shapes do; results are copies."""

    def __init__(self, openvino: Any, model: Any, name: str) -> None:
        """`model` is an `openvino.CompiledModel`, `name` what errors call the graph."""
        self._openvino = openvino
        self._name = name
        self._request = model.create_infer_request()
        self._expected = {port.get_any_name(): (_dtype(port), _shape(port)) for port in model.inputs}
        self._types = {port.get_any_name(): port.get_element_type() for port in model.inputs}
        self._outputs = len(model.outputs)
        self._tensors: dict[str, Any] = {}
        half = model.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.bf16
        self.provider = f"OpenVINO {','.join(model.get_property('EXECUTION_DEVICES'))}{' bfloat16' if half else ''}"

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the graph on named host arrays; return its outputs in the graph's order, as arrays of their own.

        Raises ProviderError when the arrays are not what the graph takes, or OpenVINO fails.
        """
        check_inputs(self._name, self._expected, inputs)
        try:
            for name, array in inputs.items():
                self._tensor(name, array.shape).data[...] = array
            self._request.infer()
        except RuntimeError as error:
            raise ProviderError(f"{self._name} does not run: {reason(error)}") from error
        return [self._request.get_output_tensor(index).data.copy() for index in range(self._outputs)]

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Any:
        """Return the tensor that the request reads this input from."""
        tensor = self._tensors.get(name)
        if tensor is None or tuple(tensor.shape) != shape:
            tensor = self._tensors[name] = self._openvino.Tensor(self._types[name], list(shape))
            self._request.set_tensor(name, tensor)
        return tensor


def open_openvino(graph: GraphFile, threads: int, part: str = PROCESSOR) -> Session:
    """Load `graph` on the device `part` of OpenVINO; `threads` are the CPU's, 0: one per core.

    Raises ProviderError: OpenVINO or the device is missing, or does not take the graph.
    """
    require_openvino(part)
    openvino = import_openvino()
    settings = settings_for(graph, threads, part)
    try:
        return OpenVinoSession(openvino, _load(openvino, graph, part, settings), graph.path.name)
    except RuntimeError as error:
        raise ProviderError(f"{graph.path.name} does not load on OpenVINO {part}: {reason(error)}") from error


def settings_for(graph: GraphFile, threads: int, part: str) -> dict[str, Any]:
    """Return OpenVINO's options for `graph`: one run at a time, fast, in the arithmetic of the bundle, or in `part`'s.

    Float32 is asked for by name. On a GPU float16 graphs run as they are, with what the export left in float32; a CPU
    computes them in float32. Threads are not tied to cores: the server and the browser want the same ones.
    """
    processor, _, arithmetic = part.partition(":")
    accurate = {"INFERENCE_PRECISION_HINT": arithmetic.lower() or "f32"}
    if processor == PROCESSOR:
        own = {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
        return {"PERFORMANCE_HINT": "LATENCY"} | accurate | own
    as_it_is = {"EXECUTION_MODE_HINT": "ACCURACY"}
    return {"PERFORMANCE_HINT": "LATENCY"} | (as_it_is if graph.precision == "float16" else accurate)


def import_openvino() -> Any:
    """Return OpenVINO. Raises ProviderError when it is not installed.

    Its telemetry is left out, as if it were not installed: importing OpenVINO alone would report to a web service.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault(TELEMETRY, None)
    try:
        import openvino
    except ImportError as error:
        raise ProviderError(f"OpenVINO is not installed; run: pip install 'clavilux[{NAME}]'") from error
    return openvino


def parts() -> tuple[str, ...]:
    """Return OpenVINO's devices here, for example ("CPU", "GPU", "CPU:BF16"), the last with an arithmetic of its own.

    Raises ProviderError when it is not installed.
    """
    core = _core(import_openvino())
    found = tuple(core.available_devices)
    able = PROCESSOR in found and BFLOAT16 in core.get_property(PROCESSOR, "OPTIMIZATION_CAPABILITIES")
    half = able and has_bfloat16()
    return (*found, f"{PROCESSOR}:{BFLOAT16}") if half else found


def has_bfloat16() -> bool:
    """Return whether the processor has bfloat16, which OpenVINO also emulates; true where the system does not tell."""
    try:
        return not BFLOAT16_FLAGS.isdisjoint(CPUINFO.read_text(encoding="utf-8").split())
    except OSError:
        return True


def require_openvino(part: str = PROCESSOR) -> None:
    """Raise ProviderError unless OpenVINO is installed and has the device `part`, for example "GPU" or "GPU.1"."""
    found = parts()
    if part not in found and part not in {name.partition(".")[0] for name in found}:
        raise ProviderError(f"OpenVINO has no {part!r} here; it has {', '.join(found)}")


def reason(error: Exception) -> str:
    """Return what OpenVINO says went wrong, without the places in its source that it puts before that."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line and not line.startswith(PLACES)), first_line(error))


def device(part: str) -> Device:
    """Return the device of OpenVINO's own device `part`, in any case of letters."""
    part = part.upper()
    check = functools.partial(require_openvino, part)
    return Device(f"{NAME}:{part}", (NAME,), check, functools.partial(open_openvino, part=part))


def _load(openvino: Any, graph: GraphFile, part: str, settings: Mapping[str, Any]) -> Any:
    """Return the compiled graph: the kept one, or a new one, which is kept where that is possible."""
    core, processor = _core(openvino), part.partition(":")[0]
    abilities = core.get_property(processor, "OPTIMIZATION_CAPABILITIES")
    if not graph.sha256 or KEEPS not in abilities:
        return core.compile_model(core.read_model(graph.path), processor, settings)
    made = []

    def build(folder: Path) -> None:
        made.append(core.compile_model(core.read_model(graph.path), processor, settings))
        (folder / BLOB).write_bytes(made[0].export_model().getbuffer())

    architecture = " ".join([core.get_property(processor, "FULL_DEVICE_NAME"), *sorted(set(abilities) - {KEEPS})])
    with engine_folder(_key(openvino, graph, part, architecture), engine_places(graph), build, slow=False) as engine:
        return made[0] if made else _read(openvino, engine.folder / BLOB, processor, settings)


def _key(openvino: Any, graph: GraphFile, part: str, architecture: str) -> EngineKey:
    return EngineKey(
        graph=graph.path.name,
        provider=f"{NAME}-{part.lower().replace(':', '-')}",
        sha256=graph.sha256,
        precision=graph.precision,
        shapes=describe_shapes(graph.shapes),
        architecture=re.sub(r"[^A-Za-z0-9.]+", "-", architecture),
        version=openvino.__version__,
    )


def _read(openvino: Any, blob: Path, processor: str, settings: Mapping[str, Any]) -> Any:
    """Return the compiled graph in the file `blob`. OpenVINO owns the memory, as the weights stay in it."""
    tensor = openvino.Tensor(openvino.Type.u8, [blob.stat().st_size])
    with blob.open("rb") as file:
        file.readinto(tensor.data)
    return _core(openvino).import_model(tensor, processor, settings)


@functools.cache
def _core(openvino: Any) -> Any:
    """Return the one core of this process: the libraries of its devices are loaded once."""
    return openvino.Core()


def _dtype(port: Any) -> Any:
    return port.get_element_type().to_dtype().type


def _shape(port: Any) -> tuple[object, ...]:
    """Return a port's shape; None for an open axis."""
    return tuple(axis.get_length() if axis.is_static else None for axis in port.get_partial_shape())


DEVICE = replace(device(PROCESSOR), name=NAME, part=device, parts=parts)
