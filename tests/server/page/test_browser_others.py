"""The page in Firefox and WebKit, briefly: sound and its channels, the keys, and a server that restarts.

Skipped where the browser is not installed; `bash .ci/run` installs both.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from clavilux.runtime.loading import open_engine
from clavilux.runtime.playing.engine import Engine
from clavilux.server.settings import Settings
from tests.runtime.sound.pulse_server import PulseServer
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


LEVELS = "[...document.querySelectorAll('.channel')].map((each) => Number(each.getAttribute('aria-valuenow')))"
# Keeps every track that was shared.
REMEMBER_SHARED = """void (window.shared = [], ((share) => {
  MediaDevices.prototype.getDisplayMedia = async function (wanted) {
    const stream = await share.call(this, wanted);
    shared.push(...stream.getTracks());
    return stream;
  };
})(MediaDevices.prototype.getDisplayMedia))"""
HAS_FIREFOX = pytest.mark.skipif(not FIREFOX, reason="no Firefox here")
HAS_WEBKIT = pytest.mark.skipif(not (WEBKIT_DRIVER and XVFB and MINI_BROWSER), reason="no WebKit here")


@pytest.mark.parametrize("start", [pytest.param(firefox, marks=HAS_FIREFOX), pytest.param(webkit, marks=HAS_WEBKIT)])
def test_the_page_plays_and_comes_back(start: Callable[[Path], AbstractContextManager[Driven]], tmp_path: Path):
    engine = open_engine(threads=1)
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
        second = open_engine(threads=1)
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


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(partial(firefox, shown=True), marks=HAS_FIREFOX, id="firefox"),
        pytest.param(webkit, marks=HAS_WEBKIT),
    ],
)
@pytest.mark.slow
def test_a_shared_picture_without_sound_is_let_go_and_said(
    start: Callable[[Path], AbstractContextManager[Driven]], tmp_path: Path
):
    with start(tmp_path) as page, serving(open_engine(threads=1), Settings(port=0)) as here:
        page.go(here.url)
        wait(page, "document.body.dataset.phase === 'welcome'")
        page.run(REMEMBER_SHARED)
        page.click("#start-tab")
        wait(page, "document.getElementById('notices').textContent.includes('What was shared has no sound')")
        assert page.run("shared.map(({ kind, readyState }) => kind + ' ' + readyState)") == ["video ended"]


@HAS_FIREFOX
@pytest.mark.slow
def test_firefox_hears_eight_channels_of_an_interface(tmp_path: Path):
    """Firefox alone gives a page more than two channels of an input: eight at most."""
    channels, live, rate = 8, 3, 48_000
    sound = np.zeros((3 * rate, channels))
    sound[:, live - 1] = 0.1 * np.sin(2 * np.pi * 440 * np.arange(len(sound)) / rate)  # -23 dBFS
    (tmp_path / "sound").write_bytes((sound * 2**15).astype("<i2").tobytes())
    with closing(PulseServer(tmp_path)) as inputs, serving(open_engine(threads=1), Settings(port=0)) as here:
        pipe = tmp_path / "pipe"
        form = ("format=s16le", f"channels={channels}", f"rate={rate}")
        inputs.control("load-module", "module-pipe-source", "source_name=interface", f"file={pipe}", *form)
        inputs.control("set-default-source", "interface")
        with feeding(tmp_path / "sound", pipe), firefox(tmp_path, inputs=inputs) as page:
            page.go(here.url)
            wait(page, "document.body.dataset.phase === 'welcome'")
            page.click("#start")
            close = f"{LEVELS}.map((level) => Math.abs(level + 23) <= 2 || level)"
            wait(page, f"String({close}) === '-60,-60,true,-60,-60,-60,-60,-60'")
            said = "channel 3 of 8 alone: the mean would lose 18 dB"
            wait(page, f"document.getElementById('mixed').textContent === '{said}'")


@contextmanager
def feeding(sound: Path, pipe: Path) -> Iterator[None]:
    """Write a file into a pipe again and again while the block runs."""
    writer = subprocess.Popen(["sh", "-c", f"while cat {sound}; do :; done > {pipe}"], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        writer.terminate()
        writer.wait()
