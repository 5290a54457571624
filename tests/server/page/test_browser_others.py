"""The page in Firefox and WebKit, briefly: from the microphone to the picture, the keys, and a server that restarts.

Skipped where the browser is not installed; `bash .ci/run` installs both.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from clavilux.runtime.loading import open_engine
from clavilux.runtime.playing.engine import Engine
from clavilux.server.settings import Settings
from tests.server.fakes import serving
from tests.server.page.browser import until
from tests.server.page.other_browsers import FIREFOX, MINI_BROWSER, WEBKIT_DRIVER, XVFB, Driven, firefox, wait, webkit

UNHURRIED = {"frame_rate": 6.0}
SOUNDS = "Number(document.getElementById('latency').dataset.milliseconds) > 0"
LIVE = "document.getElementById('connection').dataset.state === 'live'"
# Errors that nobody caught, from before the page's own modules run.
LISTEN = """void (window.failures = [], ['error', 'unhandledrejection'].forEach((kind) => {
  addEventListener(kind, (event) => failures.push(String(event.reason ?? event.message)));
}))"""


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(firefox, marks=pytest.mark.skipif(not FIREFOX, reason="no Firefox here")),
        pytest.param(
            webkit, marks=pytest.mark.skipif(not (WEBKIT_DRIVER and XVFB and MINI_BROWSER), reason="no WebKit here")
        ),
    ],
)
def test_the_page_plays_and_comes_back(start: Callable[[Path], AbstractContextManager[Driven]], tmp_path: Path):
    engine = open_engine()
    engine.set(UNHURRIED)
    with start(tmp_path) as page:
        with serving(engine, Settings(port=0)) as here:
            assert engine.ready.wait(30)
            page.go(here.url)
            page.run(LISTEN)
            wait(page, "document.body.dataset.phase === 'welcome'")
            page.click("#start")
            wait(page, SOUNDS)
            until(lambda: engine.counters().heard_seconds > 0.5, "sound to be heard")
            assert page.run("document.getElementById('latency').textContent").endswith("delay is not in it")
            _keys_play(page, engine)
        wait(page, f"!({LIVE})")
        second = open_engine()
        with serving(second, Settings(port=here.port)):
            until(lambda: second.counters().heard_seconds > 0.5, "sound to come back")
            wait(page, LIVE)
            assert page.run("failures") == []


def _keys_play(page: Driven, engine: Engine) -> None:
    page.run("document.getElementById('input').focus()")
    for key, name in ((" ", "freeze"), ("b", "blackout"), ("p", "panic")):
        for expected in (True, False):
            page.press(key)
            until(lambda on=expected, of=name: getattr(engine.parameters, of) is on, f"{key} to turn {name}")
    page.press("Escape")
    assert page.run("document.activeElement.id") == "stage"
    page.press("f")  # a browser may refuse; it must be no error
