"""The p5.js sketch in real Chromium: the stage's pictures on its canvas, and what it does with what is heard.

p5.js itself is not part of Clavilux (its licence is LGPL-2.1): the variable CLAVILUX_P5 names a p5.min.js, or npm gets
one. The page comes from another server than the stage, as a sketch does.
"""

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from clavilux import open_engine
from clavilux.runtime.frame import Frame
from clavilux.runtime.playing.engine import Engine
from clavilux.server.settings import PAGE, Settings
from tests.server.fakes import serving
from tests.server.page.browser import PATIENCE, SCREEN, SOUNDS, launch, opened, until

pytestmark = pytest.mark.browser

SKETCH = Path(__file__).parents[2] / "examples" / "p5"
P5 = "p5@2.3.4"
NPM_SECONDS = 120.0
RATE = 16_000  # Hz
UNHURRIED = {"frame_rate": 8.0}  # enough to see, and it leaves the processor to the browser
RADIUS = 0.3 * min(SCREEN)  # pixels, of the disc with the picture
INSIDE = 0.6  # of the picture's sides: the middle square, which lies within the disc
DARK, BRIGHT = 8.0, 60.0  # of 255
MANY = 30  # of the sketch's rays


@pytest.fixture(scope="module")
def p5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A p5.min.js."""
    if given := os.environ.get("CLAVILUX_P5"):
        return Path(given)
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here to get p5.js with; CLAVILUX_P5=FILE names a p5.min.js")
    folder = tmp_path_factory.mktemp("p5")
    command = [npm, "pack", P5, "--silent", "--pack-destination", str(folder)]
    name = subprocess.run(command, capture_output=True, text=True, timeout=NPM_SECONDS, check=True).stdout.strip()
    with tarfile.open(folder / name) as archive:
        archive.extract("package/lib/p5.min.js", folder, filter="data")
    return folder / "package" / "lib" / "p5.min.js"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def origin(p5: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The sketch on a web server of its own, with the two files beside it that its page asks for."""
    folder = shutil.copytree(SKETCH, tmp_path_factory.mktemp("sketch") / "p5")
    shutil.copy(PAGE / "clavilux.js", folder)
    shutil.copy(p5, folder / "p5.min.js")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(PATIENCE)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return open_engine(threads=1)


@pytest.fixture(scope="module")
def frames(engine: Engine) -> list[Frame]:
    """Every frame that the engine has given."""
    given: list[Frame] = []
    engine.subscribe(given.append)
    return given


@pytest.fixture(scope="module")
def address(engine: Engine, origin: str) -> Iterator[str]:
    """The sketch's address on a stage that trusts it."""
    engine.set(UNHURRIED)
    with serving(engine, Settings(port=0, origins=(origin,), status_seconds=0.1)) as here:
        yield f"{origin}/?stage=ws://{here.host}:{here.port}/ws"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, launch(playwright) as running:
        yield running


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The sketch, with a picture on its canvas."""
    with opened(browser, address) as tab:
        tab.page.goto(address)
        until(lambda: middle(tab.page).mean() > DARK, "a picture")
        yield tab.page


def screen(page: Page) -> np.ndarray:
    """Return what the page shows, [height, width, 3]."""
    with Image.open(io.BytesIO(page.screenshot())) as image:
        return np.asarray(image.convert("RGB"), float)


def middle(page: Page) -> np.ndarray:
    """Return the middle of the picture as the page shows it, [16, 16, 3]."""
    half, (width, height) = round(INSIDE * RADIUS), SCREEN
    shown = screen(page)[height // 2 - half : height // 2 + half, width // 2 - half : width // 2 + half]
    return thumbnail(shown)


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels.astype(np.uint8)).resize((16, 16), Image.Resampling.BOX), float)


def middle_of(frame: Frame) -> np.ndarray:
    """Return the same part of a frame as the engine gave it."""
    side = len(frame.pixels)
    margin = round(side * (1 - INSIDE) / 2)
    return thumbnail(frame.pixels[margin : side - margin, margin : side - margin])


def around(page: Page) -> np.ndarray:
    """Return how bright the page is around the picture: a row per distance from its rim, a column per angle."""
    distances = np.arange(1.02 * RADIUS, 1.6 * RADIUS)[:, None]
    angles, (width, height) = np.linspace(0, 2 * np.pi, 2000), SCREEN
    across, down = width / 2 + distances * np.cos(angles), height / 2 + distances * np.sin(angles)
    return screen(page).max(axis=2)[down.astype(int), across.astype(int)]


def rays(page: Page) -> int:
    """Count what begins to be bright close round the picture."""
    bright = around(page)[0] > BRIGHT
    return int((bright[1:] & ~bright[:-1]).sum())


def ring(page: Page) -> bool:
    """Whether there is a closed circle around the picture."""
    return bool(around(page).min(axis=1).max() > BRIGHT)


def test_the_canvas_shows_the_stage_and_the_caption_what_is_heard(
    page: Page, engine: Engine, frames: list[Frame]
) -> None:
    idle = middle(page)
    samples, rate = soundfile.read(SOUNDS / "penguin.wav", dtype="float32")
    engine.hear(samples, rate)
    until(lambda: ring(page), "a ring for a name")
    expect(page.locator("#heard")).to_have_text("penguin")
    until(lambda: np.abs(middle(page) - middle_of(frames[-1])).mean() < DARK, "the stage's picture")
    assert np.abs(middle(page) - idle).mean() > 2 * DARK


def test_rays_come_with_loud_sound_and_go_with_silence(page: Page, engine: Engine) -> None:
    def playing(block: np.ndarray, condition: Callable[[], bool]) -> Callable[[], bool]:
        """Return what plays `block` each time that it looks at the condition: a level is that of the newest sound."""

        def look() -> bool:
            engine.hear(block, RATE)
            return condition()

        return look

    silence = np.zeros(RATE // 10, np.float32)
    loud = np.random.default_rng(1).uniform(-0.9, 0.9, RATE // 10).astype(np.float32)
    until(playing(silence, lambda: rays(page) == 0), "no rays")
    until(playing(loud, lambda: rays(page) > MANY), "rays")
    until(playing(silence, lambda: rays(page) == 0), "none again")


def test_every_picture_is_acknowledged_when_it_has_been_drawn(page: Page, engine: Engine, frames: list[Frame]) -> None:
    """A sketch that did not would get two frames and no more."""
    first = len(frames)
    engine.set({"noise": "fresh"})
    until(lambda: len(frames) > first + 4, "some more frames")
    engine.set({"freeze": True})
    until(lambda: np.abs(middle(page) - middle_of(frames[-1])).mean() < DARK, "the newest picture")
    engine.set({"freeze": False})


def test_a_stage_that_is_not_there_is_told(browser: Browser, origin: str) -> None:
    page = browser.new_page()
    page.goto(f"{origin}/?stage=ws://127.0.0.1:1/ws")
    expect(page.locator("#heard")).to_have_text("no stage at ws://127.0.0.1:1/ws; trying again")
    page.close()
