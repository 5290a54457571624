"""A real `clavilux serve`, started as a user starts it, for as long as a block lasts."""

import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from clavilux.benchmarks.errors import BenchError

PATIENCE = 60.0  # s, for anything to come
POLL = 0.02  # s, between two looks: as often as a server lets one address connect


@dataclass(frozen=True)
class Server:
    """A running `clavilux serve`."""

    url: str
    process_id: int
    listening_s: float  # from the command to its line with the address
    first_picture_s: float  # from the command to /readyz

    @property
    def socket(self) -> str:
        """The address of its websocket."""
        return self.url.replace("http", "ws", 1) + "ws"


@contextmanager
def serving(words: Sequence[str], patience: float = PATIENCE, log: IO[str] | None = None) -> Iterator[Server]:
    """Run the command until the block ends; yield once it has made its first picture. `log` gets what it logs.

    Raises BenchError when it says no address, ends, or makes no picture within `patience` seconds.
    """
    begin = time.perf_counter()
    command = [sys.executable, "-u", "-m", "clavilux", "serve", "--port", "0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
    silent = threading.Timer(patience, process.kill)  # ends a line that never comes
    silent.start()
    try:
        line = process.stdout.readline() if process.stdout else ""
        silent.cancel()
        address = re.search(r"http://\S+/", line)
        if address is None:
            said = f"said {line.strip()!r}" if line else f"said nothing within {patience:.0f} s, or ended"
            raise BenchError(f"clavilux serve {said}; expected its address; run: clavilux doctor")
        listening = time.perf_counter() - begin
        while not _ready(address[0]):
            if process.poll() is not None or time.perf_counter() - begin > patience:
                raise BenchError(f"clavilux serve made no picture within {patience:.0f} s; run: clavilux doctor")
            time.sleep(POLL)
        yield Server(address[0], process.pid, listening, time.perf_counter() - begin)
    finally:
        silent.cancel()
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:  # it hangs; nobody else would end it
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "readyz", timeout=PATIENCE) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:  # nobody listens yet, or is fed up with looks
        return False
