"""The log is written by a thread of its own: who logs never waits, and what nobody reads is left out and counted."""

import logging
import os
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest

from clavilux.server.commands import log_writer
from clavilux.server.commands.log_writer import LogWriter
from tests.server.fakes import DEADLINE

MANY = 20_000  # lines, more than may wait and a pipe holds
SCRIPT = f"""
import logging
from pathlib import Path
from clavilux.server.commands.log_format import begin_log
from clavilux.server.settings import Settings
from clavilux.server.web.run import serve
from tests.server.fakes import FakeEngine
begin_log("text", verbose=True)
for number in range({MANY}):
    logging.getLogger("clavilux.test").info("line %d", number)
serve(FakeEngine(), Settings(port=0, page=Path(".")), on_listening=lambda here: print(here.url, flush=True))
"""


@pytest.fixture
def pipe() -> Iterator[tuple[LogWriter, int]]:
    """A log, and the descriptor that it is read from."""
    reading, writing = os.pipe()
    writer = LogWriter(writing)
    yield writer, reading
    with suppress(OSError):  # which a test may have closed
        os.close(reading)
    writer.close()  # what waits is for nobody now
    os.close(writing)


def log(writer: LogWriter, *lines: str) -> None:
    for line in lines:
        writer.handle(logging.LogRecord("test", logging.INFO, "", 0, line, (), None))


def read(descriptor: int, last: str) -> list[str]:
    """Read until the line that ends with `last`; return all lines."""
    found = b""
    while not found.endswith(f"{last}\n".encode()):
        assert select.select([descriptor], [], [], DEADLINE)[0]
        found += os.read(descriptor, 1 << 16)
    return found.decode().splitlines()


def test_lines_come_in_order(pipe: tuple[LogWriter, int]) -> None:
    writer, reading = pipe
    log(writer, "one", "two", "thr\udce9e")
    writer.close()
    assert read(reading, "e") == ["one", "two", "thr\\udce9e"]


@pytest.mark.parametrize("waits", [True, False])
def test_what_nobody_reads_is_left_out_and_counted(pipe: tuple[LogWriter, int], waits: bool) -> None:
    writer, reading = pipe
    os.set_blocking(writer.descriptor, waits)
    log(writer, *[f"line {number:05} {'x' * 60}" for number in range(MANY)])
    lines = read(reading, "before them")
    told = f"{MANY - len(lines) + 1} lines of the log were left out: nobody has read the ones before them"
    assert lines[-1] == told
    assert all(line.startswith("line ") for line in lines[:-1])
    log(writer, "read again")
    assert read(reading, "read again")[-1] == "read again"


def test_a_reader_that_has_gone_is_sent_nothing(pipe: tuple[LogWriter, int]) -> None:
    writer, reading = pipe
    os.close(reading)
    log(writer, "one", "two")
    writer.close()


def test_the_end_waits_for_nobody_for_long(pipe: tuple[LogWriter, int], monkeypatch: pytest.MonkeyPatch) -> None:
    writer, _ = pipe
    with monkeypatch.context() as patch:
        patch.setattr(log_writer, "LAST_SECONDS", 0.01)
        log(writer, *["x" * 200] * MANY)
        writer.acquire()  # as logging does that ends
        writer.close()
        writer.release()
    assert writer._lines.unfinished_tasks > 0


def test_a_record_that_cannot_be_formatted_ends_nothing(
    pipe: tuple[LogWriter, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reading = pipe
    failed: list[logging.LogRecord] = []
    monkeypatch.setattr(LogWriter, "handleError", lambda _writer, record: failed.append(record))
    writer.handle(logging.LogRecord("test", logging.INFO, "", 0, "%d", ("no number",), None))
    log(writer, "next")
    assert read(reading, "next") == ["next"]
    assert len(failed) == 1


def test_a_server_whose_log_nobody_reads_answers_and_ends() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        url = process.stdout.readline().strip()
        for _ in range(3):
            with urllib.request.urlopen(f"{url}healthz", timeout=DEADLINE) as answer:
                assert answer.read() == b"ok"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
