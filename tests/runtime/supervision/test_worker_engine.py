"""An engine whose models are elsewhere: which orders it gives, and what outlives a worker. No process."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.clock import ManualClock
from clavilux.runtime.control.parameters import defaults_for, ranges_for
from clavilux.runtime.errors import ParameterError, ProviderError, SoundError
from clavilux.runtime.frame import Frame
from clavilux.runtime.instrument import Position
from clavilux.runtime.playing.engine_state import EngineCounters, EngineState
from clavilux.runtime.supervision.messages import Control, Facts, Hear, Leave, Made, Play
from clavilux.runtime.supervision.shared_pictures import Place
from clavilux.runtime.supervision.watchdog import Bounds, RestartBudget
from clavilux.runtime.supervision.worker_engine import WorkerEngine
from tests.runtime.instruments import RATE, unplayed

BOUNDS = Bounds()
PIXELS = np.full((4, 6, 3), 9, np.uint8)
SOUND = np.zeros((RATE, 1), np.float32)
USUAL = {"steps": 1, "stream_batch": False, "height": 0, "width": 0}  # what the tiny bundle begins with


@dataclass
class Supervisor:
    """Counts what an engine asks for."""

    restarts: int = 0
    woken: int = 0
    left: str = ""

    def wake(self) -> None:
        self.woken += 1

    def leave(self, name: str) -> None:
        self.left = name


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor()


@pytest.fixture
def engine(supervisor: Supervisor, tiny_bundle: Path) -> WorkerEngine:
    bundle = unplayed(tiny_bundle).bundle
    facts = Facts("tiny", "CPU", ranges_for(bundle), defaults_for(bundle), 64, 64)
    return WorkerEngine(supervisor, "main", facts, ManualClock(100.0), BOUNDS)


@pytest.fixture
def playing(engine: WorkerEngine) -> WorkerEngine:
    """An engine that the worker plays, and that has given out a frame."""
    engine.start()
    engine.orders()
    engine.made(made(5), PIXELS)
    return engine


def made(sequence: int, frames: int = 6, *, denoise: float = 0.04, **values: object) -> Made:
    empty = np.zeros((0, 0, 3), np.uint8)
    frame = Frame(sequence, empty, 99.9, None, -20.0, None, {"denoise": denoise}, values={**USUAL, **values})
    position = replace(Position(frames=sequence + 1))
    return Made("main", frame, Place(0, 0, 64, 4, 6), position, EngineCounters(frames, 2, 1.0, 0.25))


def test_nothing_is_ordered_before_it_is_started(engine: WorkerEngine, supervisor: Supervisor) -> None:
    engine.set({"glide": 1.0})
    assert engine.orders() == []
    assert engine.state is EngineState.STARTING
    engine.start()
    assert supervisor.woken == 2


def test_sound_and_taps_that_came_with_the_start_go_along_with_it(engine: WorkerEngine) -> None:
    engine.set({"glide": 1.5})
    engine.start()
    engine.hear(SOUND, RATE, 3.0)
    engine.tap(3.5)
    engine.tap()
    play, hear = engine.orders()
    assert isinstance(play, Play)
    assert isinstance(hear, Hear)
    assert (play.controls.parameters.glide, play.position) == (1.5, Position())
    assert ([chunk.captured_at for chunk in hear.chunks], hear.taps) == ([3.0], (3.5, 100.0))


def test_what_is_told_many_times_is_ordered_once_and_the_newest_wins(playing: WorkerEngine) -> None:
    for glide in (1.0, 2.0, 3.0):
        playing.set({"glide": glide})
    playing.watch(4)
    playing.look_ahead(0.2)
    leave = playing.feel(lambda pulses, captured_at: None)
    (order,) = playing.orders()
    assert isinstance(order, Control)
    assert order.controls.parameters.glide == 3.0
    assert (order.controls.watched, order.controls.ahead, order.controls.feeling) == (4, 0.2, True)
    assert playing.orders() == []
    leave()
    (order,) = playing.orders()
    assert isinstance(order, Control)
    assert not order.controls.feeling


def test_sound_that_waits_too_long_is_dropped_and_counted(playing: WorkerEngine) -> None:
    for second in range(5):
        playing.hear(SOUND, RATE, float(second))
    (order,) = playing.orders()
    assert isinstance(order, Hear)
    assert [(chunk.captured_at, chunk.seconds) for chunk in order.chunks] == [(3.0, 2.0)]
    assert not playing.has_sound
    playing.hear(SOUND, RATE, 5.0)
    assert playing.orders() == []  # it came faster than it sounds, and waits
    assert playing.has_sound
    assert playing.counters().dropped_seconds == 3.25
    with pytest.raises(SoundError):
        playing.hear(SOUND, 100)


def test_a_frame_is_handed_on_with_its_pixels(engine: WorkerEngine) -> None:
    frames: list[Frame] = []
    engine.subscribe(frames.append)
    engine.made(made(7), PIXELS)
    assert [(frame.sequence, frame.pixels.sum()) for frame in frames] == [(7, PIXELS.sum())]
    assert engine.ready.is_set()
    assert (engine.state, engine.position.frames) == (EngineState.PLAYING, 8)


def test_another_worker_goes_on_from_where_the_last_one_was(playing: WorkerEngine, supervisor: Supervisor) -> None:
    playing.set({"glide": 4.0})
    playing.orders()
    playing.interrupt()
    supervisor.restarts += 1
    assert playing.state is EngineState.RESTARTING
    (play,) = playing.orders()
    assert isinstance(play, Play)
    assert (play.controls.parameters.glide, play.position.frames) == (4.0, 6)
    playing.made(made(6, frames=1), PIXELS)
    assert playing.state is EngineState.PLAYING
    assert playing.counters() == EngineCounters(7, 4, 2.0, 0.5, restarts=1)


def test_a_change_that_no_picture_came_of_is_given_up_so_that_it_ends_no_other_worker(
    playing: WorkerEngine, caplog: pytest.LogCaptureFixture
) -> None:
    playing.set({"steps": 2, "glide": 4.0})
    playing.orders()
    playing.interrupt()
    assert (playing.parameters.steps, playing.parameters.glide) == (1, 4.0)
    assert "no picture came with {'steps': 2}; going back to {'steps': 1}" in caplog.messages
    clock = playing.clock
    assert isinstance(clock, ManualClock)
    clock.set(clock.now() + BOUNDS.rest)
    playing.set({"steps": 2})
    playing.made(made(7, steps=2), PIXELS)
    playing.interrupt()
    assert playing.parameters.steps == 2


def test_a_change_while_the_picture_is_frozen_or_dark_is_given_up_as_well(playing: WorkerEngine) -> None:
    playing.set({"steps": 2})
    playing.orders()
    playing.made(made(6, steps=2, denoise=0.0), PIXELS)
    playing.interrupt()
    assert playing.parameters.steps == 1


def test_one_that_never_played_is_still_starting_when_its_worker_ends(engine: WorkerEngine) -> None:
    engine.interrupt()
    assert engine.state is EngineState.STARTING
    engine.fail(ProviderError("no hope"))
    assert (engine.state, str(engine.failure)) == (EngineState.FAILED, "no hope")


def test_it_hangs_when_frames_stay_away_and_not_while_no_worker_plays_it(playing: WorkerEngine) -> None:
    for sequence in range(6, 10):
        playing.made(made(sequence), PIXELS)
    looks = [playing.is_hung(0.1) for _ in range(60)]
    assert looks == sorted(looks)
    assert looks.index(True) == pytest.approx(25, abs=1)  # 2 s and the half second between frames of the unwatched
    playing.interrupt()
    assert not playing.is_hung(0.1)


@pytest.mark.parametrize(("change", "patient"), [({"steps": 2}, True), ({"walk": 2.0}, False)])
def test_it_is_patient_where_pictures_become_dearer(
    playing: WorkerEngine, change: dict[str, float], patient: bool
) -> None:
    for sequence in range(6, 10):
        playing.made(made(sequence), PIXELS)
    playing.set(change)
    playing.orders()
    assert (playing.watchdog.bound(0.0) == BOUNDS.patience) == patient


@pytest.mark.parametrize("before", [{"steps": 1}, {"steps": 2, "denoise": 0.0}])  # held back, or not painted yet
def test_it_is_patient_until_the_change_is_seen(playing: WorkerEngine, before: dict[str, float]) -> None:
    for sequence in range(6, 10):
        playing.made(made(sequence), PIXELS)
    playing.set({"steps": 2})
    playing.orders()
    for sequence in range(10, 20):
        playing.made(made(sequence, **before), PIXELS)  # type: ignore[arg-type]
    assert playing.watchdog.bound(0.0) == BOUNDS.patience
    for sequence in range(20, 23):
        playing.made(made(sequence, steps=2), PIXELS)
    assert playing.watchdog.bound(0.0) == BOUNDS.least


def test_after_a_change_that_no_worker_lived_with_others_wait(playing: WorkerEngine, supervisor: Supervisor) -> None:
    clock = playing.clock
    assert isinstance(clock, ManualClock)
    playing.set({"steps": 2})
    playing.interrupt()
    playing.set({"glide": 1.0})
    with pytest.raises(
        ParameterError, match=r"the engine has just ended by another steps or .*; try what takes less in 31 s"
    ):
        playing.set({"steps": 2})
    assert playing.parameters.steps == 1
    clock.set(clock.now() + BOUNDS.rest)
    assert playing.set({"steps": 2}).steps == 2


def test_changes_that_end_each_worker_end_no_stage() -> None:
    budget, now = RestartBudget(BOUNDS), 0.0
    for _ in range(10):
        assert budget.forgives(now)
        now += BOUNDS.rest


def test_counts_go_on_after_a_worker_has_ended(playing: WorkerEngine) -> None:
    playing.interrupt()
    assert playing.counters().frames == 6
    playing.made(made(6, frames=1), PIXELS)
    assert playing.counters().frames == 7


def test_a_worker_that_was_told_a_moment_ago_does_not_hang(
    playing: WorkerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sequence in range(6, 10):
        playing.made(made(sequence), PIXELS)
    assert any(playing.is_hung(0.5) for _ in range(6))
    playing.interrupt()
    looks, change = [], playing.watchdog.change

    def looked_at() -> None:
        looks.append(playing.is_hung(0.1))
        change()

    monkeypatch.setattr(playing.watchdog, "change", looked_at)
    playing.orders()
    assert looks == [False]


def test_a_tap_at_no_time_is_refused(playing: WorkerEngine) -> None:
    with pytest.raises(SoundError, match="the beat was tapped"):
        playing.tap(np.nan)


def test_a_slow_rate_that_was_asked_for_is_no_silence(playing: WorkerEngine) -> None:
    for sequence in range(6, 10):
        playing.made(made(sequence), PIXELS)
    playing.set({"frame_rate": 1.0})
    assert not any(playing.is_hung(0.1) for _ in range(29))


def test_it_leaves_its_supervisor(playing: WorkerEngine, supervisor: Supervisor) -> None:
    playing.stop()
    assert supervisor.left == "main"
    assert playing.farewell() == Leave("main")
    assert playing.orders() == []
