"""Real Chromium for the tests of the page: Debian's browser, driven by Playwright, with a file for its microphone."""

import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import numpy as np
import soundfile
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect

from tests.paths import SOUNDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OTHER_NAME = "stage.test"  # leads here, and is not localhost: to a browser, a page from elsewhere
PATIENCE = 40.0  # s, after which what a test waits for will not come, on a machine that is busy too
POLL = 0.05  # s; a server lets one address connect fifty times a second
UNASKED = "The AudioContext was not allowed to start"  # Chromium, where a page goes on after a reload before a gesture
SCREEN = (1280, 720)  # pixels; few, for the processor draws them, but so wide that the controls stay

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-3d-apis",  # pictures on a 2d canvas: WebGL without a graphics processor would take all cores
    f"--host-resolver-rules=MAP {OTHER_NAME} 127.0.0.1",
)
NOT_DRAWING = ("--disable-gpu", "--disable-3d-apis")
DRAWING = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # WebGL without a graphics processor
# Puts away what the page says where it has no WebGL, which is how most tests have it.
PUT_AWAY = """() => {
  const plain = [...document.querySelectorAll('.notice')].find((each) => each.textContent.includes('without WebGL 2'));
  plain?.querySelector('.close').click();
}"""
# Lets what WebGL has drawn be read at any time; a browser forgets it otherwise, once it is on the screen.
KEEP_DRAWN = """
const context = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, options) {
  return context.call(this, kind, kind === 'webgl2' ? { ...options, preserveDrawingBuffer: true } : options);
};
"""
READING = "GPU stall due to ReadPixels"  # Chromium's remark where the screen measures what a draw costs
WILLING = "--use-fake-ui-for-media-stream"  # every permission is granted
MICROPHONE = "--use-fake-device-for-media-stream"

# Keeps every stream that the page is given, so that a test can see whether it is still the same, and still live.
REMEMBER_STREAMS = """
window.streams = [];
if (window.isSecureContext) {
  const ask = MediaDevices.prototype.getUserMedia;
  MediaDevices.prototype.getUserMedia = async function (wanted) {
    const stream = await ask.call(this, wanted);
    window.streams.push(stream);
    return stream;
  };
}
"""
# Keeps every audio context that the page makes.
REMEMBER_CONTEXTS = (
    "window.contexts = [];"
    "const Context = AudioContext;"
    "window.AudioContext = class extends Context { constructor(...all) { super(...all); contexts.push(this); } };"
)
# A thumbnail of what is on the canvas: 16 x 16 pixels, RGBA.
THUMBNAIL = """() => {
  const small = new OffscreenCanvas(16, 16).getContext('2d');
  small.drawImage(document.getElementById('picture'), 0, 0, 16, 16);
  return Array.from(small.getImageData(0, 0, 16, 16).data);
}"""


expect.set_options(timeout=PATIENCE * 1000)


def launch(
    playwright: Playwright, *flags: str, spoken: Path | None = None, drawing: bool = False, sounding: bool = False
) -> Browser:
    """Start Chromium: its microphone hears `spoken`, over and over; it has WebGL if `drawing`, sound if `sounding`."""
    assert CHROMIUM, "no Chromium here; `bash .ci/run` installs it"
    capture = [f"--use-file-for-fake-audio-capture={spoken}"] if spoken else []
    quiet = [*(flag for flag in QUIET if flag not in NOT_DRAWING), *DRAWING] if drawing else QUIET
    left_out = ["--mute-audio"] if sounding else []
    arguments = [*quiet, *flags, *capture]
    return playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, ignore_default_args=left_out)


def with_pauses(word: str, folder: Path, seconds: float = 3.0) -> Path:
    """Write the spoken `word` and then silence, `seconds` in all; return the file."""
    samples, rate = soundfile.read(SOUNDS / f"{word}.wav", dtype="float32")
    padded = np.zeros(int(seconds * rate), np.float32)
    padded[: len(samples)] = samples
    soundfile.write(folder / f"{word}.wav", padded, rate, subtype="PCM_16")
    return folder / f"{word}.wav"


class Tab:
    """One page in a profile of its own, and everything it complained about."""

    def __init__(self, browser: Browser, url: str, *, calm: bool = False) -> None:
        self.url = url
        self.complaints: list[str] = []
        width, height = SCREEN
        self._context = browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce" if calm else "no-preference"
        )
        self._context.add_init_script(REMEMBER_STREAMS)
        self._context.add_init_script(KEEP_DRAWN)
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str = "") -> Page:
        """Go to the page and wait until it is connected or has said what is wrong."""
        self.page.goto(self.url + path)
        self.wait("document.body.dataset.phase !== 'loading'")
        self.page.evaluate(f"({PUT_AWAY})()")
        return self.page

    def play(self, path: str = "") -> Page:
        """Go to the page, press start, and wait for pictures."""
        self.open(path).click("#start")
        self.wait_for_sound()
        return self.page

    def wait_for_sound(self) -> None:
        """Wait until pictures are shown that the sound of this page shaped."""
        self.wait(
            "document.body.dataset.phase === 'playing' &&"
            "Number(document.getElementById('latency').dataset.milliseconds) > 0"
        )

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true; the page's content policy forbids Playwright's own way to."""
        until(lambda: self.page.evaluate(f"Boolean({condition})"), condition)

    def wait_for_picture(self) -> None:
        """Wait until a first picture is on the canvas."""
        self.wait("'sequence' in document.getElementById('picture').dataset")

    def unfold(self) -> None:
        """Open every group of controls, and what is folded inside it."""
        self.page.evaluate("for (const each of document.querySelectorAll('#desk details')) each.open = true")

    def told(self, words: str) -> None:
        """Wait until the page says `words` to its performer."""
        expect(self.page.locator("#notices")).to_contain_text(words)

    def thumbnail(self) -> Any:
        """Return what is on the canvas, [16, 16, 3], as whole numbers."""
        return np.array(self.page.evaluate(THUMBNAIL)).reshape(16, 16, 4)[..., :3]

    def close(self) -> None:
        """Close the page and its profile."""
        self._context.close()

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(words in message.text for words in (UNASKED, READING)):
            self.complaints.append(message.text)


@contextmanager
def opened(browser: Browser, url: str, *, calm: bool = False) -> Iterator[Tab]:
    """Open one more page, and see that it has not complained; `calm` is someone who asked for less motion."""
    tab = Tab(browser, url, calm=calm)
    try:
        yield tab
    finally:
        tab.close()
    assert not tab.complaints, tab.complaints


def until(condition: Any, what: str) -> None:
    """Wait until `condition()` is true. Raises TimeoutError that says `what` was waited for."""
    deadline = monotonic() + PATIENCE
    never = Event()
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE:g} s for {what}")
        never.wait(POLL)


def metric(url: str, name: str) -> float:
    """Return one figure of the server's /metrics; what has not been counted yet is 0."""
    with urllib.request.urlopen(url + "metrics", timeout=PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    return float(next((line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")), 0))
