"""Display rate of the page's screen in a browser, and the cost of each of its effects. Needs playwright and Chromium.

    python -m clavilux.benchmarks.studies.screen                             # 1280 x 720 and 1920 x 1080, by a program
    python -m clavilux.benchmarks.studies.screen --gpu                       # with this machine's graphics processor
    python -m clavilux.benchmarks.studies.screen --size 640x360 --rounds 30

A draw's cost is the time from its first call until its pixels can be read, the median of some rounds, at the resolution
that the screen begins with: all pixels on a card, a quarter each way for a program. The rate is that of refreshes while
pictures come fifteen times a second, at the resolution that the screen has chosen for itself by then. Prints a table,
and a line of JSON.
"""

import argparse
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import Page, sync_playwright

from clavilux.benchmarks.bench.report import columns
from clavilux.benchmarks.errors import BenchError
from clavilux.benchmarks.measurements import machine
from clavilux.runtime.errors import ClaviluxError
from clavilux.server.settings import PAGE

SIZES = ((1280, 720), (1920, 1080))
ROUNDS = 9
EXIT_USAGE = 2
SECONDS = 6.0  # of pictures at each setting
PICTURE_RATE = 15  # pictures a second
PICTURE_SIDE = 256  # pixels
BY_PROGRAM = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
BY_CARD = ("--enable-gpu", "--ignore-gpu-blocklist")
NOTHING = "pictures alone"
SETTINGS: dict[str, dict[str, float]] = {
    NOTHING: {},
    "zoom, rotation": {"zoom": 1.5, "rotation": 20.0},
    "mirror": {"mirror": 5},
    "displacement": {"displacement": 0.1},
    "hue, saturation, exposure": {"hue": 40.0, "saturation": 1.5, "exposure": 0.5},
    "glow": {"glow": 0.5},
    "trails": {"trails": 0.8},
    "grain": {"grain": 0.5},
    "all": {
        "zoom": 1.2,
        "rotation": 20.0,
        "mirror": 3,
        "displacement": 0.1,
        "hue": 40.0,
        "glow": 0.5,
        "trails": 0.8,
        "grain": 0.5,
    },
}

COMMON = """
  const screens = await import('/page/screen/screen.js');
  const canvases = [document.createElement('canvas'), document.createElement('canvas')];
  document.querySelector('main').replaceChildren(...canvases);
  const noise = (sequence) => ({
    sequence, madeAt: 1000 * performance.now(), encoding: 'rgb', width: side, height: side,
    data: Uint8Array.from({ length: 3 * side * side }, (_, at) => 100 + 60 * Math.sin((at + 9000 * sequence) / 3000)),
  });
  const screen = new screens.Screen(...canvases);
  if (screen.plain) return null;
  const refresh = () => new Promise(requestAnimationFrame);
"""
# Median ms of a draw, without and with a new picture, at the first resolution.
COST = f"""async ({{ values, rounds, side }}) => {{ {COMMON}
  screen.resolution.note = () => false;
  const costs = {{ draw: [], picture: [] }};
  for (let round = -2; round < 2 * rounds; round += 1) {{
    const kind = round % 2 ? 'draw' : 'picture';
    if (kind === 'picture') {{
      screen.show(noise(round));
      while (!screen._waiting && canvases[0].dataset.sequence !== String(round)) await refresh();
    }}
    screen._drain();
    const begun = performance.now();
    screen.draw(begun, values, {{}});
    screen._drain();
    if (round >= 0) costs[kind].push(performance.now() - begun);
  }}
  const median = (times) => times.sort((one, other) => one - other)[times.length >> 1];
  return {{ draw: median(costs.draw), picture: median(costs.picture) }};
}}"""
# Draws a second, and the resolution, over the second half of some seconds.
RATE = f"""async ({{ values, seconds, rate, side }}) => {{ {COMMON}
  let sequence = 0;
  const coming = setInterval(() => screen.show(noise(sequence++)), 1000 / rate);
  const [half, end] = [1, 2].map((part) => performance.now() + 500 * part * seconds);
  let draws = 0, since = null, last = null, now = 0;
  while ((now = await refresh()) < end) {{
    screen.draw(now, {{ ...values, exposure: Math.sin(now) / 100 }}, {{}});
    if (now < half) continue;
    if (since === null) since = now;
    else draws += 1;
    last = now;
  }}
  clearInterval(coming);
  return {{ rate: (1000 * draws) / Math.max(last - since, 1), scale: screen.resolution.scale }};
}}"""


@dataclass(frozen=True)
class Row:
    """Figures of one setting at one size."""

    width: int  # pixels
    height: int
    setting: str
    draw_ms: float  # of a draw at the first resolution
    picture_ms: float  # of one that takes a new picture
    display_rate: float  # draws a second, at the resolution that the screen has chosen
    scale: float  # that resolution, of the screen's width and height


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal for the table."""

    def do_GET(self) -> None:
        """Give the page's files, and at `/` a place for a canvas."""
        if self.path != "/":
            return super().do_GET()
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        style = "html, body, main { display: block; margin: 0; height: 100%; overflow: hidden; }"
        self.wfile.write(f"<!doctype html><style>{style}</style><main></main>".encode())
        return None


@contextmanager
def files() -> Iterator[str]:
    """Serve the page's files on a free port of this machine; give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(PAGE.parent)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def measure(page: Page, url: str, size: tuple[int, int], effort: tuple[int, float]) -> list[Row]:
    """Return a row for every setting; `effort` is rounds and seconds. Raises BenchError where there is no WebGL 2."""
    (width, height), (rounds, seconds) = size, effort
    page.set_viewport_size({"width": width, "height": height})
    rows = []
    for setting, values in SETTINGS.items():
        what = {"values": values, "rounds": rounds, "seconds": seconds, "rate": PICTURE_RATE, "side": PICTURE_SIDE}
        page.goto(url)  # a page for each: browsers keep only some contexts
        cost = page.evaluate(COST, what)
        if cost is None:
            raise BenchError("this browser has no WebGL 2 that draws into floats; without it there are no effects")
        shown = page.evaluate(RATE, what)
        rows.append(Row(width, height, setting, cost["draw"], cost["picture"], shown["rate"], shown["scale"]))
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows for people; each effect beside what it adds to pictures alone."""
    found = [("size", "setting", "draw", "adds", "with a picture", "refreshes", "at resolution")]
    for row in rows:
        alone = next(one for one in rows if (one.width, one.setting) == (row.width, NOTHING))
        found.append(
            (
                f"{row.width} x {row.height}",
                row.setting,
                f"{row.draw_ms:.1f} ms",
                f"{row.draw_ms - alone.draw_ms:+.1f} ms",
                f"{row.picture_ms:.1f} ms",
                f"{row.display_rate:.1f} /s",
                f"{row.scale:g}",
            )
        )
    return columns(found)


def size(word: str) -> tuple[int, int]:
    """Return width and height of a word such as "1280x720". Raises ArgumentTypeError for others."""
    try:
        width, height = (int(side) for side in word.split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{word!r} is no size; write one as 1280x720") from error
    return width, height


def main(words: list[str] | None = None) -> int:
    """Measure, print a table and a line of JSON; return 0, or EXIT_USAGE where nothing can be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size, action="append", help="of the screen; may be given several times")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--gpu", action="store_true", help="draw with the graphics processor")
    arguments = parser.parse_args(words)
    host = machine.describe()
    if loud := machine.warning(host):
        print(f"*** {loud}", file=sys.stderr)
    try:
        rows = [row for each in browse(arguments) for row in each]
    except ClaviluxError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    print(table(rows))
    print(json.dumps({"machine": asdict(host), "gpu": arguments.gpu, "rows": [asdict(row) for row in rows]}))
    return 0


def browse(arguments: argparse.Namespace) -> Iterator[list[Row]]:
    """Give the rows of each size, in one Chromium. Raises BenchError where it cannot draw."""
    flags = ["--no-sandbox", *(BY_CARD if arguments.gpu else BY_PROGRAM)]
    with files() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page()
        for each in arguments.size or SIZES:
            yield measure(page, url, each, (arguments.rounds, arguments.seconds))
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
