"""WebDriver for the browsers that are not Chromium: Debian's Firefox by BiDi, WebKitGTK's MiniBrowser by its driver.

Each has a microphone of its own making and gives it to every page. Firefox lets no sound run that has nowhere to go,
so that it gets a PulseAudio server without hardware; WebKit draws under Xvfb.
"""

import json
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from websockets.sync.client import ClientConnection, connect

from tests.runtime.sound.pulse_server import PulseServer
from tests.server.page.browser import PATIENCE, until

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
WEBKIT_DRIVER = shutil.which("WebKitWebDriver")
XVFB = shutil.which("Xvfb")
MINI_BROWSER = next(map(str, Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser")), None)
SCREEN = (1280, 720)  # pixels
FIREFOX_PREFERENCES = {
    "media.navigator.permission.disabled": True,  # every page may hear
    "media.navigator.streams.fake": True,  # a tone
    "media.autoplay.default": 0,
    "media.autoplay.block-webaudio": False,
    "full-screen-api.allow-trusted-requests-only": False,
    "remote.active-protocols": 1,  # BiDi
    "toolkit.startup.max_resumed_crashes": -1,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
}
WEBKIT_ARGUMENTS = [
    "--automation",
    "--enable-media-stream=true",
    "--enable-mock-capture-devices=true",
    "--enable-webgl=true",
]
NAMED_KEYS = {"Enter": "\ue007", "Escape": "\ue00c"}


class Driven(Protocol):
    """A page in a browser that is driven from outside."""

    def go(self, url: str) -> None:
        """Open `url`."""

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""

    def press(self, key: str) -> None:
        """Press and release one key: a letter, or one of NAMED_KEYS."""

    def click(self, selector: str) -> None:
        """Click the middle of an element with the pointer."""


def wait(page: Driven, condition: str) -> None:
    """Wait until a JavaScript expression is true."""
    until(lambda: page.run(f"Boolean({condition})"), condition)


def _pointer(selector: str) -> str:
    box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
    return f"(() => {{ const b = {box}; return [b.x + b.width / 2, b.y + b.height / 2]; }})()"


def _actions(key: str) -> list[dict[str, Any]]:
    value = NAMED_KEYS.get(key, key)
    keys = [{"type": kind, "value": value} for kind in ("keyDown", "keyUp")]
    return [{"type": "key", "id": "keyboard", "actions": keys}]


def _clicks(place: list[float]) -> list[dict[str, Any]]:
    x, y = (round(each) for each in place)
    steps: list[dict[str, Any]] = [{"type": "pointerMove", "x": x, "y": y, "duration": 0}]
    steps += [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
    return [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": steps}]


class Firefox:
    """Firefox over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/)."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._id = 0
        self._call("session.new", capabilities={})
        self._context = self._call("browsingContext.getTree")["contexts"][0]["context"]

    def go(self, url: str) -> None:
        self._call("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def run(self, expression: str) -> Any:
        answer = self._call(
            "script.evaluate",
            expression=f"JSON.stringify({expression})",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"].get("value", "null"))

    def press(self, key: str) -> None:
        self._call("input.performActions", context=self._context, actions=_actions(key))

    def click(self, selector: str) -> None:
        self._call("input.performActions", context=self._context, actions=_clicks(self.run(_pointer(selector))))

    def _call(self, method: str, **parameters: Any) -> Any:
        self._id += 1
        self._connection.send(json.dumps({"id": self._id, "method": method, "params": parameters}))
        while (answer := json.loads(self._connection.recv(PATIENCE))).get("id") != self._id:
            pass
        assert answer["type"] == "success", answer
        return answer["result"]


class WebKit:
    """WebKitGTK over WebDriver (https://www.w3.org/TR/webdriver2/)."""

    def __init__(self, address: str) -> None:
        self._address = address
        options = {"binary": MINI_BROWSER, "args": WEBKIT_ARGUMENTS}
        wanted = {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}}
        self._session = self._call("POST", "/session", wanted)["sessionId"]

    def go(self, url: str) -> None:
        self._command("/url", {"url": url})

    def run(self, expression: str) -> Any:
        return json.loads(
            self._command("/execute/sync", {"script": f"return JSON.stringify({expression})", "args": []}) or "null"
        )

    def press(self, key: str) -> None:
        self._command("/actions", {"actions": _actions(key)})

    def click(self, selector: str) -> None:
        self._command("/actions", {"actions": _clicks(self.run(_pointer(selector)))})

    def close(self) -> None:
        """End the session, and with it the browser."""
        self._call("DELETE", f"/session/{self._session}")

    def _command(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", f"/session/{self._session}{path}", body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._address + path, data, {"content-type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)["value"]


@contextmanager
def firefox(folder: Path, *, inputs: PulseServer | None = None, shown: bool = False) -> Iterator[Firefox]:
    """Start Firefox with a fresh profile in `folder`.

    Its microphone is the default input of `inputs`, if they are given; `shown`, it has a screen that can be shared.
    """
    assert FIREFOX
    preferences = FIREFOX_PREFERENCES | ({"media.navigator.streams.fake": False} if inputs else {})
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
    (folder / "user.js").write_text("\n".join(lines), encoding="utf-8")
    port = _free_port()
    size = [f"--{side}={pixels}" for side, pixels in zip(("width", "height"), SCREEN, strict=True)]
    command = [FIREFOX, *size, f"--remote-debugging-port={port}", "--profile", str(folder), "about:blank"]
    with ExitStack() as running:
        system = inputs or running.enter_context(closing(PulseServer(folder)))
        display = {"DISPLAY": running.enter_context(_screen(port))} if shown else {"MOZ_HEADLESS": "1"}
        running.enter_context(_running(command, system.environment | display))
        until(lambda: _listens(port), "Firefox to listen")
        with connect(f"ws://127.0.0.1:{port}/session", max_size=None) as connection:
            yield Firefox(connection)


@contextmanager
def webkit(folder: Path) -> Iterator[WebKit]:
    """Start WebKitGTK's MiniBrowser on a screen of its own."""
    assert WEBKIT_DRIVER
    port = _free_port()
    environment = {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",  # it opens nothing but this machine's own page
        "LIBGL_ALWAYS_SOFTWARE": "1",
    }
    address = f"http://127.0.0.1:{port}"
    driver = [WEBKIT_DRIVER, f"--port={port}"]
    with _screen(port) as display, _running(driver, environment | {"DISPLAY": display}):
        until(lambda: _listens(port), "WebKit's driver to listen")
        with closing(WebKit(address)) as page:
            yield page


@contextmanager
def _screen(port: int) -> Iterator[str]:
    """Start a screen that nobody sees, with a number that follows from a free port; yield its name."""
    assert XVFB
    name = f":{port % 10000 + 100}"
    width, height = SCREEN
    with _running([XVFB, name, "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"], {}):
        yield name


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running(command: list[str], environment: Mapping[str, str]) -> Iterator[None]:
    """Run a program until the block ends, and whatever it has started with it."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True, **quiet)  # type: ignore[call-overload]
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
