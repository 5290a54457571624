"""Phases of a long training: each is done once, and its wall and processor time is recorded.

Assumes one process per folder. Times of earlier, interrupted runs of a phase are added up.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from clavilux.runtime.files import written_whole
from clavilux.training.command_line import LOG


@dataclass
class Duration:
    """Duration of a phase in seconds; processor time counts every core and every child process."""

    wall: float = 0.0
    processor: float = 0.0


class PhaseRunner:
    """Runs the phases of one folder, which keeps a record of each that is finished; `run` skips what is done."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def run(self, name: str, work: Callable[[], object]) -> None:
        """Do `work` unless the phase `name` has been done before."""
        if self._record(name, "done").exists():
            LOG.info("%s: done before", name)
            return
        LOG.info("%s: begins", name)
        with self._timed(name):
            work()
        self._record(name, "times").rename(self._record(name, "done"))
        LOG.info("%s: done, %s", name, self.times()[name])

    def times(self) -> dict[str, Duration]:
        """Return the times of the finished phases, in the order in which they finished."""
        records = sorted(self.folder.glob("*.done.json"), key=lambda path: path.stat().st_mtime_ns)
        return {path.name.removesuffix(".done.json"): Duration(**json.loads(path.read_text())) for path in records}

    def _record(self, name: str, state: str) -> Path:
        return self.folder / f"{name}.{state}.json"

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        record = self._record(name, "times")
        before = Duration(**json.loads(record.read_text())) if record.exists() else Duration()
        wall, processor = time.monotonic(), _processor_seconds()
        try:
            yield
        finally:
            wall, processor = time.monotonic() - wall, _processor_seconds() - processor  # never below 0, so never less
            spent = Duration(before.wall + wall, before.processor + processor)
            with written_whole(record) as part:
                part.write_text(json.dumps(asdict(spent)))


def _processor_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
