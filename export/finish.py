"""The way of one component from its trace into the bundle; each step happens in one place.

    module ── trace ──► float32 graph ── prove_exact ──► store, per arithmetic ──► graph in the bundle ── prove_stored

Tracing (`clavilux.export.graphs.convert`) needs the torch model, what is here does not: only one copy of the weights is
in memory at a time.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from clavilux.export.graphs import float16, float32, int8
from clavilux.export.graphs.convert import Traced
from clavilux.export.options import Options, Progress
from clavilux.export.parity.prove import prove_exact, prove_float16, prove_stored
from clavilux.export.proof import Proof
from clavilux.runtime.bundle.manifest import ArithmeticChoice
from clavilux.runtime.errors import ExportError
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.providers.session import Array, Session


def finish(traced: Traced, folder: Path, options: Options, proof: Proof, report: Progress) -> Session:
    """Prove the graph, write it to `folder` as the options ask, prove it again; all that is found goes into `proof`.

    Returns what stands for the bundle's graph in further comparisons: the graph itself, or, where it computes in
    float16, its rounded twin. Raises ExportError when a gate is missed.
    """
    name, stored = traced.component.name, folder / traced.component.file
    report(f"{name}: comparing with its original")
    found, figures = prove_exact(traced)
    proof.figures += figures
    if options.arithmetic == "float16":
        report(f"{name}: measuring how far its numbers reach")
        proof.kept += float16.store(traced, stored)
        report(f"{name}: comparing float16 with float32")
        session, figures = prove_float16(traced, found, stored)
    elif options.arithmetic == "int8" and (smaller := _in_int8(traced, found, stored, proof, report)):
        return smaller
    else:
        report(f"{name}: storing its weights in {options.storage}")
        float32.store(traced, stored, options.storage)
        session, figures = prove_stored(traced, found, stored)
    proof.figures += figures
    return session


def _in_int8(traced: Traced, found: Sequence[Array], stored: Path, proof: Proof, report: Progress) -> Session | None:
    """Write the graph with 8-bit matrix products if that is faster and passes the same gates; else say why not.

    It is not tried where most of the work is another: in a decoder all weights but a few are convolutions'.
    """
    name = traced.component.name
    share = int8.share_of_products(traced.exact)
    if share < int8.MIN_SHARE:
        why = f"only {share:.0%} of its weights are in matrix products"
        proof.choices.append(ArithmeticChoice(name, "float32", why))
        report(f"{name}: float32, for {why}")
        return None
    report(f"{name}: trying int8")
    int8.store(traced, stored)
    verdict = int8.compare_with(
        traced.component, traced.cases[0].inputs, partial(open_session, traced.exact), partial(open_session, stored)
    )
    proved = None
    try:
        proved = prove_stored(traced, found, stored, "int8")
    except ExportError as error:
        verdict = replace(verdict, faster=False, why=f"{verdict.why}; {error}")
    arithmetic = "int8" if verdict.faster else "float32"
    proof.choices.append(ArithmeticChoice(name, arithmetic, verdict.why))
    report(f"{name}: {arithmetic}, for int8 {verdict.why}")
    if proved is None or not verdict.faster:
        int8.discard(stored)
        return None
    session, figures = proved
    proof.figures += figures
    return session
