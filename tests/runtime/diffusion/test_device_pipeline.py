"""Pictures whose latents never leave the card: a fake one, which is as unforgiving as a real one.

The pipeline on the host, with the same graphs on the CPU, says what every picture should be, bit for bit.
"""

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from clavilux.runtime.bundle.manifest import GuidanceSpec
from clavilux.runtime.diffusion.choose import open_beginning
from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser
from clavilux.runtime.diffusion.device_pipeline import KEPT, DevicePipeline
from clavilux.runtime.diffusion.guider import Guider
from clavilux.runtime.diffusion.host_pipeline import HostPipeline
from clavilux.runtime.diffusion.motion import Motion
from clavilux.runtime.diffusion.noise import draw
from clavilux.runtime.diffusion.pipeline import PictureRequest
from clavilux.runtime.diffusion.schedule import Schedule
from clavilux.runtime.errors import ProviderError
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.providers.nvidia import cuda
from clavilux.runtime.providers.nvidia.io_binding import BoundSession
from tests.runtime.diffusion.toy_graphs import TOKENS, WIDTH, schedule, write_decoder, write_denoiser
from tests.runtime.providers.nvidia.fake_card import Card
from tests.runtime.providers.nvidia.fake_gpu import FakeRuntime, GpuSession, install

GPU = ("CUDAExecutionProvider", "CPUExecutionProvider")
SHAPE = (1, 4, 4, 4)
WIDE = (1, 4, 4, 8)
MOTIONS = [Motion(zoom=1.1, angle=0.2), None, Motion(x=0.25, y=-0.1), Motion(current=0.1, time=2.0), Motion()]
LEADS = {"none": None, "classic": "negative", "self": "anchor", "once": "anchor"}
NEGATIVE = np.full((TOKENS, WIDTH), -0.5, np.float32)


@pytest.fixture(autouse=True)
def little_garbage() -> Iterator[None]:
    """Leave what other tests hold out of every collection: there may be millions of it."""
    gc.freeze()
    yield
    gc.unfreeze()


def asked(index: int = 0, *, shape: tuple[int, ...] = SHAPE, **changes: object) -> PictureRequest:
    """Return what picture `index` is made of: each has a prompt and noise of its own."""
    prompt = np.random.default_rng(index).normal(1, 0.2, (1, TOKENS, WIDTH)).astype(np.float32)
    return replace(PictureRequest(prompt, lambda step: draw(shape, 3, index, step), shape), **changes)


def on_card(
    folder: Path, lead: str | None = None, *, latents: int = TensorProto.FLOAT, gives: int = TensorProto.UINT8
) -> tuple[BoundSession, BoundSession]:
    """Return denoiser and decoder on the installed fake's card."""
    stream = cuda.shared_stream()  # the installed fake's
    sessions = []
    for path in (write_denoiser(folder, lead, latents=latents), write_decoder(folder, gives=gives)):
        real = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        session = GpuSession(real, GPU[0], {}, stream._driver, stream.handle)
        sessions.append(BoundSession(session, path.name, "cuda", captures=True, stream=stream))
    return sessions[0], sessions[1]


def device_pipeline(
    denoiser: BoundSession, decoder: BoundSession, plan: Schedule, guider: Guider | None = None
) -> DevicePipeline:
    return DevicePipeline(Denoiser(denoiser, plan, guider), *open_beginning(denoiser), denoiser, decoder)


def guider(kind: str) -> Guider | None:
    return None if kind == "none" else Guider(GuidanceSpec(kind, 1.5, 0.5), NEGATIVE)


class Pair:
    """The same pipeline twice: on the card, and on the host."""

    def __init__(self, folder: Path, runtime: FakeRuntime, kind: str = "none", sampler: str = "euler") -> None:
        self.card: Card = runtime.card
        self.sessions = on_card(folder, LEADS[kind])
        self.device = device_pipeline(*self.sessions, schedule(sampler), guider(kind))
        plain = [open_session(folder / name) for name in ("denoiser.onnx", "decoder.onnx")]
        self.host = HostPipeline(Denoiser(plain[0], schedule(sampler), guider(kind)), Decoder(plain[1]))

    def run(self, one: PictureRequest) -> np.ndarray:
        """Make it twice, expect the same picture of the same latents, and return it."""
        found, expected = self.device.run(one), self.host.run(one)
        np.testing.assert_array_equal(self.device.latents(), self.host.latents())
        np.testing.assert_array_equal(found, expected)
        assert expected.std() > 0
        return found

    @property
    def runs(self) -> tuple[list[str | None], ...]:
        return tuple(session.session.runs for session in self.sessions)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    return install(monkeypatch, FakeRuntime())


@pytest.fixture
def pair(tmp_path: Path, runtime: FakeRuntime) -> Pair:
    return Pair(tmp_path, runtime)


@pytest.mark.parametrize("kind", list(LEADS))
@pytest.mark.parametrize("sampler", ["euler", "lcm"])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("feedback", [0.0, 0.6])
def test_pictures_and_latents_are_those_of_the_host(
    tmp_path: Path, runtime: FakeRuntime, kind: str, sampler: str, steps: int, feedback: float
) -> None:
    pair = Pair(tmp_path, runtime, kind, sampler)
    pictures = [pair.run(asked(index, steps=steps, feedback=feedback)) for index in range(4)]
    assert not np.array_equal(pictures[2], pictures[3])


@pytest.mark.parametrize("scale", [None, 1.0, 3.0])
def test_the_strength_of_the_guidance_goes_along(tmp_path: Path, runtime: FakeRuntime, scale: float | None) -> None:
    pair = Pair(tmp_path, runtime, "classic")
    pair.run(asked(0, scale=scale))


def test_steps_feedback_and_prompt_may_change_from_picture_to_picture(pair: Pair) -> None:
    for index, (steps, feedback) in enumerate([(1, 0.0), (3, 0.4), (2, 0.0), (1, 0.9), (3, 0.9)]):
        pair.run(asked(index, steps=steps, feedback=feedback))


@pytest.mark.parametrize("steps", [1, 3])
def test_the_host_waits_once_for_a_picture_however_many_steps_it_has(pair: Pair, steps: int) -> None:
    for index in range(4):
        before = pair.card.waits
        pair.device.run(asked(index, steps=steps, feedback=0.5))
        assert pair.card.waits - before == 1


@pytest.mark.parametrize("kind", list(LEADS))
def test_from_the_third_picture_on_nothing_is_allocated(tmp_path: Path, runtime: FakeRuntime, kind: str) -> None:
    pair = Pair(tmp_path, runtime, kind, "lcm")
    counts = []
    for index in range(6):
        pair.device.run(asked(index, steps=3, feedback=0.5))
        gc.collect()
        counts.append((pair.card.allocations, pair.device.stream.pinned_bytes, len(pair.card.memory)))
    assert len(set(counts[2:])) == 1


def test_both_graphs_are_captured_once_and_replayed(pair: Pair) -> None:
    for index in range(4):
        pair.device.run(asked(index))
    assert pair.runs == (["-1", "1", "1", "1"], ["-1", "1", "1", "1"])


def test_sizes_may_change_while_it_plays_and_graphs_are_captured_again(pair: Pair) -> None:
    for index, shape in enumerate([SHAPE, SHAPE, SHAPE, WIDE, WIDE, SHAPE]):
        picture = pair.run(asked(index, shape=shape, feedback=0.5))
        assert picture.shape == (*shape[2:], 4)
    assert pair.runs[0] == ["-1", "1", "1", "-1", "2", "-1"]
    assert [session.session.released for session in pair.sessions] == [[1, 2], [1, 2]]
    assert pair.device.canvases == 3


def test_buffers_of_another_size_are_given_back(pair: Pair) -> None:
    sizes = []
    for index, shape in enumerate([SHAPE, SHAPE, WIDE, WIDE, SHAPE, SHAPE]):
        pair.device.run(asked(index, shape=shape))
        gc.collect()
        sizes.append((len(pair.card.memory), len(pair.card.pinned)))
    assert len(set(sizes)) == 1


def test_latents_come_to_the_host_only_when_somebody_asks(pair: Pair) -> None:
    assert pair.device.latents() is None
    pair.device.run(asked())
    before = pair.card.waits
    latents = pair.device.latents()
    assert (latents.shape, latents.dtype, pair.card.waits - before) == (SHAPE, np.float32, 1)
    pair.device.run(asked(1))
    assert not np.array_equal(latents, pair.device.latents())


def test_a_picture_stays_as_it_is_while_others_are_painted(pair: Pair) -> None:
    pictures = [pair.device.run(asked(index)) for index in range(KEPT + 4)]
    for index, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture, pair.host.run(asked(index)))
        assert not picture.flags.writeable


def test_a_part_of_a_picture_stays_as_it_is_too(pair: Pair) -> None:
    part = pair.device.run(asked(0))[::2, :, 1]
    gc.collect()
    for index in range(1, 4):
        pair.device.run(asked(index))
    np.testing.assert_array_equal(part, pair.host.run(asked(0))[::2, :, 1])


def test_pinned_memory_does_not_grow_with_the_pictures_that_are_held(pair: Pair) -> None:
    held = [pair.device.run(asked(index)) for index in range(KEPT)]
    held.append(pair.device.run(asked(KEPT)))
    before = len(pair.card.pinned)
    held += [pair.device.run(asked(index)) for index in range(3 * KEPT)]
    assert len(pair.card.pinned) == before
    del held
    gc.collect()
    pair.device.run(asked())
    assert len(pair.card.pinned) == before


def test_stages_add_up_to_the_time_that_the_picture_took(pair: Pair) -> None:
    for index in range(2):
        pair.device.run(asked(index))
    assert tuple(pair.device.stages) == ("denoise", "decode")
    assert all(seconds >= 0 for seconds in pair.device.stages.values())
    assert pair.device.in_models > 0


def test_a_number_of_steps_that_the_schedule_does_not_have_leaves_everything_as_it_was(pair: Pair) -> None:
    pair.run(asked(0))
    for pipeline in (pair.device, pair.host):
        with pytest.raises(KeyError):
            pipeline.run(asked(1, steps=7))
    pair.run(asked(2, feedback=0.5))


def test_after_a_failure_it_begins_anew_without_the_broken_latents(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.run(asked(0))

    def fail(*arguments: object) -> None:
        raise RuntimeError("CUDA error 700\nsomewhere")

    with monkeypatch.context() as patch:
        patch.setattr(pair.sessions[1].session, "run_with_iobinding", fail)
        with pytest.raises(ProviderError, match=r"^decoder\.onnx does not run: CUDA error 700$"):
            pair.device.run(asked(1))
    assert pair.device.latents() is None
    found = pair.device.run(asked(2, feedback=0.5))
    pair.host._latents = None
    np.testing.assert_array_equal(found, pair.host.run(asked(2, feedback=0.5)))


@pytest.mark.parametrize("alone", ["start", "warp", "decoder"])
def test_sessions_on_different_streams_are_refused(tmp_path: Path, runtime: FakeRuntime, alone: str) -> None:
    denoiser, decoder = on_card(tmp_path)
    start, warp = open_beginning(denoiser)
    {"start": start, "warp": warp, "decoder": decoder}[alone].stream = None
    with pytest.raises(ProviderError, match=rf"denoiser\.onnx and {alone}\.onnx do not share a stream"):
        DevicePipeline(Denoiser(denoiser, schedule()), start, warp, denoiser, decoder)


@pytest.mark.parametrize("kind", list(LEADS))
@pytest.mark.parametrize("steps", [1, 3])
def test_latents_that_move_are_those_of_the_host(tmp_path: Path, runtime: FakeRuntime, kind: str, steps: int) -> None:
    pair = Pair(tmp_path, runtime, kind)
    for index, motion in enumerate([*MOTIONS, *MOTIONS]):
        one = asked(index, steps=steps, feedback=0.6, motion=motion)
        found, expected = pair.device.run(one), pair.host.run(one)
        np.testing.assert_allclose(pair.device.latents(), pair.host.latents(), rtol=1e-4, atol=1e-4)
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_motion_without_feedback_changes_no_bit(pair: Pair) -> None:
    for index, motion in enumerate(MOTIONS):
        still = pair.run(asked(index, motion=motion))
    assert pair.device._warp.session.runs == ["-1"]  # the one that only gave the result its place
    np.testing.assert_array_equal(pair.run(asked(4)), still)


def test_latents_move_on_the_card_without_another_wait_or_allocation(pair: Pair) -> None:
    counts = []
    for index in range(8):
        waits = pair.card.waits
        pair.device.run(asked(index, feedback=0.5, motion=Motion(zoom=1.1, time=float(index))))
        gc.collect()
        counts.append((pair.card.waits - waits, pair.card.allocations, pair.device.stream.pinned_bytes))
    assert len(set(counts[3:])) == 1
    assert counts[-1][0] == 1
    assert pair.device._warp.session.runs == ["-1", *["1"] * 7]


def test_the_first_sample_is_captured_too(pair: Pair) -> None:
    for index in range(3):
        pair.run(asked(index, feedback=0.5))
    assert pair.device._start.session.runs == ["-1", "1", "1", "1"]  # the first one only gave the sample its place


def test_a_flush_leaves_the_last_latents_where_they_are(pair: Pair) -> None:
    pair.run(asked(0))
    pair.device.flush()
    pair.run(asked(1, feedback=0.5))
