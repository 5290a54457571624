"""Sound to shader: from a click in a browser's microphone to the draw that its onset moves, through real Chromium.

    python -m clavilux.benchmarks.studies.sound_to_shader --seconds 30
    python -m clavilux.benchmarks.studies.sound_to_shader --size 640x360 -- --device openvino

Starts `clavilux serve` as a user does and opens its page in Chromium, whose microphone hears 120 clicks a minute and
whose screen is drawn by a program (`--gpu`: by this machine's graphics processor). Times count from when the page has
the click's first sample, so the browser's own capture is not in them: until its pulse tells the onset, and until the
commands of the draw that shows it are out. Prints a table and a line of JSON; needs the extra `test` and Chromium.
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from clavilux.benchmarks.command_line import ended
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements.browser import FLAGS, HEARS, WARM_UP
from clavilux.benchmarks.measurements.percentiles import MS, summary
from clavilux.benchmarks.measurements.serving import POLL, serving
from clavilux.benchmarks.studies.reaction import CLICK_SECONDS, metronome
from clavilux.benchmarks.studies.screen import BY_CARD, BY_PROGRAM, size

Floats = NDArray[np.float64]

LOUD = 0.1  # of full scale: a sample above it, after REST without one, begins a click
REST = 0.25  # s
AFTER = 0.3  # s that an onset and a draw may come after their click; later ones are not its own

# Keeps how long the browser says that its own capture takes, ms.
CAPTURE = """
window.captureDelay = 0;
const ask = MediaDevices.prototype.getUserMedia;
MediaDevices.prototype.getUserMedia = async function (wanted) {
  const stream = await ask.call(this, wanted);
  window.captureDelay = 1000 * (stream.getAudioTracks()[0]?.getSettings().latency ?? 0);
  return stream;
};
"""
# Notes, in local ms, each click's first sample, each onset that the pulse tells, and each draw that one moves.
LISTEN = """async ([loud, rest]) => {
  const { Stage } = await import('/page/clavilux.js');
  const { Show } = await import('/page/show.js');
  const noted = (window.noted = { clicks: [], onsets: [], draws: [] });
  let quietSince = -Infinity;
  const { send } = Stage.prototype, { feel, draw } = Show.prototype;
  Stage.prototype.send = function (samples, capturedAt) {
    const perMs = this.options.sound.rate / 1000;
    samples.forEach((sample, k) => {
      if (Math.abs(sample) < loud) return;
      const at = capturedAt + window.captureDelay + k / perMs;
      if (at - quietSince > rest) noted.clicks.push(at);
      quietSince = at;
    });
    return send.call(this, samples, capturedAt);
  };
  Show.prototype.feel = function (readings, at, source) {
    if (readings.some((reading) => reading.onset > 0)) noted.onsets.push(performance.now());
    return feel.call(this, readings, at, source);
  };
  Show.prototype.draw = function (now) {
    const moved = this._onset > 0;
    draw.call(this, now);
    if (moved) noted.draws.push(performance.now());
  };
}"""


@dataclass(frozen=True)
class Figures:
    """Figures of one run, ms."""

    clicks: int  # that were heard
    told: int  # of them, that an onset followed
    told_p50: float
    told_p95: float
    drawn: int  # of them, that a draw followed
    drawn_p50: float
    drawn_p95: float


def figures(noted: dict[str, list[float]]) -> Figures:
    """Return what the page's notes say."""
    clicks = np.array(noted["clicks"])
    delays = {name: _delays(clicks, np.array(noted[name])) for name in ("onsets", "draws")}
    if not all(len(found) for found in delays.values()):
        raise BenchError(f"of {len(clicks)} clicks none was told and drawn; listen longer: --seconds")
    told, drawn = (summary(found) for found in delays.values())
    return Figures(len(clicks), told.count, told.p50, told.p95, drawn.count, drawn.p50, drawn.p95)


def _delays(clicks: Floats, events: Floats) -> list[float]:
    """Return, for each click that has one, how long after it its first event came, s; both came in ms."""
    found = []
    for click in clicks:
        later = events[(events >= click) & (events < click + MS * AFTER)]
        found += [float(later[0] - click) / MS] if len(later) else []
    return found


def listen(url: str, seconds: float, extent: tuple[int, int], flags: tuple[str, ...]) -> dict[str, list[float]]:
    """Let a page hear clicks for so long; return its notes."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        sound = Path(folder) / "clicks.wav"
        clip = metronome(60 * CLICK_SECONDS)
        soundfile.write(sound, clip.samples, clip.rate, subtype="PCM_16")
        kept = [flag for flag in FLAGS if flag != "--disable-gpu"]
        heard = f"--use-file-for-fake-audio-capture={sound}"
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*kept, *flags, heard])
        width, height = extent
        page: Page = browser.new_page(viewport={"width": width, "height": height})
        page.add_init_script(CAPTURE)
        page.goto(url)
        page.click("#start")
        while not page.evaluate(HEARS):
            page.wait_for_timeout(MS * POLL)
        page.wait_for_timeout(MS * WARM_UP)
        page.evaluate(LISTEN, [LOUD, MS * REST])
        page.wait_for_timeout(MS * seconds)
        noted: dict[str, list[float]] = page.evaluate("window.noted")
        browser.close()
    return noted


def _run(arguments: argparse.Namespace) -> None:
    flags = BY_CARD if arguments.gpu else BY_PROGRAM
    with serving(arguments.words) as server:
        found = asdict(figures(listen(server.url, arguments.seconds, arguments.size, flags)))
    for name, value in found.items():
        print(f"{name:12} {value:>8.4g}")
    print(json.dumps(found))


def main() -> int:
    """Measure; return 0, or 2 after a line about a mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to listen (30)")
    parser.add_argument("--size", type=size, default=(1280, 720), help="of the page, WxH (1280x720)")
    parser.add_argument("--gpu", action="store_true", help="draw with this machine's graphics processor")
    parser.add_argument("words", nargs="*", help="options for `clavilux serve`, after --")
    return ended("sound_to_shader", lambda: _run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
