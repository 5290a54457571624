"""Proving one component: its float32 graph against torch, then what the bundle holds against that graph.

Nothing is decided here: every function compares, and returns figures or raises ExportError for the first missed gate.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from clavilux.export.graphs.convert import Case, Traced, free_memory, release, save
from clavilux.export.graphs.float16 import rounded
from clavilux.export.graphs.value_ranges import open_in_order
from clavilux.export.parity.figures import compare
from clavilux.runtime.bundle.manifest import ParityFigure
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.providers.session import Array, Session

PROVED_BATCH = 3  # an odd number, which no trace on two has fixed


def prove_exact(traced: Traced) -> tuple[list[Array], list[ParityFigure]]:
    """Compare the float32 graph with its original; return what it makes of the cases, and the figures.

    Raises ExportError when a gate is missed, or an array is not as the component declares it.
    """
    component, (first, *_) = traced.component, traced.cases
    free_memory()
    session = open_session(traced.exact)
    found = _run_all(session, traced.cases)
    component.check([*first.inputs.values(), *found[: len(component.outputs)]])
    expected = [array for case in traced.cases for array in case.expected]
    figures = compare(component.name, component.exact, expected, found)
    if component.takes_batches:
        several = {name: np.repeat(array, PROVED_BATCH, axis=0) for name, array in first.inputs.items()}
        expected = [np.repeat(array, PROVED_BATCH, axis=0) for array in first.expected]
        figures += compare(f"{component.name}, {PROVED_BATCH} at once", component.exact, expected, session.run(several))
    return found, figures


def prove_stored(
    traced: Traced, found: Sequence[Array], stored: Path, kind: str = "stored"
) -> tuple[Session, list[ParityFigure]]:
    """Compare the graph at `stored` with the float32 graph, which gave `found`; return it opened, and the figures.

    `kind` is said of it in the figures. Raises ExportError when a gate is missed.
    """
    component, session = traced.component, open_session(stored)
    return session, compare(f"{component.name}, {kind}", component.stored, found, _run_all(session, traced.cases))


def prove_float16(traced: Traced, found: Sequence[Array], stored: Path) -> tuple[Session, list[ParityFigure]]:
    """Compare the float16 graph at `stored` with the float32 graph by its rounded twin, and that it loads here.

    Returns the twin, which stands for the graph in further comparisons, and the figures. Raises ExportError when a
    gate is missed.
    """
    component, (first, *_) = traced.component, traced.cases
    twin = traced.exact.with_name(f"rounded_{component.file}")
    model = rounded(ir.load(stored))
    save(model, twin)
    release(model)
    free_memory()
    here = open_session(stored).run(first.inputs)  # ONNX Runtime's CPU provider takes it, widening as it goes
    figures = compare(f"{component.name}, float16 on this CPU", component.stored, first.expected, here)
    free_memory()
    session = open_in_order(twin)
    figures += compare(f"{component.name}, float16", component.stored, found, _run_all(session, traced.cases))
    return session, figures


def _run_all(session: Session, cases: Sequence[Case]) -> list[Array]:
    return [array for case in cases for array in session.run(case.inputs)]
