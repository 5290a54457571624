"""Blackout, freeze and panic act on the page with the next picture on the canvas, also while the engine hangs."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Playwright

from clavilux.server.settings import Settings
from tests.server.fakes import HangingEngine, serving
from tests.server.page.browser import MICROPHONE, WILLING, Tab, launch, opened

DARK, BRIGHT = 2, 60  # of 255: black, and a white picture whatever the light does to it

# Counts what is drawn on the canvas itself, not on what leads there.
COUNT_DRAWN = """
window.drawn = 0;
const draw = WebGL2RenderingContext.prototype.drawArrays;
WebGL2RenderingContext.prototype.drawArrays = function (...what) {
  window.drawn += this.canvas.id === 'picture' && this.getParameter(this.FRAMEBUFFER_BINDING) === null;
  return draw.apply(this, what);
};
"""
# Presses a key, and gives a thumbnail of the canvas (16 x 16, RGBA) after so many pictures have been drawn on it.
PRESS = """async ([key, pictures]) => {
  const frame = () => new Promise((shown) => requestAnimationFrame(shown));
  await frame();
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  for (const last = window.drawn + pictures; window.drawn < last;) await frame();
  const small = new OffscreenCanvas(16, 16).getContext('2d');
  small.drawImage(document.getElementById('picture'), 0, 0, 16, 16);
  return Array.from(small.getImageData(0, 0, 16, 16).data);
}"""


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with launch(playwright, WILLING, MICROPHONE, drawing=True) as running:
        yield running


@pytest.fixture
def hanging(browser: Browser) -> Iterator[Tab]:
    """A performer's page that shows white, on an engine that has just begun to hang."""
    engine = HangingEngine()
    with serving(engine, Settings(port=0)) as here, opened(browser, here.url) as tab:
        tab.page.add_init_script(COUNT_DRAWN)
        tab.open().click("#start")
        tab.wait("document.body.dataset.phase === 'playing'")  # pictures come before that, keys do not act
        tab.wait_for_picture()
        engine.hang()
        yield tab
        assert engine.hanging.is_set()  # it has hung all the while
        tab.complaints[:] = [text for text in tab.complaints if "GPU stall" not in text]


def press(tab: Tab, key: str, pictures: int = 1) -> NDArray[np.uint8]:
    return np.array(tab.page.evaluate(PRESS, [key, pictures]), np.uint8).reshape(16, 16, 4)[..., :3]


@pytest.mark.parametrize("key", ["b", "p"])
def test_the_next_picture_is_black_and_it_goes_away_again(hanging: Tab, key: str):
    assert press(hanging, "Shift").max() > BRIGHT
    assert press(hanging, key).max() <= DARK
    assert press(hanging, key, pictures=20).max() > BRIGHT


def test_a_frozen_picture_can_be_made_black(hanging: Tab):
    assert press(hanging, " ").max() > BRIGHT
    assert press(hanging, "b").max() <= DARK
