"""Bindings of a graph on a GPU to buffers that stay where they are: arrays go up, and results come back down.

Persistent addresses are what CUDA graphs need: once the shapes have settled, a whole run is replayed as one.
The device is no more than its name, so all of this is tested on the CPU provider with real ONNX Runtime values.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia.stream import CudaStream
from clavilux.runtime.providers.onnx_runtime import import_onnxruntime, reason, runtime_errors
from clavilux.runtime.providers.session import Array, check_inputs

log = logging.getLogger("clavilux.provider")

GRAPH_IDS = ("gpu_graph_id", "cuda_graph_annotation_id")  # run option: which CUDA graph; TensorRT for RTX has its own
NO_WAIT = "disable_synchronize_execution_providers"  # run option
NO_CAPTURE = -1

TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}

OrtValue = Any  # an `onnxruntime.OrtValue`
Reload = Callable[[bool], Any]
"""Loading of one more `onnxruntime.InferenceSession`, whose runs may be captured as a CUDA graph or not."""


class BoundSession:
    """A graph whose inputs and outputs lie on `device`, in ONNX Runtime's words: "cuda", or "cpu" in tests."""

    def __init__(
        self,
        session: Any,
        name: str,
        device: str,
        *,
        captures: bool,
        stream: CudaStream | None = None,
        reload: Reload | None = None,
        memory: Any = None,
    ) -> None:
        """`session` is an `onnxruntime.InferenceSession`, `name` what errors call the graph.

        `captures`: its runs can be recorded as CUDA graphs. `stream` is what it was told to run on, where it was told.
        `reload` loads it once more, for a provider that has one CUDA graph for all runs of a session: each run is then
        given a session of its own. `memory` is the `onnxruntime.OrtMemoryInfo` that inputs lie in, where a
        plugin has it. Raises ProviderError when the graph takes something that is no array of numbers.
        """
        self.session = session
        self.name = name
        self.device = device
        self.stream = stream
        self.provider: str = session.get_providers()[0]
        self.results = [str(node.type) for node in session.get_outputs()]  # in ONNX's words, as in TYPES
        self.captures = captures
        self._reload = reload
        self._memory = memory
        self._expected = {node.name: (self._dtype(node), tuple(node.shape)) for node in session.get_inputs()}
        self._graphs = 0  # CUDA graphs asked for
        self._bound: BoundRun | None = None  # what `run` runs

    @property
    def inputs(self) -> Mapping[str, type[np.generic]]:
        """The types of the inputs, by name."""
        return {name: dtype for name, (dtype, _) in self._expected.items()}

    def fits(self, inputs: Mapping[str, Array]) -> bool:
        """Return whether the graph, which has no open axes, takes arrays of these shapes."""
        return all(name in inputs and inputs[name].shape == shape for name, (_, shape) in self._expected.items())

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the graph on named host arrays; return its outputs in the graph's order, as host arrays of their own.

        Raises ProviderError when the arrays are not what the graph takes, or the provider fails.
        """
        check_inputs(self.name, self._expected, inputs)
        shapes = {name: array.shape for name, array in inputs.items()}
        if self._bound is None or self._bound.shapes != shapes:
            if self._bound is not None:
                self._bound.release()
            self._bound = self.bind(shapes)
        return self._bound.fetch(inputs)

    def bind(self, shapes: Mapping[str, tuple[int, ...]], shared: Mapping[str, OrtValue] | None = None) -> "BoundRun":
        """Return a run between buffers of its own; the inputs in `shared` are another run's results instead.

        Raises ProviderError when the graph does not take these shapes, or the card has no room.
        """
        check_inputs(self.name, self._expected, {name: self._blank(name, shape) for name, shape in shapes.items()})
        given = shared or {}
        self._graphs += 1  # 0 is ONNX Runtime's own
        with self.on_card():
            if self._reload is not None and self.captures and self._graphs > 1:
                self.session = self._reload(True)  # the one before belongs to its run, and goes with that
            values = {name: given[name] if name in given else self._new(name, shape) for name, shape in shapes.items()}
            return BoundRun(self, values, self._graphs if self.captures else None)

    def give_up_capture(self, error: Exception) -> None:
        """Record no more runs as CUDA graphs, because one could not be, and say so once."""
        if self.stream is not None:
            self.stream.end_capture()
        if not self.captures:
            return
        self.captures = False
        if self._reload is not None:
            self.session = self._reload(False)
        log.warning("%s runs without a CUDA graph from now on: %s", self.name, reason(error))

    @contextmanager
    def on_card(self) -> Iterator[None]:
        """Work on the card in this thread; what ONNX Runtime raises becomes a ProviderError of one line."""
        with translated(self.name):
            if self.stream is not None:
                self.stream.enter()
            yield

    def _blank(self, name: str, shape: tuple[int, ...]) -> Array:
        """Return an array of this shape that takes no memory."""
        dtype = self._expected[name][0] if name in self._expected else np.float32
        return np.broadcast_to(np.zeros((), dtype), shape)

    def _dtype(self, node: Any) -> type[np.generic]:
        if node.type not in TYPES:
            raise ProviderError(f"{self.name} takes {node.name} as {node.type}; expected one of {', '.join(TYPES)}")
        return TYPES[node.type]

    def _new(self, name: str, shape: tuple[int, ...]) -> OrtValue:
        place = {"device_type": self.device} if self._memory is None else {"memory_info": self._memory}
        return import_onnxruntime().OrtValue.ortvalue_from_shape_and_type(shape, self._expected[name][0], **place)


class BoundRun:
    """A run of a graph between buffers that stay where they are.

    The first run lets ONNX Runtime allocate the results; from the second on all addresses are fixed, and the run is
    recorded as a CUDA graph where the session can do that, and replayed. When that fails, it runs on without one.
    """

    def __init__(self, owner: BoundSession, inputs: Mapping[str, OrtValue], graph_id: int | None) -> None:
        """`graph_id` is the number of its CUDA graph; None: it is not recorded."""
        self.inputs = inputs
        self.results: list[OrtValue] = []  # in the graph's order, once it has run
        self.shapes = {name: tuple(value.shape()) for name, value in inputs.items()}
        self._owner = owner
        self._graph_id = graph_id
        self._runs = 0
        self._plain = False  # whether it is recorded no more, because that has failed
        self._options: dict[tuple[int | None, bool], Any] = {}
        self._outputs = [node.name for node in owner.session.get_outputs()]
        self._bind()

    def _bind(self) -> None:
        """Bind the buffers to the owner's present session."""
        self._session = self._owner.session
        self._binding = self._session.io_binding()
        for name, value in self.inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            self._binding.bind_output(name, self._owner.device)

    def queue(self) -> None:
        """Queue a run on the session's stream. Raises ProviderError when the provider fails.

        The host does not wait where the provider honours that: CUDA's does, TensorRT's waits for each replay.
        """
        with self._owner.on_card():
            self._run(waits=False)

    def fetch(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run on named host arrays, and return the results as host arrays of their own.

        Raises ProviderError when the provider fails; after that it has no shapes, and is of no more use.
        """
        shapes, self.shapes = self.shapes, {}
        with self._owner.on_card():
            for name, array in inputs.items():
                self.inputs[name].update_inplace(array)
            self._binding.synchronize_inputs()
            self._run(waits=True)
            if self._owner.stream is not None:
                self._owner.stream.wait()  # not every provider waits for a stream that it was given
            outputs: list[Array] = self._binding.copy_outputs_to_cpu()
        self.shapes = shapes
        return outputs

    def release(self) -> None:
        """Give up the CUDA graph, which reads these buffers. Raises ProviderError when the provider fails."""
        if self._graph_id is not None and self._runs > 1:
            with self._owner.on_card():
                self._session.release_captured_graph(self._graph_id)

    def _run(self, *, waits: bool) -> None:
        if self._runs == 1:
            self._fix_outputs()
        try:
            self._session.run_with_iobinding(self._binding, self._run_options(waits=waits))
        except runtime_errors(import_onnxruntime()) as error:
            if self._graph_id is None or not self._runs:
                raise
            self._run_plainly(error, waits=waits)
        if not self._runs:
            self.results = self._binding.get_outputs()  # they stay where the first run put them
        self._runs += 1

    def _fix_outputs(self) -> None:
        for name, value in zip(self._outputs, self.results, strict=True):
            self._binding.bind_ortvalue_output(name, value)

    def _run_plainly(self, error: Exception, *, waits: bool) -> None:
        """Run without a CUDA graph, now and from now on, after one has failed with `error`; nothing of it has run."""
        self._owner.give_up_capture(error)
        self._plain = True
        if self._session is not self._owner.session:
            self._bind()
            self._fix_outputs()
        self._session.run_with_iobinding(self._binding, self._run_options(waits=waits))

    def _run_options(self, *, waits: bool) -> Any:
        captured = NO_CAPTURE if self._graph_id is not None and (self._plain or not self._runs) else self._graph_id
        if (captured, waits) not in self._options:
            self._options[captured, waits] = _run_options(captured, waits=waits)
        return self._options[captured, waits]


def _run_options(captured: int | None, *, waits: bool) -> Any:
    options = import_onnxruntime().RunOptions()
    for name in GRAPH_IDS if captured is not None else ():
        options.add_run_config_entry(name, str(captured))
    if not waits:
        options.add_run_config_entry(NO_WAIT, "1")
    return options


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn what ONNX Runtime raises into a ProviderError of one line that begins with the graph's name."""
    try:
        yield
    except runtime_errors(import_onnxruntime()) as error:
        raise ProviderError(f"{name} does not run: {reason(error)}") from error
