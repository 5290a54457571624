"""The engine: two rates in one thread, bounded queues, and the same frames live as offline."""

import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from clavilux.runtime.clock import ManualClock, MonotonicClock
from clavilux.runtime.control.parameters import Parameters
from clavilux.runtime.errors import ParameterError, ProviderError, SoundError
from clavilux.runtime.frame import Frame
from clavilux.runtime.hearing.listener import HopGrid
from clavilux.runtime.instrument import Instrument
from clavilux.runtime.loading import open_engine
from clavilux.runtime.playing.engine import UNWATCHED_RATE, Engine
from clavilux.runtime.playing.pacing import MAX_FRAME_RATE, FramePacer, HopPacer
from clavilux.runtime.playing.render import render_frames
from clavilux.runtime.playing.source_changes import BURST
from clavilux.runtime.queues import QUEUE_SECONDS
from clavilux.runtime.sound.format import FRAME_STEP
from clavilux.runtime.sound.sound_file import Clip
from tests.runtime.instruments import DEADLINE, RATE, conducted, pixels, stopped, unplayed
from tests.runtime.sound.sounds import cuts, noise

FRAME_RATE = 25


@given(places=cuts(48_000, most=5))
@settings(max_examples=5)
def test_live_and_offline_give_the_same_frames(tiny_bundle: Path, places: list[int]) -> None:
    clip = Clip(noise(48_000)[:, None], 48_000)
    offline = list(render_frames(unplayed(tiny_bundle), clip, FRAME_RATE))
    with conducted(tiny_bundle, FRAME_RATE) as conductor:
        for frame in range(1, len(offline)):
            start, stop = (round(index / FRAME_RATE * clip.rate) for index in (frame - 1, frame))
            edges = [start, *(place for place in places if start < place < stop), stop]
            for edge, end in pairwise(edges):
                conductor.engine.hear(clip.samples[edge:end], clip.rate, edge / clip.rate)
            conductor.step(frame / FRAME_RATE)
    np.testing.assert_array_equal(pixels(offline), pixels(conductor.frames))
    assert [f.heard_until for f in offline] == pytest.approx([f.heard_until for f in conductor.frames])


def test_parameters_take_effect_at_the_next_frame(tiny_bundle: Path) -> None:
    with conducted(tiny_bundle, FRAME_RATE) as conductor:
        conductor.engine.set({"blackout": True})
        assert not conductor.step(0.1).pixels.any()


def test_parameters_are_merged_and_the_newest_wins(tiny_bundle: Path) -> None:
    engine = stopped(tiny_bundle)
    engine.set({"glide": 1.0, "steps": 2})
    merged = engine.set({"glide": 2.0})
    assert (merged.glide, merged.steps) == (2.0, 2)
    assert engine.parameters == merged


def test_a_wrong_parameter_changes_nothing(tiny_bundle: Path) -> None:
    engine = stopped(tiny_bundle)
    before = engine.parameters
    with pytest.raises(ParameterError):
        engine.set({"glide": 1.0, "steps": 9})
    assert engine.parameters == before


def test_sound_that_waits_too_long_is_dropped_oldest_first_and_counted(tiny_bundle: Path) -> None:
    engine = stopped(tiny_bundle)
    for second in range(5):
        engine.hear(noise(RATE), RATE, captured_at=float(second))
    assert engine.counters().dropped_seconds == 5 - QUEUE_SECONDS
    (chunk,) = engine._queue.take(0.0)
    assert (chunk.captured_at, chunk.seconds) == (3.0, 2.0)


def test_of_a_chunk_longer_than_the_queue_the_end_stays_and_the_rest_is_counted(tiny_bundle: Path) -> None:
    engine, sound = stopped(tiny_bundle), noise(10 * RATE)
    engine.hear(sound, RATE, captured_at=5.0)
    assert engine.counters().dropped_seconds == 10 - QUEUE_SECONDS
    (chunk,) = engine._queue.take(0.0)
    assert chunk.captured_at == 13.0
    np.testing.assert_array_equal(chunk.sound[:, 0], sound[8 * RATE :])


def test_a_source_that_changes_all_the_time_is_dropped_until_its_time_has_come(tiny_bundle: Path) -> None:
    clock, changes = ManualClock(), int(BURST)
    engine = stopped(tiny_bundle, clock)
    for k in range(2 * changes):
        engine.hear(noise(800), 8_000 + k)
    assert engine.counters().dropped_seconds == pytest.approx(0.1 * (changes - 1), rel=0.01)
    clock.set(1.0)
    engine.hear(noise(800), 8_000)
    assert [chunk.rate for chunk in engine._queue.take(1.0)] == [*range(8_000, 8_001 + changes), 8_000]


@pytest.mark.parametrize("cut", [1, 7, 160])
def test_packets_of_a_few_samples_reach_the_instrument_as_one(
    tiny_bundle: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[int] = []
    with conducted(tiny_bundle, FRAME_RATE) as conductor:
        push = conductor.engine.instrument.push

        def counted(sound: np.ndarray, rate: int, captured_at: float) -> None:
            pushed.append(len(sound))
            push(sound, rate, captured_at)

        monkeypatch.setattr(conductor.engine.instrument, "push", counted)
        for start in range(0, 1600, cut):
            conductor.engine.hear(noise(1600)[start : start + cut], RATE, start / RATE)
        conductor.step(0.1)
    assert pushed == [1600]


def test_sound_without_a_time_ended_just_now(tiny_bundle: Path) -> None:
    with conducted(tiny_bundle, FRAME_RATE) as conductor:
        conductor.step(3.0)
        conductor.engine.hear(noise(RATE), RATE)
        assert conductor.step(3.1).heard_until == pytest.approx(3.0, abs=1e-3)


def test_unusable_sound_is_refused_at_the_door(tiny_bundle: Path) -> None:
    with pytest.raises(SoundError, match="sample rate is 100 Hz"):
        stopped(tiny_bundle).hear(noise(RATE), 100)


@pytest.mark.parametrize("at", ["x", float("nan"), -float("inf"), 10**400, [1.0], b"1"])
def test_a_time_that_is_none_is_refused_at_the_door(tiny_bundle: Path, at: object) -> None:
    engine = stopped(tiny_bundle)
    with pytest.raises(SoundError, match=r"the sound was captured at .* s; expected a finite time"):
        engine.hear(noise(RATE), RATE, captured_at=at)
    with pytest.raises(SoundError, match=r"the beat was tapped at .* s; expected a finite time"):
        engine.tap(at)
    assert engine.counters().dropped_seconds == 0
    assert not engine._queue.take(0.0)


@pytest.mark.parametrize("at", [1e300, -1e300])
def test_a_beat_tapped_ages_ago_or_hence_ends_nothing(tiny_bundle: Path, at: float) -> None:
    with conducted(tiny_bundle, FRAME_RATE) as conductor:
        conductor.engine.hear(noise(RATE), RATE)
        conductor.step(1.0)
        conductor.engine.tap(at)
        assert [conductor.step(second).sequence for second in (2.0, 3.0)] == [2, 3]


@pytest.mark.parametrize("threads", [-1, 1.5, "2", None, True, 10**6])
def test_a_number_of_threads_that_cannot_be_is_told_in_a_line(tiny_bundle: Path, threads: object) -> None:
    with pytest.raises(ProviderError, match=r"threads is .*; expected a whole number, 0 \(one per core\) to \d+"):
        open_engine(tiny_bundle, threads=threads)


def test_the_engine_counts_what_it_did(tiny_bundle: Path) -> None:
    with conducted(tiny_bundle, FRAME_RATE) as conductor:
        conductor.engine.hear(noise(RATE), RATE)
        conductor.step(1.0)
        counters = conductor.engine.counters()
    assert (counters.frames, counters.hops, counters.heard_seconds, counters.dropped_seconds) == (2, 1, 1.0, 0.0)


def test_the_shape_of_the_pictures_does_not_change_with_every_frame(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    with conducted(tiny_bundle, FRAME_RATE) as conductor:
        engine = conductor.engine
        monkeypatch.setattr(engine._shapes, "hold", lambda parameters, now: replace(parameters, steps=2))
        step = engine.instrument.step
        monkeypatch.setattr(
            engine.instrument, "step", lambda now, values, *rest: seen.append(values.steps) or step(now, values, *rest)
        )
        conductor.step(1.0)
    assert seen == [2]


def test_the_engine_knows_its_picture_size(tiny_bundle: Path) -> None:
    assert stopped(tiny_bundle).picture == (64, 64)


def test_ready_is_set_after_the_first_picture(tiny_bundle: Path) -> None:
    engine = stopped(tiny_bundle)
    assert not engine.ready.is_set()
    with engine:
        assert engine.ready.wait(DEADLINE)
    assert isinstance(engine.clock, MonotonicClock)


def test_on_the_machines_clock_frames_keep_coming(tiny_bundle: Path) -> None:
    frames: list[Frame] = []
    enough = threading.Event()

    def take(frame: Frame) -> None:
        frames.append(frame)
        if len(frames) == 5:
            enough.set()

    with stopped(tiny_bundle) as engine:
        engine.subscribe(take)
        assert enough.wait(DEADLINE)
    assert [frame.sequence for frame in frames] == list(range(frames[0].sequence, frames[0].sequence + len(frames)))


def test_a_listener_that_left_hears_no_more(tiny_bundle: Path) -> None:
    frames: list[Frame] = []
    with conducted(tiny_bundle, FRAME_RATE) as conductor:
        leave = conductor.engine.subscribe(frames.append)
        conductor.step(1.0)
        conductor.step(2.0)
        leave()
        seen = len(frames)
        conductor.step(3.0)
    assert len(frames) == seen


def test_a_listener_that_fails_is_told_of_once_and_the_pictures_go_on(
    tiny_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(frame: Frame) -> None:
        raise ValueError(f"no screen for {frame.sequence}")

    with conducted(tiny_bundle, FRAME_RATE) as conductor:
        conductor.engine.subscribe(failing)
        seen = [conductor.step(second).sequence for second in (1.0, 2.0, 3.0)]
        assert conductor.engine.failure is None
    assert seen == [1, 2, 3]
    assert [record.message for record in caplog.records] == ["a listener of the frames failed, and is not called again"]


def test_stopping_an_engine_that_never_started_is_allowed(tiny_bundle: Path) -> None:
    stopped(tiny_bundle).stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_ends_the_thread_is_kept(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Frame:
        raise MemoryError("no room for a picture")

    monkeypatch.setattr(Instrument, "step", fail)
    engine = stopped(tiny_bundle)
    engine.start()
    engine.stop()
    assert isinstance(engine.failure, MemoryError)


def test_on_the_machines_clock_the_hop_follows_what_looks_cost(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()

    def note(pacer: HopPacer, seconds: float) -> None:
        assert seconds > 0
        pacer.hop_samples = 3 * FRAME_STEP
        looked.set()

    monkeypatch.setattr(HopPacer, "note", note)
    grids: list[HopGrid] = []
    engine = stopped(tiny_bundle)
    record_grids(engine, grids, monkeypatch)
    with engine:
        assert engine.ready.wait(DEADLINE)
        engine.hear(noise(RATE), RATE)
        assert looked.wait(DEADLINE)
        passed = len(grids)
        while len(grids) < passed + 2:
            engine.clock.wait_until(engine.clock.now() + 0.01, threading.Event())
    assert grids[0] == HopGrid(engine.instrument.bundle.audio.hop_samples, follows=True)
    assert grids[-1] == HopGrid(3 * FRAME_STEP, follows=True)


def record_grids(engine: Engine, grids: list[HopGrid], monkeypatch: pytest.MonkeyPatch) -> None:
    step = engine.instrument.step

    def noted(now: float, parameters: Parameters, grid: HopGrid, ahead: float) -> Frame:
        grids.append(grid)
        return step(now, parameters, grid, ahead)

    monkeypatch.setattr(engine.instrument, "step", noted)


def test_on_another_clock_the_hop_stays_the_bundles(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grids: list[HopGrid] = []
    with conducted(tiny_bundle, FRAME_RATE) as conductor:
        record_grids(conductor.engine, grids, monkeypatch)
        conductor.engine.hear(noise(RATE), RATE)
        for second in (1.0, 2.0, 3.0):
            conductor.step(second)
    assert set(grids) == {HopGrid(conductor.engine.instrument.bundle.audio.hop_samples)}


def test_on_the_machines_clock_pictures_leave_time_to_everything_else(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted = threading.Event()

    def note(pacer: FramePacer, picture: float, look: float) -> None:
        assert picture > 0
        assert look == 0.0
        pacer.interval = 0.125
        painted.set()

    monkeypatch.setattr(FramePacer, "note", note)
    with stopped(tiny_bundle) as engine:
        assert painted.wait(DEADLINE)
    assert due(engine) == 0.125
    engine.set({"frame_rate": 20.0})
    assert due(engine) == 0.05


def due(engine: Engine, *, painted: bool = True) -> float:
    """Return how long after its beginning a frame that took 0.03 s is followed by the next, in seconds."""
    stages = {"denoise": 0.02 if painted else 0.0}
    frame = Frame(0, np.zeros((1, 1, 3), np.uint8), 0.0, None, 0.0, None, stages)
    return engine._due(frame, 0.0, 0.03)


def test_pictures_that_are_not_painted_say_nothing_about_their_cost(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[float] = []
    monkeypatch.setattr(FramePacer, "note", lambda _pacer, picture, _look: noted.append(picture))
    engine = stopped(tiny_bundle)
    engine.set({"noise": "fixed", "glide": 0.0, "drift": 0.0})
    for now in (0.0, 1.0):
        engine.instrument.step(now, engine.parameters)
    frames: list[Frame] = []
    engine.subscribe(frames.append)
    with engine:
        assert engine.ready.wait(DEADLINE)
    assert {frame.stages["denoise"] for frame in frames} == {0.0}
    assert not noted


def test_what_is_not_painted_waits_for_nothing(tiny_bundle: Path) -> None:
    engine = stopped(tiny_bundle)
    engine._frame_pacer.interval = 0.12
    assert due(engine) == 0.12
    assert due(engine, painted=False) == 1 / MAX_FRAME_RATE


def test_on_another_clock_pictures_come_thirty_times_a_second(tiny_bundle: Path) -> None:
    assert due(stopped(tiny_bundle, ManualClock())) == 1 / MAX_FRAME_RATE


@pytest.mark.parametrize(("asked", "interval"), [(0.0, 1 / MAX_FRAME_RATE), (10.0, 0.1), (1.0, 1.0), (100.0, 0.01)])
def test_a_frame_rate_that_is_asked_for_is_obeyed(tiny_bundle: Path, asked: float, interval: float) -> None:
    engine = stopped(tiny_bundle)
    engine.set({"frame_rate": asked})
    assert due(engine) == interval


@pytest.mark.parametrize(
    ("audience", "interval"), [(None, 1 / MAX_FRAME_RATE), (3, 1 / MAX_FRAME_RATE), (0, 1 / UNWATCHED_RATE)]
)
def test_when_nobody_watches_few_pictures_are_made(tiny_bundle: Path, audience: int | None, interval: float) -> None:
    engine = stopped(tiny_bundle)
    engine.watch(audience)
    assert due(engine) == interval


def test_an_unwatched_stage_is_not_slowed_below_what_was_asked(tiny_bundle: Path) -> None:
    engine = stopped(tiny_bundle)
    engine.watch(0)
    engine.set({"frame_rate": 1.0})
    assert due(engine) == 1.0


def test_a_picture_of_seconds_loses_no_sound(tiny_bundle: Path) -> None:
    engine = stopped(tiny_bundle)
    for _ in range(3):
        engine._frame_pacer.note(1.6, 0.0)
    frame = Frame(0, np.zeros((1, 1, 3), np.uint8), 0.0, None, 0.0, None, {"denoise": 1.6})
    assert engine._due(frame, 0.0, 1.6) < QUEUE_SECONDS
