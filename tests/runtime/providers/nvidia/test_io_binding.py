"""Persistent buffers, on the CPU provider with real ONNX Runtime values."""

import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from clavilux.runtime.errors import ProviderError
from clavilux.runtime.providers.nvidia.io_binding import BoundSession
from clavilux.runtime.providers.nvidia.stream import CudaStream
from tests.runtime.providers.nvidia.fake_card import Card
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime, GpuSession, inputs, install, write_graph


def bound(folder: Path, *, batch: int | str = 1, captures: bool = False) -> tuple[BoundSession, GpuSession]:
    real = onnxruntime.InferenceSession(write_graph(folder, batch=batch), providers=["CPUExecutionProvider"])
    session = GpuSession(real, "CPUExecutionProvider", {})
    return BoundSession(session, "denoiser.onnx", "cpu", captures=captures), session


def expected(batch: int, value: float) -> np.ndarray:
    return np.full((batch, 4), 2 * value, np.float32) + np.arange(4, dtype=np.float32)


def test_every_run_gives_the_results_of_its_own_inputs(tmp_path: Path) -> None:
    session, _ = bound(tmp_path)
    for value in (1.0, 2.0, 3.0):
        (result,) = session.run(inputs(value=value))
        np.testing.assert_array_equal(result, expected(1, value))


def test_a_result_is_the_caller_s_own_and_later_runs_leave_it_alone(tmp_path: Path) -> None:
    session, _ = bound(tmp_path)
    results = [session.run(inputs(value=value))[0] for value in (1.0, 2.0, 3.0)]
    np.testing.assert_array_equal(results[1], expected(1, 2.0))
    assert results[1].flags.writeable


def test_it_names_the_provider_of_its_session(tmp_path: Path) -> None:
    assert bound(tmp_path)[0].provider == "CPUExecutionProvider"


def test_buffers_stay_where_they_are_while_the_shapes_stay(tmp_path: Path) -> None:
    session, _ = bound(tmp_path)
    addresses: list[set[int]] = []
    for value in (1.0, 2.0, 3.0):
        session.run(inputs(value=value))
        run = session._bound
        assert run is not None
        addresses.append({buffer.data_ptr() for buffer in [*run.inputs.values(), *run._binding.get_outputs()]})
    assert addresses[1] == addresses[2]


def test_shapes_may_change_and_change_back(tmp_path: Path) -> None:
    session, _ = bound(tmp_path, batch="batch")
    for batch, value in ((1, 1.0), (1, 2.0), (3, 3.0), (3, 4.0), (1, 5.0)):
        (result,) = session.run(inputs(batch, value))
        np.testing.assert_array_equal(result, expected(batch, value))


def test_a_cuda_graph_is_captured_once_the_shapes_have_settled(tmp_path: Path) -> None:
    session, fake = bound(tmp_path, batch="batch", captures=True)
    for batch in (1, 1, 1, 2, 2):
        session.run(inputs(batch))
    assert fake.runs == ["-1", "1", "1", "-1", "2"]


def test_a_cuda_graph_is_given_up_with_the_buffers_that_it_reads(tmp_path: Path) -> None:
    session, fake = bound(tmp_path, batch="batch", captures=True)
    for batch in (1, 1, 2, 3, 3, 1):
        session.run(inputs(batch))
    assert fake.released == [1, 3]


def test_without_capturing_no_run_asks_for_a_cuda_graph(tmp_path: Path) -> None:
    session, fake = bound(tmp_path)
    session.run(inputs())
    session.run(inputs())
    assert fake.runs == [None, None]


def test_arrays_need_not_be_contiguous(tmp_path: Path) -> None:
    session, _ = bound(tmp_path, batch="batch")
    sample = np.arange(8, dtype=np.float32).reshape(4, 2).T
    (result,) = session.run({"sample": sample, "bias": np.zeros(4, np.float32)})
    np.testing.assert_array_equal(result, 2 * sample)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": np.zeros((1, 4))}, r"sample is float64 \[1, 4\], expected float32 \[1, 4\]"),
        ({"sample": np.zeros((1, 5), np.float32)}, r"sample is float32 \[1, 5\], expected float32 \[1, 4\]"),
        ({"sample": np.zeros(4, np.float32)}, r"sample is float32 \[4\], expected"),
        ({"more": np.zeros(4, np.float32)}, r"on \['bias', 'more', 'sample'\]; it takes \['bias', 'sample'\]"),
    ],
)
def test_arrays_that_the_graph_does_not_take_are_named(
    tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    session, _ = bound(tmp_path)
    with pytest.raises(ProviderError, match=rf"denoiser\.onnx does not run.*{message}"):
        session.run(inputs() | change)


def test_a_provider_that_fails_is_one_line_and_the_next_run_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, fake = bound(tmp_path)
    session.run(inputs())

    def fail(*arguments: Any) -> None:
        raise RuntimeError("CUDA error 700\nat some place")

    with monkeypatch.context() as patch:
        patch.setattr(fake, "run_with_iobinding", fail)
        with pytest.raises(ProviderError, match=r"^denoiser\.onnx does not run: CUDA error 700$"):
            session.run(inputs())
    (result,) = session.run(inputs(value=2.0))
    np.testing.assert_array_equal(result, expected(1, 2.0))


def test_a_graph_with_a_type_that_arrays_cannot_have_is_refused(tmp_path: Path) -> None:
    _, fake = bound(tmp_path)

    class Strings(GpuSession):
        def get_inputs(self) -> list[Any]:
            return [type("Node", (), {"name": "words", "type": "tensor(string)", "shape": [1]})()]

    with pytest.raises(ProviderError, match=r"denoiser\.onnx takes words as tensor\(string\)"):
        BoundSession(Strings(fake.real, "CPUExecutionProvider", {}), "denoiser.onnx", "cpu", captures=False)


def on_card(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, batch: int | str = 1
) -> tuple[BoundSession, GpuSession, CudaStream, Card]:
    runtime = install(monkeypatch, FakeRuntime())
    stream = CudaStream(lambda name: runtime.card)
    real = onnxruntime.InferenceSession(write_graph(folder, batch=batch), providers=["CPUExecutionProvider"])
    session = GpuSession(real, "CUDAExecutionProvider", {}, runtime.card, stream.handle)
    return BoundSession(session, "denoiser.onnx", "cuda", captures=True, stream=stream), session, stream, runtime.card


def test_host_arrays_go_to_a_card_and_come_back_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, fake, _, _ = on_card(tmp_path, monkeypatch, batch="batch")
    for batch, value in ((1, 1.0), (1, 2.0), (1, 3.0), (3, 4.0), (1, 5.0)):
        (result,) = session.run(inputs(batch, value))
        np.testing.assert_array_equal(result, expected(batch, value))
    assert fake.runs == ["-1", "1", "1", "-1", "-1"]


def test_a_queued_run_does_not_wait_and_is_captured_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, fake, _, card = on_card(tmp_path, monkeypatch)
    run = session.bind({"sample": (1, 4), "bias": (4,)})
    for _ in range(3):
        run.queue()
    assert (fake.runs, card.waits) == (["-1", "1", "1"], 0)


def test_a_result_can_be_the_input_of_the_next_run_without_leaving_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _, stream, card = on_card(tmp_path, monkeypatch)
    first = session.bind({"sample": (1, 4), "bias": (4,)})
    staged = [stream.pinned((1, 4), np.float32), stream.pinned((4,), np.float32)]
    staged[0].array[...], staged[1].array[...] = 1.0, np.arange(4)
    for pinned, value in zip(staged, first.inputs.values(), strict=True):
        stream.copy(value.data_ptr(), pinned.address, pinned.array.nbytes)
    first.queue()
    second = session.bind({"sample": (1, 4), "bias": (4,)}, {"sample": first.results[0], "bias": first.inputs["bias"]})
    second.queue()
    stream.copy(staged[0].address, second.results[0].data_ptr(), staged[0].array.nbytes)
    stream.wait()
    np.testing.assert_array_equal(staged[0].array, 2 * expected(1, 1.0) + np.arange(4))
    assert card.waits == 1


def test_a_shape_that_the_graph_does_not_take_is_named_before_anything_is_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _, _, card = on_card(tmp_path, monkeypatch)
    with pytest.raises(ProviderError, match=r"sample is float32 \[1, 5\], expected float32 \[1, 4\]"):
        session.bind({"sample": (1, 5), "bias": (4,)})
    assert card.allocations == 0


def test_a_queued_run_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, fake, _, _ = on_card(tmp_path, monkeypatch)
    run = session.bind({"sample": (1, 4), "bias": (4,)})

    def fail(*arguments: Any) -> None:
        raise RuntimeError("CUDA error 700\nat some place")

    monkeypatch.setattr(fake, "run_with_iobinding", fail)
    with pytest.raises(ProviderError, match=r"^denoiser\.onnx does not run: CUDA error 700$"):
        run.queue()


def test_run_options_are_made_once_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, fake, _, _ = on_card(tmp_path, monkeypatch)
    run = session.bind({"sample": (1, 4), "bias": (4,)})
    for _ in range(5):
        run.queue()
    assert len(set(map(id, fake.options))) == 2


def test_results_are_those_of_the_run_where_a_provider_does_not_wait_for_its_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, fake, _, _ = on_card(tmp_path, monkeypatch)
    fake.runner.heedless = True
    for value in (1.0, 2.0, 3.0):
        np.testing.assert_array_equal(session.run(inputs(value=value))[0], expected(1, value))


@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_where_a_session_has_one_cuda_graph_each_run_has_a_session_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skips: bool, frozen: bool
) -> None:
    """However the runs take turns: TensorRT's provider would replay the first one's graph for all of them."""
    session, loads, _ = with_one_graph(tmp_path, monkeypatch)
    shapes = {"sample": (1, 4), "bias": (4,)}
    runs = [session.bind(shapes) for _ in range(3)]
    for loaded in loads:
        loaded.skips = skips
    turns = [0, 0, 0, 1, 1, 1, 2, 2, 2] if frozen else [0, 1, 2, 0, 1, 2, 0, 1, 2]
    for value, turn in enumerate(turns, start=1):
        np.testing.assert_array_equal(runs[turn].fetch(inputs(value=value))[0], expected(1, value))
        np.testing.assert_array_equal(session.run(inputs(value=-value))[0], expected(1, -value))
    assert len(loads) == 4


def test_a_session_of_one_cuda_graph_is_let_go_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, loads, _ = with_one_graph(tmp_path, monkeypatch)
    run = session.bind({"sample": (1, 4), "bias": (4,)})
    for _ in range(2):
        run.fetch(inputs())
    first = weakref.ref(loads.pop())
    run.release()
    run = session.bind(run.shapes)
    gc.collect()
    assert first() is None
    np.testing.assert_array_equal(run.fetch(inputs(value=3.0))[0], expected(1, 3.0))


def test_a_capture_that_fails_plays_on_without_a_graph_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session, fake, _, _ = on_card(tmp_path, monkeypatch, batch="batch")
    fake.uncapturable = "CUDA error 901: operation failed due to a previous error during capture\nat some place"
    for batch, value in ((1, 1.0), (1, 2.0), (1, 3.0), (2, 4.0), (2, 5.0), (2, 6.0)):
        np.testing.assert_array_equal(session.run(inputs(batch, value))[0], expected(batch, value))
    assert fake.runs == ["-1", "1", "-1", "-1", None, None, None]
    words = "CUDA error 901: operation failed due to a previous error during capture"
    assert caplog.messages == [f"denoiser.onnx runs without a CUDA graph from now on: {words}"]


def test_queued_runs_play_on_when_their_capture_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, fake, stream, _ = on_card(tmp_path, monkeypatch)
    fake.uncapturable = "no"
    run = session.bind({"sample": (1, 4), "bias": (4,)})
    staged = [stream.pinned((1, 4), np.float32), stream.pinned((4,), np.float32)]
    for value in (1.0, 2.0, 3.0):
        staged[0].array[...], staged[1].array[...] = value, np.arange(4)
        for pinned, buffer in zip(staged, run.inputs.values(), strict=True):
            stream.copy(buffer.data_ptr(), pinned.address, pinned.array.nbytes)
        run.queue()
        stream.copy(staged[0].address, run.results[0].data_ptr(), staged[0].array.nbytes)
        stream.wait()
        np.testing.assert_array_equal(staged[0].array, expected(1, value))


def test_a_capture_that_fails_on_a_session_of_one_graph_gives_its_runs_a_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session, loads, plain = with_one_graph(tmp_path, monkeypatch)
    loads[0].uncapturable = "no"
    runs = [session, session.bind({"sample": (1, 4), "bias": (4,)})]
    for value in range(1, 5):
        np.testing.assert_array_equal(runs[0].run(inputs(value=value))[0], expected(1, value))
        np.testing.assert_array_equal(runs[1].fetch(inputs(value=-value))[0], expected(1, -value))
    assert plain == [False, False, True] or plain == [False, True]
    assert caplog.messages == ["denoiser.onnx runs without a CUDA graph from now on: no"]


def test_once_captures_are_given_up_all_runs_share_the_plain_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, loads, plain = with_one_graph(tmp_path, monkeypatch)
    session.bind({"sample": (1, 4), "bias": (4,)})
    session.give_up_capture(RuntimeError("no"))
    runs = [session.bind({"sample": (1, 4), "bias": (4,)}) for _ in range(3)]
    for value, run in enumerate(runs, start=1):
        np.testing.assert_array_equal(run.fetch(inputs(value=value))[0], expected(1, value))
    assert plain == [False, True]
    assert loads[1].runs == [None] * 3


def test_a_run_that_fails_without_a_graph_as_well_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, fake, _, _ = on_card(tmp_path, monkeypatch)
    run = session.bind({"sample": (1, 4), "bias": (4,)})
    run.queue()

    def fail(*arguments: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(fake, "run_with_iobinding", fail)
    with pytest.raises(ProviderError, match=r"^denoiser\.onnx does not run: out of memory$"):
        run.queue()


def test_while_one_thread_captures_another_may_allocate_and_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As another engine of the process does, on a stream of its own."""
    session, fake, _, card = on_card(tmp_path, monkeypatch)
    other = CudaStream(lambda name: card)

    def work() -> None:
        pinned = other.pinned((8,), np.uint8)
        other.copy(pinned.address, pinned.address, 8)
        other.wait()

    fake.runner.while_capturing = lambda: in_a_thread(work)
    for value in (1.0, 2.0, 3.0):
        np.testing.assert_array_equal(session.run(inputs(value=value))[0], expected(1, value))
    assert (fake.runs, caplog.messages, card.pinned) == (["-1", "1", "1"], [], {})


def in_a_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def with_one_graph(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[BoundSession, list[GpuSession], list[bool]]:
    """Return a session as TensorRT's provider makes them, all that were loaded for it, and which of those are plain."""
    runtime = install(monkeypatch, FakeRuntime())
    stream = CudaStream(lambda name: runtime.card)
    path = write_graph(folder)
    loads: list[GpuSession] = []
    plain: list[bool] = []

    def load(captured: bool) -> GpuSession:
        real = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        name = "TensorrtExecutionProvider"
        loads.append(GpuSession(real, name, {}, runtime.card, stream.handle, one_graph=captured))
        plain.append(not captured)
        return loads[-1]

    session = BoundSession(load(True), path.name, "cuda", captures=True, stream=stream, reload=load)
    return session, loads, plain
