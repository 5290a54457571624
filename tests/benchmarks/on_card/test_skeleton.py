"""Skeletons: without its weights a bundle is small, and filled again it opens, plays and costs the same."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.on_card.skeleton import HUGE, SMALL, fill, main, strip
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.loading import open_instrument

WEIGHTS = st.lists(
    st.tuples(
        st.sampled_from(["float32", "float16"]),
        st.integers(1, 9000),  # values
        st.floats(-2, 2),  # mean
        st.floats(0, 3),  # deviation
    ),
    max_size=4,
)


def write(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Write a bundle that is no more than a manifest and a graph which gives its own arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    outputs = [helper.make_tensor_value_info(f"{one.name}_out", one.data_type, one.dims) for one in tensors]
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in arrays]
    graph = helper.make_graph(nodes, "given", [], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "graph.onnx").write_bytes(model.SerializeToString())
    (folder / "bundle.json").write_text('{"files": {}}')
    return folder


def read(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a graph, as a session computes them."""
    session = onnxruntime.InferenceSession(folder / "graph.onnx", providers=["CPUExecutionProvider"])
    names = [one.name.removesuffix("_out") for one in session.get_outputs()]
    return dict(zip(names, session.run(None, {}), strict=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WEIGHTS)
def test_what_is_filled_has_the_types_sizes_and_spreads_of_before(tmp_path: Path, weights: list[tuple]) -> None:
    random = np.random.default_rng(0)
    arrays = {
        f"w{i}": (random.standard_normal(count) * deviation + mean).astype(kind)
        for i, (kind, count, mean, deviation) in enumerate(weights)
    }
    out = tmp_path / "out"
    strip(write(tmp_path / "bundle", arrays), out)
    fill(out)
    if not arrays:
        return
    for name, found in read(out).items():
        before = arrays[name]
        assert (found.dtype, found.shape) == (before.dtype, before.shape)
        if before.nbytes < SMALL:
            np.testing.assert_array_equal(found, before)
            continue
        mean, deviation = float(before.astype(float).mean()), float(before.astype(float).std())
        near = 6 * max(deviation, 1e-3) / before.size**0.5  # six deviations of a mean of so many
        assert float(found.astype(float).mean()) == pytest.approx(mean, abs=near + 1e-3)
        assert float(found.astype(float).std()) == pytest.approx(deviation, abs=near + 1e-3)


@pytest.mark.parametrize(
    "kept",
    [
        np.arange(SMALL, dtype=np.int64),
        np.full(SMALL, -2 * HUGE, np.float32),
        np.full(SMALL, -np.inf, np.float16),
        np.full(SMALL, np.finfo(np.float16).min, np.float16),
        np.full(SMALL, np.nan, np.float32),
        np.ones(SMALL // 4 - 1, np.float32),
    ],
)
def test_what_is_no_weight_stays_as_it_is(tmp_path: Path, kept: np.ndarray) -> None:
    strip(write(tmp_path / "bundle", {"kept": kept}), tmp_path / "out")
    fill(tmp_path / "out")
    np.testing.assert_array_equal(read(tmp_path / "out")["kept"], kept)


def test_a_skeleton_is_small(tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle", {"w": np.random.default_rng(0).standard_normal(10**6, np.float32)})
    strip(bundle, tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) < 4096
    assert onnx.load(tmp_path / "out" / "graph.onnx", load_external_data=False).graph.initializer[0].data_location == (
        TensorProto.EXTERNAL
    )


def test_the_same_seed_fills_in_the_same_numbers(tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle", {"w": np.random.default_rng(0).standard_normal(5000, np.float32)})
    filled = []
    for seed in (0, 0, 1):
        strip(bundle, tmp_path / "out")
        fill(tmp_path / "out", seed)
        filled.append(read(tmp_path / "out")["w"])
    np.testing.assert_array_equal(filled[0], filled[1])
    assert not np.array_equal(filled[0], filled[2])


def test_a_whole_bundle_comes_back_and_plays(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "skeleton"
    assert main(["strip", str(tiny_bundle), str(out)]) == 0
    assert not list(out.glob("*.data"))
    assert main(["fill", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["gib"] >= 0
    assert Bundle.open(out).files.keys() >= Bundle.open(tiny_bundle).files.keys()
    instrument = open_instrument(out, threads=1)
    frame = instrument.step(0.0, instrument.defaults)
    assert frame.pixels.shape == (64, 64, 3)


def test_what_is_no_bundle_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strip", str(tmp_path), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"skeleton: {tmp_path} has no bundle.json; expected a bundle\n"


def test_what_is_no_skeleton_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"is no skeleton .*; make one with `strip`"):
        fill(tmp_path)
