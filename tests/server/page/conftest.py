"""A stage for the tests of the page: a real engine and server for each file, and a fresh page for each test.

Each file says what its `browser` is and what its microphone hears.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from clavilux.runtime.loading import open_engine
from clavilux.runtime.playing.engine import Engine
from clavilux.server.settings import Settings
from tests.server.fakes import serving
from tests.server.page.browser import Tab, metric, opened, until

UNHURRIED = {"frame_rate": 8.0}  # enough to see, and it leaves the processor to the browser


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def engine() -> Engine:
    return open_engine(threads=1)


@pytest.fixture(scope="module")
def url(engine: Engine) -> Iterator[str]:
    with serving(engine, Settings(port=0)) as here:
        assert engine.ready.wait(30)
        yield here.url


@pytest.fixture
def tab(browser: Browser, engine: Engine, url: str) -> Iterator[Tab]:
    """A fresh page on a stage that nobody plays, with all parameters as they are at first."""
    until(lambda: metric(url, 'clavilux_viewers{role="performer"}') == 0, "a free stage")
    first = {name: value for name, value in engine.defaults.values().items() if name in engine.ranges}
    engine.set({**first, **UNHURRIED})
    with opened(browser, url) as opened_tab:
        yield opened_tab
