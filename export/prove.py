"""Export one component and prove it in the same breath: traced, checked against torch, stored, checked again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.components import Component, Gate
from export.convert import save, store_half, to_onnx
from export.parity import compare
from runtime.manifest import ParityFigure
from runtime.provider import Session, open_session

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Case:
    """Inputs of a graph by name, and what the original makes of them, in the order of the component's outputs."""

    inputs: Mapping[str, Array]
    expected: Sequence[Array]


@dataclass(frozen=True)
class Workshop:
    """Where graphs are written, and how."""

    folder: Path  # the bundle in the making
    scratch: Path  # for what is thrown away
    storage: str  # "float32" or "float16": type of the stored weights
    report: Callable[[str], None]  # told what is done next
    figures: list[ParityFigure]  # collects the proof

    def make(self, component: Component, module: nn.Module, cases: Sequence[Case], longest: int = 0) -> Session:
        """Write the graph of `module` and return it loaded, as the bundle holds it.

        The first case is traced; open axes run up to `longest`. Raises ExportError when a gate is missed.
        """
        self.report(f"{component.name}: tracing")
        example = {name: torch.from_numpy(array) for name, array in cases[0].inputs.items()}
        model = to_onnx(module, component, example, longest)
        exact = self.scratch / component.file
        save(model, exact)
        self.report(f"{component.name}: comparing with torch")
        found = _run_all(open_session(exact), cases)
        component.check([*cases[0].inputs.values(), *found[: len(component.outputs)]])
        self.judge(component.name, component.exact, [array for case in cases for array in case.expected], found)
        stored = self.folder / component.file
        save(store_half(model) if self.storage == "float16" else model, stored)
        session = open_session(stored)
        self.judge(f"{component.name}, stored", component.stored, found, _run_all(session, cases))
        return session

    def judge(self, name: str, gates: Sequence[Gate], expected: Sequence[Array], found: Sequence[Array]) -> None:
        """Add the figures of one comparison to the proof, or raise ExportError."""
        self.figures.extend(compare(name, gates, expected, found))


def _run_all(session: Session, cases: Sequence[Case]) -> list[Array]:
    return [array for case in cases for array in session.run(case.inputs)]
