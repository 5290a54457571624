"""Soak: memory of the server, and of a page's own process in real Chromium, while a stage plays for long.

    python -m clavilux.benchmarks.studies.soak --minutes 30 --sound song.wav -- --set react=2

Starts `clavilux serve` as a user does and opens its page in headless Chromium, whose microphone plays the sound again
and again and whose screen is drawn by a program. Nothing is attached to the page while it plays, for a debugger keeps
memory of its own; and a browser collects its garbage every ten minutes or so, so that shorter soaks only rise. What is
counted is memory that belongs to a process alone (anonymous, as Linux tells it). Prints a line every half minute and a
last line of JSON; needs Linux, the extra `test` and Chromium.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from clavilux.benchmarks.command_line import ended
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.browser import FLAGS, HEARS
from clavilux.benchmarks.measurements.machine import PROCESSES, anonymous_mb, family
from clavilux.benchmarks.measurements.serving import PATIENCE, POLL, serving
from clavilux.benchmarks.studies.screen import BY_PROGRAM

EVERY = 30.0  # s between two looks
PORT_FILE = "DevToolsActivePort"  # which Chromium writes into its profile


@dataclass(frozen=True)
class Look:
    """Memory at one moment, MB."""

    minute: float
    server: float
    page: float


def pages_of(browser: int, processes: Path = PROCESSES) -> list[Path]:
    """Return the folders of the processes that show pages for a browser. Raises BenchError when there are none."""
    parents, renderers = {}, []
    for process in processes.iterdir():
        try:
            parents[process.name] = (process / "stat").read_text().rpartition(")")[2].split()[1]
            words = (process / "cmdline").read_text()
        except OSError:
            continue  # no process, or one that has just ended
        if "--type=renderer" in words:
            renderers.append(process)
    found = [process for process in renderers if str(browser) in _ancestors(process.name, parents)]
    if not found:
        raise BenchError(f"no page of Chromium in {processes}; expected one that shows the stage; this needs Linux")
    return found


def _ancestors(process: str, parents: dict[str, str]) -> Iterator[str]:
    while process in parents:
        process = parents[process]
        yield process


def figures(looks: Sequence[Look]) -> dict[str, object]:
    """Return the first, least, most and last of both. Raises BenchError without a look."""
    if not looks:
        raise BenchError("not one look at the memory; soak for longer: --minutes 1")
    told: dict[str, object] = {"minutes": round(looks[-1].minute, 1)}
    for name in ("server", "page"):
        values = [float(getattr(look, name)) for look in looks]
        told[name] = [round(one) for one in (values[0], min(values), max(values), values[-1])]
    return told


@contextmanager
def playing(url: str, sound: Path) -> Iterator[int]:
    """Have a page that plays `sound` to the stage, with nothing attached to it; yield the browser's process."""
    program = shutil.which("chromium")
    if program is None:
        raise BenchError("no Chromium here; run: apt-get install chromium")
    with TemporaryDirectory() as folder:
        profile = Path(folder)
        flags = [*(flag for flag in FLAGS if flag != "--disable-gpu"), *BY_PROGRAM]
        own = [f"--user-data-dir={profile}", "--remote-debugging-port=0", "--window-size=1280,720"]
        hears = f"--use-file-for-fake-audio-capture={sound.resolve()}"
        command = [program, "--headless", *flags, *own, hears, url]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            _start(_port(profile))
            yield browser.pid
        finally:
            browser.terminate()
            browser.wait(PATIENCE)


def _port(profile: Path) -> int:
    """Return where the browser listens. Raises BenchError when it does not say."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        told = (profile / PORT_FILE).read_text().split() if (profile / PORT_FILE).exists() else []
        if told:
            return int(told[0])
        time.sleep(POLL)
    raise BenchError(f"Chromium did not start within {PATIENCE:.0f} s; run it by hand to see why")


def _start(port: int) -> None:
    """Press start, wait until sound is shown, and let go of the page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
        page = browser.contexts[0].pages[0]
        page.click("#start")
        while not page.evaluate(HEARS):
            page.wait_for_timeout(1000 * POLL)
        browser.close()


def soak(sound: Path, minutes: float, words: Sequence[str]) -> Iterator[Look]:
    """Play for so long; give a look at the memory every half minute."""
    with serving(words) as server, playing(server.url, sound) as browser:
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < 60 * minutes:
            time.sleep(min(EVERY, 60 * minutes - passed))
            yield Look(
                minute=(time.monotonic() - begun) / 60,
                server=sum(anonymous_mb(PROCESSES / str(one)) for one in family(server.process_id)),
                page=max(anonymous_mb(process) for process in pages_of(browser)),
            )


def _run(arguments: argparse.Namespace) -> None:
    looks = []
    for look in soak(arguments.sound, arguments.minutes, arguments.words):
        looks.append(look)
        print(f"minute {look.minute:5.1f}: server {look.server:4.0f} MB, page {look.page:4.0f} MB", flush=True)
    print(json.dumps(figures(looks)))


def main() -> int:
    """Run the study; return 0, or 2 after a line about a mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sound", type=Path, required=True, help="a WAV file for the browser's microphone")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    parser.add_argument("words", nargs="*", help="options for `clavilux serve`, after --")
    arguments = parser.parse_args()
    return ended("soak", lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())
