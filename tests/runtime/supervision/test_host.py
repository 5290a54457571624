"""The worker's side, here in this process: orders in, reports out."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.errors import BundleError
from clavilux.runtime.instrument import Position
from clavilux.runtime.models import Models
from clavilux.runtime.queues import Chunk
from clavilux.runtime.supervision.host import ENDED, FELL, Host
from clavilux.runtime.supervision.messages import (
    Control,
    Controls,
    Facts,
    Fell,
    Felt,
    Hear,
    Leave,
    Loaded,
    Made,
    Play,
    Refused,
    Report,
)
from clavilux.runtime.supervision.shared_pictures import PictureReader
from tests.runtime.instruments import DEADLINE, RATE, unplayed
from tests.troubled import cause, open_troubled
from tests.waiting import until


class Worker:
    """A host in this process, and the ends of the pipe and the memory that a server has."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.reports, reports = Pipe(duplex=False)
        prefix = f"clvt{secrets.token_hex(5)}"
        self.reader = PictureReader(prefix)
        self.host = Host(reports, prefix, self.ended.append)

    def hear(self, kind: type[Report]) -> Report:
        """Return the next report of a kind; pictures of others are freed."""
        while self.reports.poll(DEADLINE):
            report: Report = self.reports.recv()
            if isinstance(report, kind):
                return report
            if isinstance(report, Made):
                self.reader.take(report.place)
        raise TimeoutError(f"no {kind.__name__}")

    def close(self) -> None:
        self.host.stop()
        self.reports.close()
        self.reader.close()


@pytest.fixture
def worker() -> Iterator[Worker]:
    with closing(Worker()) as one:
        yield one


@pytest.fixture
def facts(worker: Worker, tiny_bundle: Path) -> Facts:
    """The facts of a worker that has loaded the tiny bundle."""
    instrument = unplayed(tiny_bundle)
    worker.host.load(lambda: (instrument.bundle, instrument.models))
    loaded = worker.hear(Loaded)
    assert isinstance(loaded, Loaded)
    return loaded.facts


def play(worker: Worker, facts: Facts, stage: str = "main", position: Position | None = None) -> Controls:
    controls = Controls(facts.defaults.merge({"blackout": True}, facts.ranges))
    worker.host.take(Play(stage, controls, position or Position()))
    return controls


def test_it_tells_what_it_has_loaded(facts: Facts, tiny_bundle: Path) -> None:
    assert (facts.bundle, facts.height, facts.width) == ("tiny", 64, 64)
    assert facts.provider == "CPUExecutionProvider"
    assert facts.defaults == unplayed(tiny_bundle).defaults


def test_what_cannot_be_loaded_is_refused_in_its_own_words(worker: Worker) -> None:
    def broken() -> tuple[Bundle, Models]:
        raise BundleError("no bundle here")

    worker.host.load(broken)
    refused = worker.hear(Refused)
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, BundleError)
    worker.host.take(Play("main", Controls.__new__(Controls), Position()))  # comes to nothing


def test_a_stage_is_played_with_its_parameters_from_where_it_was(worker: Worker, facts: Facts) -> None:
    position = replace(Position(frames=41), noise=replace(Position().noise, walked=7.5))
    controls = play(worker, facts, position=position)
    made = worker.hear(Made)
    assert isinstance(made, Made)
    assert (made.frame.sequence, made.frame.pixels.size, made.counters.frames) == (41, 0, 1)
    assert made.position.noise.walked >= 7.5
    pixels = worker.reader.take(made.place)
    assert pixels.shape == (64, 64, 3)
    assert not pixels.any()  # blackout
    light = replace(controls, parameters=controls.parameters.merge({"blackout": False}, facts.ranges))
    worker.host.take(Control("main", light))
    while True:
        later = worker.hear(Made)
        assert isinstance(later, Made)
        if worker.reader.take(later.place).any():
            break


def test_sound_shapes_frames_and_becomes_readings(worker: Worker, facts: Facts) -> None:
    controls = play(worker, facts)
    worker.host.take(Control("main", replace(controls, feeling=True)))
    sound = np.random.default_rng(0).normal(0, 0.1, (RATE // 2, 1)).astype(np.float32)
    worker.host.take(Hear("main", (Chunk(sound, RATE, 5.0),), (5.2,)))
    felt = worker.hear(Felt)
    assert isinstance(felt, Felt)
    assert felt.captured_at == pytest.approx(5.01)
    while not (isinstance(made := worker.hear(Made), Made) and made.counters.heard_seconds == 0.5):
        assert isinstance(made, Made)
        worker.reader.take(made.place)
    worker.host.take(Control("main", controls))  # no readings any more
    worker.host.take(Leave("main"))


def test_a_stage_that_is_left_or_was_never_played_takes_nothing(worker: Worker, facts: Facts) -> None:
    controls = play(worker, facts)
    play(worker, facts, "other")
    worker.hear(Made)
    for order in (Leave("main"), Leave("main"), Control("main", controls), Hear("nobody", (), ())):
        worker.host.take(order)
    while not (isinstance(made := worker.hear(Made), Made) and made.stage == "other"):
        assert isinstance(made, Made)
        worker.reader.take(made.place)
    assert not worker.ended


def test_a_stage_that_is_played_again_begins_anew_and_the_engine_before_ends(worker: Worker, facts: Facts) -> None:
    play(worker, facts)
    worker.hear(Made)
    before = worker.host._engines["main"]
    play(worker, facts, position=replace(Position(frames=900)))
    assert not before._thread.is_alive()
    while not (isinstance(made := worker.hear(Made), Made) and made.frame.sequence >= 900):
        assert isinstance(made, Made)
        worker.reader.take(made.place)


def test_orders_end_with_their_pipe(worker: Worker, facts: Facts) -> None:
    ours: Connection
    theirs, ours = Pipe(duplex=False)
    ours.send(Play("main", Controls(facts.defaults), Position()))
    ours.close()
    worker.host.obey(theirs)
    worker.hear(Made)
    theirs.close()


@pytest.mark.parametrize(("word", "line"), [("fail", "the card has left"), ("nan", "not finite")])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_fails_ends_the_worker_with_its_reason(
    worker: Worker, tiny_bundle: Path, tmp_path: Path, word: str, line: str
) -> None:
    trouble = tmp_path / "trouble"
    cause(trouble, word)
    worker.host.load(lambda: open_troubled(tiny_bundle, trouble))
    loaded = worker.hear(Loaded)
    assert isinstance(loaded, Loaded)
    worker.host.take(Play("main", Controls(loaded.facts.defaults), Position()))
    fell = worker.hear(Fell)
    assert isinstance(fell, Fell)
    assert line in fell.line
    until(lambda: worker.ended == [FELL], "the worker to end")


def test_nobody_who_reads_ends_the_worker(worker: Worker, facts: Facts) -> None:
    worker.reports.close()
    play(worker, facts)
    until(lambda: ENDED in worker.ended, "the worker to end")
