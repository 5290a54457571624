"""Phases of a long training: each is done once, and its wall and processor time is recorded.

At a deadline nothing is begun any more. Assumes one process per folder. Times of earlier, interrupted runs of a phase
are added up, and noted while it runs, for a process that is killed.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread

from clavilux.runtime.errors import ClaviluxError
from clavilux.runtime.files import written_whole
from clavilux.training.command_line import LOG

NEVER = math.inf  # a deadline that does not come
NOTED = 30.0  # s between two notes of how long a phase has taken


class TimeUpError(ClaviluxError):
    """The time that was given is over; what is done is kept, and the same command goes on."""


def check_time(deadline: float, name: str) -> None:
    """Raise TimeUpError at the deadline, in s since the epoch, before something is begun."""
    if time.time() >= deadline:
        raise TimeUpError(f"{name}: time is up before it begins")


@dataclass
class Duration:
    """Duration of a phase in seconds; processor time counts every core and every child process."""

    wall: float = 0.0
    processor: float = 0.0


def done_record(folder: Path, name: str) -> Path:
    """Return the record of a finished phase: where it exists, the phase is done."""
    return folder / f"{name}.done.json"


def times_record(folder: Path, name: str) -> Path:
    """Return the record of a phase that was begun and is not finished."""
    return folder / f"{name}.times.json"


class PhaseRunner:
    """Runs the phases of one folder, which keeps a record of each that is finished; `run` skips what is done."""

    def __init__(self, folder: Path, deadline: float = NEVER) -> None:
        """`deadline` is in s since the epoch."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._deadline = deadline

    def run(self, name: str, work: Callable[[], object]) -> None:
        """Do `work` unless the phase `name` has been done before. Raises TimeUpError at the deadline."""
        if done_record(self.folder, name).exists():
            LOG.info("%s: done before", name)
            return
        check_time(self._deadline, name)
        LOG.info("%s: begins", name)
        with self._timed(name):
            work()
        times_record(self.folder, name).rename(done_record(self.folder, name))
        LOG.info("%s: done, %s", name, self.times()[name])

    def times(self) -> dict[str, Duration]:
        """Return the times of the finished phases, in the order in which they finished."""
        records = sorted(self.folder.glob("*.done.json"), key=lambda path: path.stat().st_mtime_ns)
        return {path.name.removesuffix(".done.json"): Duration(**json.loads(path.read_text())) for path in records}

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        record = times_record(self.folder, name)
        before = Duration(**json.loads(record.read_text())) if record.exists() else Duration()
        wall, processor, ended = time.monotonic(), _processor_seconds(), Event()

        def note() -> None:
            taken = time.monotonic() - wall, _processor_seconds() - processor  # never below 0, so never less
            with written_whole(record) as part:
                part.write_text(json.dumps(asdict(Duration(before.wall + taken[0], before.processor + taken[1]))))

        def note_on() -> None:
            while not ended.wait(NOTED):
                note()

        noting = Thread(target=note_on, daemon=True)
        noting.start()
        try:
            yield
        finally:
            ended.set()
            noting.join()
            note()


def all_ended(lines: Sequence[Future[None]]) -> None:
    """Wait for lines of work that run side by side; a mistake in one is logged at once.

    Raises that mistake when all have ended, or TimeUpError where it is the only reason.
    """
    reasons: list[BaseException] = []
    for line in as_completed(lines):
        if (reason := line.exception()) is not None:
            reasons.append(reason)
            LOG.error("%s; what runs beside it goes on to its end", reason)
    for reason in sorted(reasons, key=lambda one: isinstance(one, TimeUpError)):
        raise reason


def _processor_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
