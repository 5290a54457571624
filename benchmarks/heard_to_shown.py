"""From the command to the first picture, and from a sound to the screen, through real Chromium.

    python -m benchmarks.heard_to_shown --seconds 20 --sound tests/sounds/dog.wav

Starts `clavilux serve` as a user does, opens its page in headless Chromium whose microphone plays the sound again and
again, and reads the latencies that the page's acknowledgements gave the server. Needs the extra `test` and Chromium.
Times on a busy machine say little; the last line is JSON with everything that was read.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from urllib.error import URLError

from playwright.sync_api import sync_playwright
from websockets.sync.client import connect
from websockets.typing import Subprotocol

PATIENCE = 60.0  # s, for anything to come
WARM_UP = 3.0  # s after the first picture that shows sound
POLL = 0.005  # s
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
HEARS = "Number(document.getElementById('latency').dataset.milliseconds) > 0"


@dataclass(frozen=True)
class Report:
    """What was measured; times in seconds or milliseconds as the names say."""

    listening_s: float  # from the command to its line with the address
    first_picture_s: float  # from the command to /readyz
    frames_per_second: float  # median of the statuses
    p50_ms: float  # heard to shown, as the browser acknowledged
    p95_ms: float
    resident_mb: float  # of the server, at the end


@dataclass(frozen=True)
class Server:
    """A running `clavilux serve`."""

    url: str
    process_id: int
    listening_s: float
    first_picture_s: float


@contextmanager
def serving(words: list[str]) -> Iterator[Server]:
    """Run the command until the block ends; yield once it has made its first picture."""
    begin = time.perf_counter()
    command = [sys.executable, "-u", "-m", "clavilux", "serve", "--port", "0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        line = process.stdout.readline() if process.stdout else ""
        address = re.search(r"http://\S+/", line)
        if address is None:
            raise SystemExit(f"clavilux serve said {line!r}; expected its address")
        listening = time.perf_counter() - begin
        while not _ready(address[0]):
            time.sleep(POLL)
        yield Server(address[0], process.pid, listening, time.perf_counter() - begin)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "readyz", timeout=PATIENCE) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except URLError:
        return False


def listen(url: str, sound: Path, seconds: float) -> list[dict[str, float]]:
    """Play in a browser for so long; return the statuses, each with `frame_rate`, `p50` and `p95`."""
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={sound.resolve()}"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url)
        page.click("#start")
        while not page.evaluate(HEARS):
            page.wait_for_timeout(1000 * POLL)
        page.wait_for_timeout(1000 * WARM_UP)
        statuses = list(_statuses(url, seconds))
        browser.close()
    return statuses


def _statuses(url: str, seconds: float) -> Iterator[dict[str, float]]:
    """Read statuses as a viewer that acknowledges nothing, so that the latencies are the browser's alone."""
    address = url.replace("http", "ws", 1) + "ws"
    with connect(address, subprotocols=[Subprotocol("clavilux.v1")]) as socket:
        socket.send(json.dumps({"type": "start", "role": "viewer"}))
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            message = socket.recv(timeout=PATIENCE)
            event = json.loads(message) if isinstance(message, str) else {}
            if event.get("type") == "status" and event["latency"]:
                yield {"frame_rate": event["frame_rate"], **event["latency"]}


def measure(sound: Path, seconds: float, words: list[str]) -> Report:
    """Start, play, and sum up."""
    with serving(words) as server:
        statuses = listen(server.url, sound, seconds)
        status = Path(f"/proc/{server.process_id}/status")
        resident = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else None
        return Report(
            listening_s=round(server.listening_s, 2),
            first_picture_s=round(server.first_picture_s, 2),
            frames_per_second=median(one["frame_rate"] for one in statuses),
            p50_ms=median(one["p50"] for one in statuses),
            p95_ms=median(one["p95"] for one in statuses),
            resident_mb=round(int(resident[1]) / 1000) if resident else 0,
        )


def main() -> None:
    """Measure and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sound", type=Path, required=True, help="a WAV file for the browser's microphone")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to listen (20)")
    parser.add_argument("words", nargs="*", help="options for `clavilux serve`, after --")
    arguments = parser.parse_args()
    report = asdict(measure(arguments.sound, arguments.seconds, arguments.words))
    for name, value in report.items():
        print(f"{name:20} {value:>10}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
