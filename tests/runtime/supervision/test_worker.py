"""A real worker process: killed, hung and failing ones are followed by others, and none is left behind."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.errors import BundleError, ParameterError, ProviderError
from clavilux.runtime.frame import Frame
from clavilux.runtime.loading import open_models
from clavilux.runtime.playing.engine_state import EngineState
from clavilux.runtime.supervision import worker as worker_module
from clavilux.runtime.supervision.host import SENT_TO_ALL
from clavilux.runtime.supervision.shared_pictures import PictureReader
from clavilux.runtime.supervision.watchdog import Bounds
from clavilux.runtime.supervision.worker import EngineWorker
from clavilux.runtime.supervision.worker_engine import WorkerEngine
from tests.runtime.instruments import RATE
from tests.troubled import cause, open_troubled
from tests.waiting import DEADLINE, until

HASTY = Bounds(patience=20.0, least=0.3, factor=30.0)
DYING = """
import sys
from functools import partial
from pathlib import Path
from clavilux.runtime.loading import open_models
from clavilux.runtime.supervision.worker import EngineWorker

if __name__ == "__main__":
    worker = EngineWorker(partial(open_models, Path(sys.argv[1]), threads=1))
    worker.open()
    print(worker.pid, flush=True)
    sys.stdin.read()
"""


class Show:
    """A worker on models that get into trouble when asked to, and what came from it."""

    def __init__(self, bundle: Path, trouble: Path) -> None:
        self.trouble = trouble
        self.frames: list[Frame] = []
        self.states: list[EngineState] = []
        self.worker = EngineWorker(partial(open_troubled, bundle, trouble), bounds=HASTY)
        self.worker.open()
        self.engine: WorkerEngine = self.worker.engine()
        self.engine.subscribe(self.frames.append)
        self.engine.watch(1)
        self.engine.start()
        self.more()

    def more(self) -> Frame:
        """Wait for frames that come after now, and return the last one."""
        seen = len(self.frames)
        until(lambda: len(self.frames) > seen + 4, "more frames")
        return self.frames[-1]

    def restarted(self, by: Callable[[], object]) -> None:
        """Do what makes the worker end, and wait until another one plays."""
        before = self.worker.restarts
        by()
        until(lambda: self.engine.state is EngineState.RESTARTING, "the worker to end")
        until(lambda: self.engine.state is EngineState.PLAYING, "another one to play")
        assert self.worker.restarts == before + 1


@pytest.fixture
def show(tiny_bundle: Path, tmp_path: Path) -> Iterator[Show]:
    shown = Show(tiny_bundle, tmp_path / "trouble")
    yield shown
    shown.worker.close()


@pytest.fixture(scope="module")
def shared(tiny_bundle: Path) -> Iterator[EngineWorker]:
    with EngineWorker(partial(open_models, tiny_bundle, threads=1)) as worker:
        worker.engine("keeps it open")
        yield worker


@pytest.fixture
def engine(shared: EngineWorker, request: pytest.FixtureRequest) -> Iterator[WorkerEngine]:
    playing = shared.engine(request.node.name)
    playing.start()
    yield playing
    playing.stop()


def is_alive(pid: int) -> bool:
    """Return whether a process runs, which is not the case for one that only waits to be buried."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended, or does while it is read
        return False


def test_it_is_an_engine_like_any_other(engine: WorkerEngine) -> None:
    taken = threading.Event()
    felt = threading.Event()
    leave = engine.subscribe(lambda frame: taken.set() if frame.heard_until is not None else None)
    unfeel = engine.feel(lambda pulses, captured_at: felt.set())
    engine.hear(np.random.default_rng(0).normal(0, 0.1, 3 * RATE // 2).astype(np.float32), RATE)
    engine.tap()
    assert engine.set({"glide": 2.0}).glide == 2.0
    assert taken.wait(DEADLINE)
    assert felt.wait(DEADLINE)
    leave()
    unfeel()
    engine.look_ahead(0.1)
    assert engine.picture == (64, 64)
    assert engine.parameters.glide == 2.0
    assert engine.defaults.glide != 2.0
    counters = engine.counters()
    assert (counters.heard_seconds, counters.dropped_seconds, counters.restarts) == (1.5, 0.0, 0)
    with pytest.raises(ParameterError, match="glide is -1"):
        engine.set({"glide": -1})


def test_engines_of_one_worker_play_side_by_side_and_leave_alone(shared: EngineWorker, engine: WorkerEngine) -> None:
    other = shared.engine("other")
    other.start()
    for one in (engine, other):
        assert one.ready.wait(DEADLINE)
    assert engine.clock is other.clock
    other.stop()
    before = engine.counters().frames
    until(lambda: engine.counters().frames > before, "frames after the other one has left")
    with pytest.raises(ProviderError, match="one of each name"):
        shared.engine(engine.name)


def test_a_worker_that_is_killed_is_followed_by_another_from_where_it_was(show: Show) -> None:
    show.engine.set({"glide": 1.25, "walk": 2.0})
    show.more()
    pid, last = show.worker.pid, show.frames[-1].sequence
    assert pid is not None
    walked = show.engine.position.noise.walked
    show.restarted(lambda: os.kill(pid, signal.SIGKILL))
    show.more()
    sequences = [frame.sequence for frame in show.frames]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    assert sequences[-1] > last
    assert show.engine.position.noise.walked > walked
    assert show.frames[-1].values["glide"] == 1.25
    assert not is_alive(pid)
    assert show.engine.counters().frames == len(show.frames)


@pytest.mark.parametrize("word", ["hang", "fail", "memory", "nan", "exit"])
def test_a_worker_in_trouble_is_followed_by_another(show: Show, word: str) -> None:
    show.restarted(lambda: cause(show.trouble, word))
    assert show.engine.failure is None
    assert show.more().pixels.any()


def test_three_failures_in_a_minute_are_final_and_say_why(show: Show) -> None:
    cause(show.trouble, "fail", "fail", "fail")
    until(lambda: show.engine.state is EngineState.FAILED, "the engine to fail for good")
    assert str(show.engine.failure) == (
        "the engine's worker has ended 3 times in 60 s, the last time by ProviderError: the card has left"
    )
    assert show.worker.restarts == 2
    assert show.worker.pid is None


def test_signals_to_all_processes_of_a_server_end_no_worker(show: Show) -> None:
    pid = show.worker.pid
    assert pid is not None
    for number in SENT_TO_ALL:
        os.kill(pid, number)
    show.more()
    assert (show.worker.pid, show.worker.restarts) == (pid, 0)


def test_a_worker_that_hangs_ends_with_its_server(show: Show) -> None:
    pid = show.worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    show.engine.stop()
    assert not is_alive(pid)


def test_a_worker_that_is_closed_while_it_starts_ends(tiny_bundle: Path) -> None:
    worker = EngineWorker(partial(open_models, tiny_bundle, threads=1))
    closing, starter = threading.Thread(target=worker.close), worker._starter
    pids: list[int] = []

    def start() -> object:
        life = starter()
        pids.append(life.pid)
        closing.start()
        until(worker._closing.is_set, "the closing to begin")
        return life

    worker._starter = start
    threading.Thread(target=worker._live, daemon=True).start()
    until(lambda: pids and not is_alive(pids[0]), "the worker to end")
    closing.join(DEADLINE)
    assert not closing.is_alive()


def test_orders_for_a_worker_that_has_just_ended_are_given_to_the_next_one(show: Show) -> None:
    over = show.worker._life
    assert over is not None
    show.restarted(lambda: os.kill(over.pid, signal.SIGKILL))
    show.engine.set({"glide": 3.5})
    show.worker._forget_if_over(over)  # as the sender finds out that it has sent to the one before
    until(lambda: show.frames[-1].values["glide"] == 3.5, "the parameters to arrive")


def test_what_cannot_be_handed_to_a_worker_is_told_and_waited_for_by_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        EngineWorker(lambda: None).open()  # type: ignore[arg-type,return-value]
    assert "the engine's worker cannot be started again" in caplog.text


def test_a_server_that_cannot_open_its_workers_memory_says_so(
    show: Show, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_reader: object, block: int) -> None:
        if block > 0:  # looked for when a worker has ended
            raise FileNotFoundError
        monkeypatch.undo()
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(PictureReader, "_follow", refuse)
    pid = show.worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: show.worker.restarts == 2, "the second worker to end as well")
    show.more()
    assert "shared memory cannot be opened ([Errno 24] Too many open files)" in caplog.messages[-1]


def test_what_cannot_be_loaded_is_refused_as_in_process(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"bundle\.json"):
        EngineWorker(partial(open_models, tmp_path)).open()


def test_where_the_system_starts_no_worker_it_is_tried_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    def start() -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(worker_module, "AGAIN_SECONDS", 0.1)
    worker = EngineWorker(partial(os._exit, 5))
    worker._starter = start
    begun = time.monotonic()
    with pytest.raises(ProviderError, match=r"ended 3 times .* the system starts none: .*temporarily unavailable"):
        worker.open()
    assert time.monotonic() - begun >= 0.3


def test_a_worker_that_dies_while_it_loads_is_tried_three_times() -> None:
    with pytest.raises(ProviderError, match="ended 3 times in 60 s, the last time by exit code 5"):
        EngineWorker(partial(os._exit, 5)).open()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
def test_a_server_that_is_killed_takes_its_worker_along(tiny_bundle: Path, tmp_path: Path) -> None:
    script = tmp_path / "dying.py"
    script.write_text(DYING)
    line = [sys.executable, str(script), str(tiny_bundle)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert is_alive(pid)
        server.kill()
    until(lambda: not is_alive(pid), "the worker to end")
