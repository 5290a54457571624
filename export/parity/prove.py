"""Export one component and prove it in the same breath: traced, checked against torch, stored, checked again.

A `Workshop` is what one component is made in. Tracing needs the torch model, proving does not, so that the two are
separate steps and only one copy of the weights is in memory at a time.
"""

import ctypes
import gc
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from diffusers.models.attention_processor import Attention
from numpy.typing import NDArray
from torch import nn

from clavilux.export.graphs import int8
from clavilux.export.graphs.convert import empty, outside_nodes, release, save, store_half, to_onnx
from clavilux.export.graphs.float16 import Kept, Rules, keep, rounded, to_half
from clavilux.export.graphs.value_ranges import measure_peaks, open_in_order
from clavilux.export.parity.figures import compare
from clavilux.export.spec import Component, Gate
from clavilux.runtime.bundle.manifest import Choice, KeptOperators, ParityFigure
from clavilux.runtime.errors import ExportError
from clavilux.runtime.providers.session import Session, open_session

Array = NDArray[np.generic]

PROVED_BATCH = 3  # an odd number, which no trace on two has fixed


@dataclass(frozen=True)
class Case:
    """Inputs of a graph by name, and what the original makes of them, in the order of the component's outputs."""

    inputs: Mapping[str, Array]
    expected: Sequence[Array]


@dataclass(frozen=True)
class Traced:
    """A float32 graph on disk, not proved yet, and what the original says."""

    component: Component
    exact: Path
    cases: Sequence[Case]
    upcast_attention: bool = False


@dataclass
class Proof:
    """What was found out about one component."""

    figures: list[ParityFigure] = field(default_factory=list)
    kept: list[KeptOperators] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)


@dataclass(frozen=True)
class Workshop:
    """Where graphs are written, and how."""

    folder: Path  # the bundle in the making
    scratch: Path  # for what is thrown away
    storage: str  # "float32" or "float16": type of the stored weights
    arithmetic: str  # one of clavilux.runtime.bundle.manifest.ARITHMETICS: what is asked for
    report: Callable[[str], None]  # told what is done next
    proof: Proof  # collects what is found out

    def trace(self, component: Component, module: nn.Module, cases: Sequence[Case]) -> Traced:
        """Write the float32 graph of `module`, traced on the first case; the module's weights are gone afterwards."""
        self.report(f"{component.name}: tracing")
        model = to_onnx(module, component, example(component, cases[0]))
        path = self.scratch / component.file
        save(model, path)
        release(model)
        empty(module)
        return Traced(component, path, cases, _upcasts(module))

    def prove(self, traced: Traced) -> Session:
        """Compare the graph with its original, write it as the bundle will hold it, and compare again.

        Returns what stands for the bundle's graph in further comparisons: the graph itself, or, where it computes in
        float16, its rounded twin. Raises ExportError when a gate is missed.
        """
        session, found = self.prove_exact(traced)
        del session
        if self.arithmetic == "float16":
            return self._halved(traced, found)
        if self.arithmetic == "int8" and (smaller := self._eight_bits(traced, found)):
            return smaller
        return self._stored(traced, found)

    def prove_exact(self, traced: Traced) -> tuple[Session, list[Array]]:
        """Compare the float32 graph with its original; return the graph and what it makes of the cases.

        Raises ExportError when a gate is missed.
        """
        component = traced.component
        free_memory()
        self.report(f"{component.name}: comparing with its original")
        session = open_session(traced.exact)
        found = _run_all(session, traced.cases)
        component.check([*traced.cases[0].inputs.values(), *found[: len(component.outputs)]])
        self.judge(component.name, component.exact, [array for case in traced.cases for array in case.expected], found)
        if component.takes_batches:
            several = {name: np.repeat(array, PROVED_BATCH, axis=0) for name, array in traced.cases[0].inputs.items()}
            expected = [np.repeat(array, PROVED_BATCH, axis=0) for array in traced.cases[0].expected]
            self.judge(f"{component.name}, {PROVED_BATCH} at once", component.exact, expected, session.run(several))
        return session, found

    def judge(self, name: str, gates: Sequence[Gate], expected: Sequence[Array], found: Sequence[Array]) -> None:
        """Add the figures of one comparison to the proof, or raise ExportError."""
        self.proof.figures.extend(compare(name, gates, expected, found))

    def _stored(self, traced: Traced, found: Sequence[Array]) -> Session:
        """Write the graph with float32 arithmetic, its weights stored as asked."""
        component = traced.component
        model = ir.load(traced.exact)
        outside_nodes(model.graph)
        stored = self.folder / component.file
        save(store_half(model) if self.storage == "float16" else model, stored)
        release(model)
        free_memory()
        session = open_session(stored)
        self.judge(f"{component.name}, stored", component.stored, found, _run_all(session, traced.cases))
        return session

    def _halved(self, traced: Traced, found: Sequence[Array]) -> Session:
        """Write the graph with float16 arithmetic; prove it by its rounded twin, and that it loads."""
        component = traced.component
        free_memory()
        self.report(f"{component.name}: measuring how far its numbers reach")
        peaks = measure_peaks(traced.exact, [case.inputs for case in traced.cases], self.scratch)
        self._check_finite(component, peaks)
        model = ir.load(traced.exact)
        rules = Rules(outside_nodes(model.graph), peaks, upcast_attention=traced.upcast_attention)
        kept = keep(model.graph, rules)
        self.proof.kept.extend(_summary(component, kept))
        stored = self.folder / component.file
        save(to_half(model, {one.node for one in kept}), stored)
        free_memory()
        self.report(f"{component.name}: comparing float16 with float32")
        twin = self.scratch / f"rounded_{component.file}"
        save(rounded(model), twin)
        release(model)
        free_memory()
        self._check_loads(traced, stored)
        free_memory()
        session = open_in_order(twin)
        self.judge(f"{component.name}, float16", component.stored, found, _run_all(session, traced.cases))
        return session

    def _check_finite(self, component: Component, peaks: Mapping[str, float]) -> None:
        endless = [name for name, peak in peaks.items() if not np.isfinite(peak)]
        if endless:
            raise ExportError(f"{component.name}: {endless[0]} is NaN or infinite; expected finite numbers throughout")

    def _check_loads(self, traced: Traced, stored: Path) -> None:
        """Run the float16 graph itself once: ONNX Runtime's CPU provider takes it, widening as it goes."""
        found = open_session(stored).run(traced.cases[0].inputs)
        expected = traced.cases[0].expected
        self.judge(f"{traced.component.name}, float16 on this CPU", traced.component.stored, expected, found)

    def _eight_bits(self, traced: Traced, found: Sequence[Array]) -> Session | None:
        """Write the graph with 8-bit matrix products if that is faster and passes the same gates; else say why not."""
        component = traced.component
        self.report(f"{component.name}: trying int8")
        stored = self.folder / component.file
        int8.quantise(traced.exact, stored)
        free_memory()
        session = open_session(stored)
        verdict = int8.compare_with(component, traced.cases[0].inputs, open_session(traced.exact), session)
        try:
            figures = compare(f"{component.name}, int8", component.stored, found, _run_all(session, traced.cases))
        except ExportError as error:
            verdict = replace(verdict, faster=False, why=f"{verdict.why}; {error}")
            figures = []
        arithmetic = "int8" if verdict.faster else "float32"
        self.proof.choices.append(Choice(component.name, arithmetic, verdict.why))
        self.report(f"{component.name}: {arithmetic}, for int8 {verdict.why}")
        if not verdict.faster:
            for file in stored.parent.glob(f"{stored.name}*"):
                file.unlink()
            return None
        self.proof.figures.extend(figures)
        return session


def free_memory() -> None:
    """Give memory that is not needed any more back to the system; glibc keeps it otherwise."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def example(component: Component, case: Case) -> dict[str, torch.Tensor]:
    """Return the inputs to trace on; an open batch axis is doubled, since torch would fix a single one."""
    times = 2 if component.takes_batches else 1
    arrays = {name: np.repeat(array, times, axis=0) for name, array in case.inputs.items()}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _upcasts(module: nn.Module) -> bool:
    return any(isinstance(part, Attention) and part.upcast_attention for part in module.modules())


def _summary(component: Component, kept: Sequence[Kept]) -> list[KeptOperators]:
    counts = Counter(one.why for one in kept)
    kinds = {why: dict.fromkeys(one.operator for one in kept if one.why == why) for why in counts}
    return [KeptOperators(component.name, ", ".join(kinds[why]), count, why) for why, count in counts.items()]


def _run_all(session: Session, cases: Sequence[Case]) -> list[Array]:
    return [array for case in cases for array in session.run(case.inputs)]
