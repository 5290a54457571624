"""Caustics of the light in real Chromium, beside those in NumPy: both show the same."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright

from clavilux.runtime.output.light import _blur, draw_light
from clavilux.runtime.output.light_state import LightSettings
from clavilux.server.settings import PAGE
from tests.server.page.browser import CHROMIUM

HEIGHT, WIDTH = 180, 320
QUALITY, MESH = 0.185, 63
PSNR = 48.0  # dB, of linear light and of its code for screens, after a blur; 54 and more were seen
SOFTENED = 2.0  # pixels: what one pixel more or less at a fold's very edge makes is no difference to the eye
SHOWN = LightSettings(time=3.0)
WALL = [
    SHOWN,
    replace(SHOWN, time=12.0, fineness=0.9, hue=0.1),
    replace(SHOWN, time=24.0, turbulence=0.8, extent=0.9),
    replace(SHOWN, time=33.0, sheets=4.0, light=0.9, place=0.2),
    replace(SHOWN, time=40.0, symmetry=0.8, place=0.7, ripple=(0.1, 0.5, 0.9, 0.7, 0.4, 0.2, 0.1, 0.0)),
]
DRAW = """async ([settings, quality, width, height]) => {
  const { openContext, bind } = await import('/screen/gl.js');
  const { Light } = await import('/screen/light.js');
  const gl = openContext(document.createElement('canvas'));
  const light = new Light(gl, { quality });
  const shown = settings.map((one) => {
    const target = light.draw(one, width, height);
    bind(gl, target);
    const pixels = new Float32Array(4 * target.width * target.height);
    gl.readPixels(0, 0, target.width, target.height, gl.RGBA, gl.FLOAT, pixels);
    const bytes = Array.from(new Uint8Array(pixels.buffer), (byte) => String.fromCharCode(byte));
    return [target.height, target.width, btoa(bytes.join(''))];
  });
  return { shown, error: gl.getError() };
}"""


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()


@contextmanager
def files() -> Iterator[str]:
    """Serve the page's modules, and an empty page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(PAGE))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Return an empty page of a Chromium that draws WebGL on the processor."""
    assert CHROMIUM, "no Chromium here; `bash .ci/run` installs it"
    drawing = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with files() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=drawing)
        page = browser.new_page()
        page.goto(url)
        yield page
        browser.close()


def srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((one - other) ** 2)))


def test_chromium_draws_what_numpy_draws(page):
    answer = page.evaluate(DRAW, [[asdict(one) for one in WALL], QUALITY, WIDTH, HEIGHT])
    assert answer["error"] == 0
    for settings, (height, width, code) in zip(WALL, answer["shown"], strict=True):
        pixels = np.frombuffer(base64.b64decode(code), np.float32).reshape(height, width, 4)[::-1, :, :3]
        drawn = draw_light(settings, height, width, mesh=MESH)
        theirs, ours = (_blur(picture.transpose(2, 0, 1).astype(float), SOFTENED) for picture in (pixels, drawn))
        assert ours.mean() > 0.01
        assert psnr(theirs, ours) >= PSNR
        assert psnr(srgb(theirs), srgb(ours)) >= PSNR
