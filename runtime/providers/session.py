"""Execution providers: whoever can run a graph stands behind `Session`, and is declared as a `Device`.

To add one, write a file that declares it and list it in `clavilux.runtime.placement.devices`, which opens sessions by
the device's name. This file knows no provider.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clavilux.runtime.errors import ProviderError

Array = NDArray[np.generic]


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
    axes: Mapping[str, int] = field(default_factory=dict)  # usual lengths of axes that may be closed, by their names

    @property
    def closed_axes(self) -> Mapping[str, int]:
        """The axes that no other length than the usual one ever comes for; {} when it does for one of them."""
        return self.axes if all(span.smallest == span.largest for span in self.shapes.values()) else {}


class Session(Protocol):
    """One loaded graph. Not safe for use by two threads at once."""

    provider: str
    """Provider that really runs the graph, in the words of its library."""

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the graph on named host arrays; return its outputs in the graph's order."""


Workload = Callable[[Session], Array]
"""Use of a session: all that it does once for a picture, and what came of it."""


@dataclass(frozen=True)
class Device:
    """Device that `--device` may name, declared in a file of its own."""

    name: str
    packages: tuple[str, ...]  # of PyPI, that it is made of: with another version it may be faster or slower
    check: Callable[[], object]  # raises ProviderError, with what is missing and how to get it, where it cannot run
    open: Callable[[GraphFile, int], Session]  # on so many threads, 0: one per core; raises ProviderError
    ready: Callable[[GraphFile], bool] | None = None  # whether its engine is built, where that takes minutes
    part: "Callable[[str], Device] | None" = None  # the device that `name:part` means; None: it has no parts
    parts: Callable[[], tuple[str, ...]] | None = None  # parts here that are devices of their own; raises ProviderError


def with_part(device: Device, name: str, opener: Callable[[GraphFile, int], Session]) -> Device:
    """Return `device` with a part `name` that differs in how it loads a graph; `auto` does not try it."""

    def part(asked: str) -> Device:
        if asked.lower() != name:
            there = f"{device.name}, or {device.name}:{name}"
            raise ProviderError(f"no device '{device.name}:{asked}'; expected --device {there}")
        return replace(device, name=f"{device.name}:{name}", open=opener)

    return replace(device, part=part)


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


def first_line(error: Exception) -> str:
    """Return what a library's error says, without the lines that follow the first one."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
