"""Operations counted from graphs, and how measured stages stand beside the floor that these allow."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.ceiling import (
    FACTOR,
    WEIGHTS,
    Ceiling,
    fastest,
    measure_ceiling,
    product_graph,
    reached,
    works,
)
from clavilux.benchmarks.measurements.operations import Work, count, multiply_adds
from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.placement.devices import open_session, runnable


def test_products_are_counted_by_what_they_sum_over(tmp_path: Path):
    work = count(product_graph(tmp_path / "products.onnx", 10, 20, 3), {})
    assert work.gigaflops == pytest.approx(3 * 2 * 10 * 20 * 20 / 1e9)
    assert work.megabytes == pytest.approx((3 * 20 * 20 + 10 * 20 + 2) * 4 / 1e6)
    assert work.uncounted == 0


@pytest.mark.parametrize(
    ("kind", "first", "second", "output", "expected"),
    [
        ("MatMul", (2, 8, 4, 16), (2, 8, 16, 4), (2, 8, 4, 4), 2 * 8 * 4 * 4 * 16),
        ("Gemm", (5, 7), (7, 3), (5, 3), 5 * 7 * 3),
        ("Conv", (1, 6, 9, 9), (12, 6, 3, 3), (1, 12, 7, 7), 12 * 49 * 6 * 9),
        ("Conv", (1, 6, 9, 9), (6, 1, 3, 3), (1, 6, 7, 7), 6 * 49 * 9),  # depthwise
        ("ConvTranspose", (1, 4, 5, 5), (4, 2, 2, 2), (1, 2, 10, 10), 4 * 25 * 2 * 4),
    ],
)
def test_multiply_adds_of_each_product(
    kind: str, first: tuple[int, ...], second: tuple[int, ...], output: tuple[int, ...], expected: int
):
    assert multiply_adds(kind, [first, second], output) == expected


def test_a_product_of_unknown_shape_is_named_as_uncounted():
    assert multiply_adds("MatMul", [None, (3, 4)], (2, 4)) is None


def test_open_axes_take_the_shapes_that_are_given(tmp_path: Path):
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "frames", 4])
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 8], [0.0] * 32)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "frames", 8])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "open", [given], [result], [weight])
    onnx.save(helper.make_model(graph), tmp_path / "open.onnx")
    assert count(tmp_path / "open.onnx", {"x": (1, 10, 4)}).gigaflops == pytest.approx(2 * 10 * 4 * 8 / 1e9)
    assert count(tmp_path / "open.onnx", {}).uncounted == 1


def test_what_is_no_graph_is_one_line(tmp_path: Path):
    (tmp_path / "no.onnx").write_bytes(b"no graph at all")
    with pytest.raises(BenchError, match=r"no\.onnx is no ONNX graph"):
        count(tmp_path / "no.onnx", {})


def test_every_product_of_a_bundle_is_counted(tiny_bundle: Path):
    once, four = (works(Bundle.open(tiny_bundle), 64, 64, steps) for steps in (1, 4))
    assert all(work.uncounted == 0 and work.gigaflops > 0 for work in once.values())
    assert four["denoise"].gigaflops == pytest.approx(4 * once["denoise"].gigaflops)
    assert four["decode"] == once["decode"]


def test_larger_pictures_take_more(flexible_bundle: Path):
    bundle = Bundle.open(flexible_bundle)
    small, large = (works(bundle, side, side, 1)["decode"].gigaflops for side in (64, 128))
    assert large == pytest.approx(4 * small, rel=0.05)


def test_the_floor_is_the_slower_of_arithmetic_and_memory():
    ceiling = Ceiling(100.0, 10.0, "float32")
    arithmetic = reached("decode", Work(10.0, 1.0, 0), 200.0, ceiling)
    memory = reached("denoise", Work(0.1, 1000.0, 0), 200.0, ceiling)
    assert (arithmetic.floor_ms, arithmetic.bound, arithmetic.fraction) == (100.0, "arithmetic", 0.5)
    assert (memory.floor_ms, memory.bound, memory.fraction) == (100.0, "memory", 0.5)


def test_the_fastest_run_counts_and_the_first_does_not():
    times = iter([0.0, 5.0, 5.0, 7.0, 7.0, 10.0])
    calls: list[int] = []
    assert fastest(lambda: calls.append(1), 3, lambda: next(times)) == 2.0
    assert len(calls) == 4


def test_chains_of_products_neither_vanish_nor_explode(tmp_path: Path):
    session = open_session(product_graph(tmp_path / "products.onnx", 4, 64, 8), threads=1)
    (result,) = session.run({FACTOR: np.ones((1, 1), np.float32)})
    assert 0.1 < result.item() < 100


def test_more_products_than_weights_go_round(tmp_path: Path):
    work = count(product_graph(tmp_path / "products.onnx", 1, 16, WEIGHTS + 3), {})
    assert work.gigaflops == pytest.approx(2 * (WEIGHTS + 3) * 16 * 16 / 1e9)
    assert work.megabytes == pytest.approx((WEIGHTS * 16 * 16 + 16 + 2) * 4 / 1e6)


@pytest.mark.parametrize(("device", "arithmetic"), [("cpu", "float32"), ("openvino:CPU:BF16", "bfloat16")])
def test_a_machine_has_a_ceiling(monkeypatch: pytest.MonkeyPatch, device: str, arithmetic: str):
    if device not in runnable():
        pytest.skip(f"{device} does not run here")
    monkeypatch.setattr("clavilux.benchmarks.measurements.ceiling.SIDES", (16,))
    monkeypatch.setattr("clavilux.benchmarks.measurements.ceiling.COPIED", 1024)
    found = measure_ceiling(device, 1)
    assert found.arithmetic == arithmetic
    assert found.gigaflops > 0


def test_a_card_is_measured_by_what_it_reads(monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[int, int, int]] = []

    def best(rows: int, side: int, products: int, *_: object) -> float:
        asked.append((rows, side, products))
        return 1e-3 if products == 8 else 1e-2

    monkeypatch.setattr("clavilux.benchmarks.measurements.ceiling._best", best)
    found = measure_ceiling("cuda", 0, "float16")
    assert asked[-2:] == [(1, 4096, 8), (1, 4096, 64)]
    assert found.gigabytes == pytest.approx(8 * 4096**2 * 2 / 1e-3 / 1e9, rel=0.001)
    assert found.gigaflops == pytest.approx(2 * 8 * 4096**3 / 1e-3 / 1e9, rel=0.001)
