"""Stream batch: the pictures that single calls make, some calls later, and one call of the denoiser for each."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.bundle.graphs import DECODER, DENOISER
from clavilux.runtime.bundle.manifest import GuidanceSpec
from clavilux.runtime.control.parameters import RANGES, Parameters, ranges_for
from clavilux.runtime.diffusion.decoder import Decoder
from clavilux.runtime.diffusion.denoiser import Denoiser, Feedback, Run
from clavilux.runtime.diffusion.guider import Guider
from clavilux.runtime.diffusion.host_pipeline import HostPipeline
from clavilux.runtime.diffusion.motion import Motion, warp
from clavilux.runtime.diffusion.noise import draw
from clavilux.runtime.diffusion.pipeline import PictureRequest
from clavilux.runtime.diffusion.schedule import Schedule
from clavilux.runtime.diffusion.stream_batch import StreamBatchPipeline
from clavilux.runtime.errors import ParameterError, ProviderError
from clavilux.runtime.loading import open_instrument
from clavilux.runtime.placement.devices import open_session
from clavilux.runtime.providers.nvidia import cuda
from clavilux.runtime.providers.session import Array, Session
from tests.runtime.instruments import RATE, Player, instrument
from tests.runtime.providers.nvidia.fake_gpu import CARD, FakeRuntime, install
from tests.runtime.sound.sounds import noise

HOP = 1600  # samples, the bundle's
TOLERANCE = 1e-4  # of latents about 1: a batch may be summed in another order
LEVELS = 1  # of 255 that pictures may differ by for that


@cache
def opened(graph: Path) -> Session:
    """Load a graph once: a session keeps nothing from one run to the next."""
    return open_session(graph, threads=1)


class Counting:
    """A session that counts the rows of its calls."""

    def __init__(self, bundle: Bundle, name: str) -> None:
        self._session = opened(bundle.path(name))
        self.provider = self._session.provider
        self.rows: list[int] = []

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        self.rows.append(len(next(iter(inputs.values()))))
        return self._session.run(inputs)


class Both:
    """The same bundle twice: with stream batch, and picture by picture."""

    def __init__(self, bundle: Bundle, change: Callable[[Schedule], Schedule] = lambda same: same) -> None:
        self.session = Counting(bundle, DENOISER)
        guider = Guider(bundle.guidance, bundle.conditioning.negative)
        self.denoiser = Denoiser(self.session, change(Schedule(bundle.schedule)), guider)
        self.decoder = Decoder(opened(bundle.path(DECODER)))
        self.stream = StreamBatchPipeline(self.denoiser, self.decoder)
        self._prompt = bundle.conditioning.idle[None]

    def asked(self, index: int, steps: int = 3, side: int = 8, feedback: float = 0.0) -> PictureRequest:
        """Return what picture `index` is made of: each has a prompt and noise of its own."""
        shape = (1, 4, side, side)
        prompt = self._prompt * np.float32(1 + index / 4)
        return PictureRequest(prompt, lambda step: draw(shape, 3, index, step), shape, steps, feedback, 2.0)

    def expect(self, picture: np.ndarray, asked: PictureRequest) -> None:
        """Compare the stream's last picture with the one that single calls make of `asked`."""
        single = HostPipeline(self.denoiser, self.decoder)
        expected = single.run(asked)
        np.testing.assert_allclose(self.stream.latents(), single.latents(), atol=TOLERANCE, rtol=TOLERANCE)
        assert np.abs(picture.astype(int) - expected.astype(int)).max() <= LEVELS
        assert expected.std() > 0


@pytest.fixture(scope="module")
def flexible(flexible_bundle: Path) -> Bundle:
    return Bundle.open(flexible_bundle)


@pytest.fixture
def both(flexible: Bundle) -> Both:
    return Both(flexible)


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_each_picture_is_the_one_that_single_calls_make_and_comes_steps_less_one_calls_later(
    both: Both, steps: int
) -> None:
    asked = [both.asked(index, steps) for index in range(2 * steps)]
    for index, one in enumerate(asked):
        picture = both.stream.run(one)
        assert both.stream.delay == min(index, steps - 1)
        both.expect(picture, asked[index - both.stream.delay])


def test_what_stays_the_same_gives_the_same_picture_at_every_call(both: Both) -> None:
    for _ in range(5):
        both.expect(both.stream.run(both.asked(0)), both.asked(0))


def test_a_picture_takes_one_call_of_as_many_rows_as_there_are_steps(both: Both) -> None:
    for index in range(4):
        both.stream.run(both.asked(index, steps=3))
    assert both.session.rows == [1, 1, 1, 3, 3, 3]  # the first one alone is made step by step


def test_noise_that_steps_add_is_that_of_the_picture(flexible: Bundle) -> None:
    both = Both(flexible, lambda schedule: Schedule(replace(schedule.spec, kind="lcm")))
    asked = [both.asked(index) for index in range(4)]
    pictures = [both.stream.run(one) for one in asked]
    both.expect(pictures[3], asked[1])


def test_the_first_step_of_feedback_keeps_some_of_the_last_finished_picture(both: Both) -> None:
    asked = [both.asked(index, feedback=0.6) for index in range(4)]
    both.stream.run(asked[0])
    first = both.stream.latents()
    for one in asked[1:]:
        both.stream.run(one)
    single = HostPipeline(both.denoiser, both.decoder)
    single._latents = first
    single.run(asked[1])
    np.testing.assert_allclose(both.stream.latents(), single.latents(), atol=TOLERANCE, rtol=TOLERANCE)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4), st.sampled_from([2, 8])), min_size=1, max_size=8))
@settings(max_examples=15)
def test_whatever_changes_each_picture_is_one_that_was_asked_for(
    flexible_bundle: Path, wanted: list[tuple[int, int, int]]
) -> None:
    """A change of steps or size shows at once, and what was on its way is gone."""
    both = Both(Bundle.open(flexible_bundle))
    asked = [both.asked(*one) for one in wanted]
    since = 0  # the call that the pictures on their way began with
    for index, one in enumerate(asked):
        since = since if wanted[index][1:] == wanted[since][1:] else index
        picture = both.stream.run(one)
        assert both.stream.delay == min(index - since, one.steps - 1)
        both.expect(picture, asked[index - both.stream.delay])


def test_after_a_flush_the_newest_picture_is_there_at_once(both: Both) -> None:
    for index in range(3):
        both.stream.run(both.asked(index))
    both.stream.flush()
    both.expect(both.stream.run(both.asked(7)), both.asked(7))


def test_both_stages_are_timed(both: Both) -> None:
    both.stream.run(both.asked(0))
    assert tuple(both.stream.stages) == ("denoise", "decode")
    assert all(seconds > 0 for seconds in both.stream.stages.values())


def test_before_the_first_picture_there_are_no_latents(both: Both) -> None:
    assert both.stream.latents() is None


def test_after_a_failure_nothing_of_it_is_on_its_way(both: Both) -> None:
    both.stream.run(both.asked(0))
    broken = replace(both.asked(1), prompt=np.zeros((1, 1, 1), np.float32))
    with pytest.raises((ProviderError, ValueError)):
        both.stream.run(broken)
    both.expect(both.stream.run(both.asked(2)), both.asked(2))


def test_a_graph_that_takes_one_picture_at_a_time_is_named(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    denoiser = Denoiser(Counting(bundle, DENOISER), Schedule(bundle.schedule))
    pipeline = StreamBatchPipeline(denoiser, Decoder(opened(bundle.path(DECODER))))
    shape = (1, 4, 8, 8)
    asked = PictureRequest(bundle.conditioning.idle[None], lambda step: draw(shape, 0, 0, step), shape, 2)
    pipeline.run(asked)
    with pytest.raises(ProviderError, match=r"denoiser\.onnx does not run"):
        pipeline.run(asked)


def test_each_row_is_led_away_from_what_its_picture_began_with(flexible: Bundle) -> None:
    """Self-negative guidance: from nothing, or from the last latents that fed back."""
    seen: list[Mapping[str, Array]] = []

    class Echo:
        provider = "echo"

        def run(self, inputs: Mapping[str, Array]) -> list[Array]:
            seen.append(inputs)
            return [inputs["sample"], inputs["sample"] / 2]

    guider = Guider(GuidanceSpec("self", 2.0), flexible.conditioning.negative)
    denoiser = Denoiser(Echo(), Schedule(flexible.schedule), guider)
    pipeline = StreamBatchPipeline(denoiser, Decoder(opened(flexible.path(DECODER))))
    shape = (1, 4, 2, 2)
    for index, amount in enumerate((0.0, 0.5)):
        before = pipeline.latents()
        prompt = flexible.conditioning.idle[None]
        pipeline.run(PictureRequest(prompt, lambda step, index=index: draw(shape, 0, index, step), shape, 2, amount))
    np.testing.assert_array_equal(seen[-1]["anchor"], np.concatenate([before, np.zeros(shape)]))


# The instrument


def streaming(bundle: Path, **changes: float | str | bool) -> Player:
    """Return an instrument with stream batch and three steps that jumps to what it hears; no route moves it."""
    return instrument(bundle, **{"stream_batch": True, "steps": 3, "glide": 0, "noise": "fixed", "react": 0} | changes)


def hop(player: Player, index: int, now: float) -> float | None:
    """Play hop number `index` and return the frame's heard_until."""
    player.hear(noise(HOP, seed=index), RATE, captured_at=index * HOP / RATE)
    return player.step(now).heard_until


def test_a_frame_has_heard_what_its_picture_was_made_of(flexible_bundle: Path) -> None:
    """Two hops later than without: three steps, so that two pictures are on their way."""
    plain, stream = streaming(flexible_bundle, stream_batch=False), streaming(flexible_bundle)
    heard = {name: [hop(one, index, index / 10) for index in range(6)] for name, one in (("p", plain), ("s", stream))}
    assert heard["p"] == pytest.approx([((index + 1) * HOP - 1) / RATE for index in range(6)])
    assert heard["s"] == [heard["p"][0], *heard["p"][:1], *heard["p"][:4]]


def test_its_pictures_are_those_without_some_frames_later(flexible_bundle: Path) -> None:
    plain, stream = streaming(flexible_bundle, stream_batch=False), streaming(flexible_bundle)
    frames: list[list[np.ndarray]] = [[], []]
    for index in range(5):
        for player, taken in zip((plain, stream), frames, strict=True):
            player.hear(noise(HOP, seed=index), RATE, captured_at=index * HOP / RATE)
            taken.append(player.step(index / 10).pixels.astype(int))
    assert all(np.abs(late - early).max() <= LEVELS for early, late in zip(frames[0], frames[1][2:], strict=False))
    assert np.abs(frames[0][0] - frames[0][1]).max() > LEVELS


def test_it_goes_on_painting_until_the_newest_picture_is_out_and_rests_then(flexible_bundle: Path) -> None:
    player = streaming(flexible_bundle)
    player.step(0.0)
    hop(player, 0, 0.1)
    worked = [player.step(index / 10).stages["denoise"] > 0 for index in range(2, 7)]
    assert worked == [True, True, False, False, False]
    plain = streaming(flexible_bundle, stream_batch=False)
    hop(plain, 0, 0.1)
    assert np.abs(player.step(0.8).pixels.astype(int) - plain.step(0.8).pixels).max() <= LEVELS


def test_while_it_rests_it_has_heard_what_changed_nothing(flexible_bundle: Path) -> None:
    player = streaming(flexible_bundle)
    for index in range(4):
        player.step(index / 10)
    player.hear(np.zeros(HOP, np.float32), RATE, captured_at=0.0)
    assert player.step(0.5).heard_until == pytest.approx((HOP - 1) / RATE)


@given(st.lists(st.sampled_from(["sound", "silence", "steps", "size", "freeze", "on"]), max_size=12))
@settings(max_examples=10)
def test_what_frames_have_heard_never_goes_back(flexible_bundle: Path, events: list[str]) -> None:
    player, heard = streaming(flexible_bundle), -1.0
    for index, event in enumerate(events):
        parameters = player.parameters
        changes = {"steps": {"steps": 5 - parameters.steps}, "size": {"height": 80 - parameters.height}}
        changes |= {"freeze": {"freeze": not parameters.freeze}, "on": {"stream_batch": not parameters.stream_batch}}
        player.parameters = parameters.merge(changes.get(event, {}), player.ranges)
        sound = noise(HOP, seed=index) if event != "silence" else np.zeros(HOP, np.float32)
        player.hear(sound, RATE, captured_at=index * HOP / RATE)
        until = player.step(index / 10).heard_until
        assert until is not None
        assert until >= heard
        heard = until


def test_after_a_freeze_the_picture_is_of_now(flexible_bundle: Path) -> None:
    player = streaming(flexible_bundle)
    for index in range(3):
        hop(player, index, index / 10)
    player.parameters = player.parameters.merge({"freeze": True}, player.ranges)
    frozen = hop(player, 3, 0.3)
    player.parameters = player.parameters.merge({"freeze": False}, player.ranges)
    assert hop(player, 4, 0.4) == pytest.approx((5 * HOP - 1) / RATE)
    assert frozen == pytest.approx((4 * HOP - 1) / RATE)


def test_it_may_be_switched_on_and_off_while_it_plays(flexible_bundle: Path) -> None:
    player = streaming(flexible_bundle, noise="walk")
    pipelines = []
    for index, on in enumerate((True, False, True)):
        player.parameters = player.parameters.merge({"stream_batch": on}, player.ranges)
        player.step(index / 10)
        pipelines.append(type(player.pipeline))
    assert pipelines == [StreamBatchPipeline, HostPipeline, StreamBatchPipeline]


def test_latents_from_before_it_was_switched_on_do_not_come_back(flexible_bundle: Path) -> None:
    player = streaming(flexible_bundle, stream_batch=False, feedback=0.9)
    pictures = []
    for index, on in enumerate((False, True, True, False)):
        player.parameters = player.parameters.merge({"stream_batch": on}, player.ranges)
        pictures.append(player.step(index / 10).pixels)
    np.testing.assert_array_equal(pictures[3], pictures[0])  # with the same sound and noise, from nothing again


def test_one_step_has_nothing_to_stream(flexible_bundle: Path) -> None:
    player = streaming(flexible_bundle, steps=1)
    player.step(0.0)
    assert isinstance(player.pipeline, HostPipeline)


def test_on_a_card_latents_go_through_the_host_and_the_log_says_so(
    flexible_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = streaming(flexible_bundle, noise="fresh")
    install(monkeypatch, FakeRuntime(("CUDAExecutionProvider", "CPUExecutionProvider")))
    monkeypatch.setattr(cuda, "find_card", lambda: CARD)
    player = Player(open_instrument(flexible_bundle, device="cuda"))
    player.parameters = expected.parameters
    for index in range(5):
        np.testing.assert_array_equal(player.step(index / 10).pixels, expected.step(index / 10).pixels)
    assert "latents go through the host for every picture: stream_batch" in caplog.text


# The parameter


def test_more_steps_than_the_graphs_take_rows_are_refused(flexible: Bundle) -> None:
    ranges = ranges_for(flexible)
    with pytest.raises(ParameterError, match="steps is 5 with stream_batch on; expected at most 4, lower it or switch"):
        Parameters().merge({"steps": 5, "stream_batch": True}, ranges)
    on = Parameters().merge({"steps": 4, "stream_batch": True}, ranges)
    with pytest.raises(ParameterError, match="steps is 6 with stream_batch on"):
        on.merge({"steps": 6}, ranges)
    assert on.merge({"steps": 6, "stream_batch": False}, ranges).steps == 6


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({}, True),
        ({"batch": 1}, False),
        ({"guidance": GuidanceSpec("once", 2.0)}, False),
        ({"guidance": GuidanceSpec("self", 2.0)}, True),
    ],
)
def test_it_is_there_where_the_graphs_can_do_it(flexible: Bundle, changes: dict[str, object], there: bool) -> None:
    assert ("stream_batch" in ranges_for(replace(flexible, **changes))) is there


def test_a_bundle_of_one_step_has_none(flexible: Bundle) -> None:
    one = replace(flexible.schedule, timesteps={1: flexible.schedule.timesteps[1]})
    assert "stream_batch" not in ranges_for(replace(flexible, schedule=one))
    assert "stream_batch" in RANGES


def test_what_comes_back_has_moved_as_often_as_was_asked_since(both: Both) -> None:
    begun: list[Feedback | None] = []
    begin = both.denoiser.begin

    def noting(*arguments: object, feedback: Feedback | None, **more: object) -> Run:
        begun.append(feedback)
        return begin(*arguments, feedback=feedback, **more)

    both.denoiser.begin = noting
    for index in range(6):
        last = both.stream.latents()
        both.stream.run(replace(both.asked(index, 3, feedback=0.5), motion=Motion(x=1 / 64)))
        moved = begun[-1].latents if begun[-1] else None
        assert (moved is None) == (last is None)
        if last is not None:
            steps = min(index, 3)
            np.testing.assert_allclose(moved, warp(last, Motion(x=steps / 64)), atol=1e-6)


def test_after_a_flush_motion_is_counted_anew(both: Both) -> None:
    for index in range(4):
        both.stream.run(replace(both.asked(index, 3, feedback=0.5), motion=Motion(x=1 / 64)))
    both.stream.flush()
    both.stream.run(replace(both.asked(4, 3, feedback=0.5), motion=Motion(x=1 / 64)))
    assert both.stream._motions == ()
