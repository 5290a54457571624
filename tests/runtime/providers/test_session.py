"""The words that all providers share: ranges of shapes, inputs that fit, and errors of one line."""

import numpy as np
import pytest

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.session import ShapeRange, check_inputs, first_line


@pytest.mark.parametrize(
    "shapes",
    [
        ((1, 4), (1, 4), (4,)),
        ((2, 4), (1, 4), (3, 4)),
        ((1, 4), (4, 4), (3, 4)),
        ((0, 4), (1, 4), (3, 4)),
    ],
)
def test_shapes_that_do_not_rise_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ProviderError, match=r"expected smallest, usual, largest of one rank"):
        ShapeRange(*shapes)


def test_the_first_line_of_an_error_without_words_is_its_name() -> None:
    assert first_line(RuntimeError("")) == "RuntimeError"
    assert first_line(RuntimeError("\none\ntwo")) == "one"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 2)), r"sample is float64 \[1, 2\], expected float32 \[1, None\]; export the bundle again"),
        (np.zeros((2, 2), np.float32), r"sample is float32 \[2, 2\], expected float32 \[1, None\]"),
        (np.zeros(2, np.float32), r"sample is float32 \[2\], expected float32 \[1, None\]"),
    ],
)
def test_an_array_that_does_not_fit_is_named_with_what_would(array: np.ndarray, message: str) -> None:
    with pytest.raises(ProviderError, match=f"decoder.onnx does not run: {message}"):
        check_inputs("decoder.onnx", {"sample": (np.float32, (1, None))}, {"sample": array})


def test_names_that_a_graph_does_not_take_are_said_beside_those_that_it_does() -> None:
    with pytest.raises(ProviderError, match=r"decoder.onnx does not run on \['noise'\]; it takes \['sample'\]"):
        check_inputs("decoder.onnx", {"sample": (np.float32, ())}, {"noise": np.zeros(())})


@pytest.mark.parametrize("length", [1, 7])
def test_an_open_axis_takes_any_length(length: int) -> None:
    check_inputs("decoder.onnx", {"sample": (np.float32, ("h",))}, {"sample": np.zeros(length, np.float32)})
