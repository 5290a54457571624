"""A graph on a GPU with buffers that stay where they are: arrays go up into them, and results come back down.

Persistent addresses are what CUDA graphs need: once the shapes have settled, a whole run is replayed as one launch.
The device is no more than its name, so all of this is tested on the CPU provider with real ONNX Runtime values.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from runtime.errors import ProviderError
from runtime.provider import Array, check_inputs, first_line, import_onnxruntime, runtime_errors

GRAPH_IDS = ("gpu_graph_id", "cuda_graph_annotation_id")  # run option: which CUDA graph; TensorRT for RTX has its own
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


class BoundSession:
    """A graph whose inputs and outputs lie on `device`, in ONNX Runtime's words: "cuda", or "cpu" in tests.

    The first run with new shapes lets ONNX Runtime allocate the outputs; from the second on all addresses are fixed,
    and with `captures` the run is recorded as a CUDA graph and replayed.
    """

    def __init__(self, session: Any, name: str, device: str, *, captures: bool) -> None:
        """`session` is an `onnxruntime.InferenceSession`, `name` what errors call the graph.

        Raises ProviderError when the graph takes something that is no array of numbers.
        """
        self._session = session
        self._name = name
        self._device = device
        self._captures = captures
        self._expected = {node.name: (self._dtype(node), tuple(node.shape)) for node in session.get_inputs()}
        self._outputs = [node.name for node in session.get_outputs()]
        self._shapes: dict[str, tuple[int, ...]] | None = None  # of the inputs that the buffers were made for
        self._buffers: dict[str, Any] = {}
        self._binding: Any = None
        self._runs = 0  # with these buffers
        self._graph_id = 0
        self.provider: str = session.get_providers()[0]

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the graph on named host arrays; return its outputs in the graph's order, as host arrays of their own.

        Raises ProviderError when the arrays are not what the graph takes, or the provider fails.
        """
        check_inputs(self._name, self._expected, inputs)
        try:
            return self._run(inputs)
        except runtime_errors(import_onnxruntime()) as error:
            self._shapes = None
            raise ProviderError(f"{self._name} does not run: {first_line(error)}") from error

    def _run(self, inputs: Mapping[str, Array]) -> list[Array]:
        shapes = {name: array.shape for name, array in inputs.items()}
        if shapes != self._shapes:
            self._allocate(shapes)
        elif self._runs == 1:
            self._fix_outputs()
        for name, array in inputs.items():
            self._buffers[name].update_inplace(array)
        self._binding.synchronize_inputs()
        self._session.run_with_iobinding(self._binding, self._run_options())
        self._runs += 1
        outputs: list[Array] = self._binding.copy_outputs_to_cpu()
        return outputs

    def _allocate(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Make buffers for these shapes, and give up those for others with the CUDA graph that reads them."""
        if self._captures and self._runs > 1:
            self._session.release_captured_graph(self._graph_id)
        self._buffers = {name: self._new(name, shape) for name, shape in shapes.items()}
        self._binding = self._session.io_binding()
        for name, value in self._buffers.items():
            self._binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            self._binding.bind_output(name, self._device)
        self._shapes = shapes
        self._runs = 0
        self._graph_id += 1  # 0 is ONNX Runtime's own

    def _dtype(self, node: Any) -> type[np.generic]:
        if node.type not in TYPES:
            raise ProviderError(f"{self._name} takes {node.name} as {node.type}; expected one of {', '.join(TYPES)}")
        return TYPES[node.type]

    def _new(self, name: str, shape: tuple[int, ...]) -> Any:
        return import_onnxruntime().OrtValue.ortvalue_from_shape_and_type(shape, self._expected[name][0], self._device)

    def _fix_outputs(self) -> None:
        """Keep the outputs where the first run put them."""
        for name, value in zip(self._outputs, self._binding.get_outputs(), strict=True):
            self._buffers[name] = value
            self._binding.bind_ortvalue_output(name, value)

    def _run_options(self) -> Any:
        options = import_onnxruntime().RunOptions()
        if self._captures:
            captured = self._graph_id if self._runs else NO_CAPTURE
            for name in GRAPH_IDS:
                options.add_run_config_entry(name, str(captured))
        return options
