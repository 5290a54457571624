"""Example inputs are what the graphs take, whatever a bundle is guided by."""

from pathlib import Path

import numpy as np
import pytest

from clavilux.benchmarks.measurements.example_inputs import example
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import AUDIO_ENCODER, DECODER, DENOISER
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.placement.graph_shapes import graph_file

GRAPHS = (AUDIO_ENCODER, DENOISER, DECODER)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("kind", ["tiny_bundle", "flexible_bundle"])  # without guidance, and with the classic one
def test_a_graph_runs_on_its_example(kind: str, name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(kind)
    bundle = Bundle.open(folder)
    outputs = open_session(graph_file(bundle, name), threads=1).run(example(bundle, name))
    assert all(np.isfinite(one.astype(np.float64)).all() for one in outputs)


@pytest.mark.parametrize("name", GRAPHS)
def test_seeds_give_other_inputs_and_the_same_seed_the_same(tiny_bundle: Path, name: str) -> None:
    bundle = Bundle.open(tiny_bundle)
    first, again, other = (example(bundle, name, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not any(np.array_equal(first[key], other[key]) for key in first if key != "coefficients")
