"""From the command to the first picture, and from a sound to the screen, through real Chromium.

    python -m clavilux.benchmarks.measurements.browser --seconds 40 --sound tests/sounds/penguin.wav
    python -m clavilux.benchmarks.measurements.browser --pictures --sound tests/sounds/penguin.wav

Starts `clavilux serve` as a user does, opens its page in headless Chromium whose microphone plays the sound again and
again, and reads the latencies that the page's acknowledgements gave the server: those of the last 256, so that what is
slow at first is in them unless it listens for half a minute or longer. The screen is drawn by a program; with
`--pictures` it shows pictures alone. Needs the extra `test` and Chromium. Times on a busy machine say little; the last
line is JSON with everything that was read.
"""

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from playwright.sync_api import sync_playwright
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.machine import resident_mb
from clavilux.benchmarks.measurements.serving import PATIENCE, POLL, serving
from clavilux.command import EXIT_MISTAKE
from clavilux.runtime.errors import ClaviluxError

WARM_UP = 3.0  # s after the first picture that shows sound
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
class BrowserFigures:
    """Figures of a run in the browser; times in seconds or milliseconds as the names say."""

    listening_s: float  # from the command to its line with the address
    first_picture_s: float  # from the command to /readyz
    frames_per_second: float  # median of the statuses
    p50_ms: float  # heard to shown, as the browser acknowledged
    p95_ms: float
    resident_mb: float  # of the server, at the end


def listen(url: str, sound: Path, seconds: float, *, pictures: bool = False) -> list[dict[str, float]]:
    """Play in a browser for so long; return the statuses, each with `frame_rate`, `p50` and `p95`."""
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={sound.resolve()}"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{url}?pictures" if pictures else url)
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


def measure(sound: Path, seconds: float, words: list[str], *, pictures: bool = False) -> BrowserFigures:
    """Start, play, and sum up."""
    with serving(words) as server:
        statuses = listen(server.url, sound, seconds, pictures=pictures)
        if not statuses:
            raise BenchError(f"the browser showed no picture of a sound within {seconds:g} s; play longer: --seconds")
        resident = resident_mb(server.process_id)
        return BrowserFigures(
            listening_s=round(server.listening_s, 2),
            first_picture_s=round(server.first_picture_s, 2),
            frames_per_second=median(one["frame_rate"] for one in statuses),
            p50_ms=statuses[-1]["p50"],
            p95_ms=statuses[-1]["p95"],
            resident_mb=round(resident or 0),
        )


def main() -> None:
    """Measure and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sound", type=Path, required=True, help="a WAV file for the browser's microphone")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to listen (20)")
    parser.add_argument("--pictures", action="store_true", help="pictures alone: no light, no effects")
    parser.add_argument("words", nargs="*", help="options for `clavilux serve`, after --")
    arguments = parser.parse_args()
    try:
        report = asdict(measure(arguments.sound, arguments.seconds, arguments.words, pictures=arguments.pictures))
    except ClaviluxError as error:
        parser.exit(EXIT_MISTAKE, f"{parser.prog}: {error}\n")
    for name, value in report.items():
        print(f"{name:20} {value:>10}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
