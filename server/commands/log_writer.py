"""Log writer: lines that a thread of its own writes, so that nobody who logs waits for whoever reads them.

A terminal that is stopped (Ctrl-S), a pager and a stalled log driver take no more lines; a server must play on and end.
"""

import logging
import os
import queue
import threading
import time

WAITING = 1000  # lines that may wait to be written; those after them are left out, and counted
LAST_SECONDS = 1.0  # that they are given at the end
RETRY_SECONDS = 0.05  # until another try, where the descriptor is one that never waits


class LogWriter(logging.Handler):
    """Handler that writes to a descriptor, and is not waited for."""

    def __init__(self, descriptor: int) -> None:
        """Write to `descriptor` from now on, as long as the process lives."""
        super().__init__()
        self.descriptor = descriptor
        self._lines: queue.Queue[str] = queue.Queue(WAITING)
        self._left_out = 0
        self._counting = threading.Lock()  # not the handler's own, which is held while it is closed
        threading.Thread(target=self._write, name="clavilux-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Let a record be written; never waits."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            with self._counting:
                self._left_out += 1
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Wait until all is written, for `LAST_SECONDS` at most."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, LAST_SECONDS)
        super().close()

    def _write(self) -> None:
        while True:
            self._put_out(self._lines.get())
            if self._lines.empty():
                self._tell_left_out()
            self._lines.task_done()

    def _tell_left_out(self) -> None:
        with self._counting:
            left_out, self._left_out = self._left_out, 0
        if left_out:
            self._put_out(self.format(_told_of(left_out)))

    def _put_out(self, line: str) -> None:
        """Write a line, as soon as somebody takes it; for who has gone, none."""
        left = f"{line}\n".encode(errors="backslashreplace")
        while left:
            try:
                left = left[os.write(self.descriptor, left) :]
            except BlockingIOError:
                time.sleep(RETRY_SECONDS)
            except OSError:
                return


def _told_of(left_out: int) -> logging.LogRecord:
    message = "%d lines of the log were left out: nobody has read the ones before them"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, (left_out,), None)
