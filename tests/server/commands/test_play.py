"""`clavilux live` and `serve`: what they share, from their words to a server that answers."""

import argparse
import io
import shlex
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from clavilux.runtime.bundle.bundle import Bundle
from clavilux.runtime.errors import DeviceError
from clavilux.runtime.models import Models
from clavilux.runtime.sound.inputs import Input
from clavilux.runtime.sound.sound_card import Hear
from clavilux.server.commands import live, play, serve
from clavilux.server.settings import Right, Token
from clavilux.server.web.run import Listening
from tests import waiting
from tests.troubled import cause, open_troubled

DEADLINE = 30.0  # s
INTERFACE = Input("Scarlett 2i2 USB", channels=2, rate=48_000, is_default=True, api="Core Audio")
MICROPHONE = Input("Microphone", channels=1, rate=44_100, is_default=False, api="Core Audio")
PULSE = Input("pulse", channels=32, rate=44_100, is_default=True, api="ALSA", converts=True)
CARD = Input("USB Audio: -", channels=2, rate=48_000, is_default=False, api="ALSA", label="USB Audio: - (hw:1,0)")
MONITOR = Input("out.monitor", 2, 48_000, is_default=True, api="PulseAudio", label="Monitor of Out", is_loopback=True)


class FakeSystem:
    """A sound system with a few inputs and no sound."""

    there = (INTERFACE, MICROPHONE)
    overflows = 0
    active = True

    def __init__(self, _clock: object = None) -> None:
        pass

    def inputs(self) -> list[Input]:
        return list(self.there)

    def open(self, source: Input, channels: int, hear: Hear) -> "FakeSystem":
        hear(np.zeros((960, channels), np.float32), source.rate, 0.0)
        return self

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "SoundSystem", FakeSystem)


def words(command: ModuleType, *line: str) -> argparse.Namespace:
    """Parse a command line as the command does."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(line)


def until(seen: Callable[[Listening], None]) -> Callable[[Listening], None]:
    """Return what looks at a server in a thread and then stops it."""

    def look(here: Listening) -> None:
        def visit() -> None:
            try:
                seen(here)
            finally:
                here.stop()

        threading.Thread(target=visit).start()

    return look


def opened_in_trouble(bundle: Path, *, device: str, threads: int) -> tuple[Bundle, Models]:
    """Load a bundle on the device that is named by a file of trouble."""
    return open_troubled(bundle, Path(device))


def readiness(here: Listening) -> str:
    """Return what a server says of its readiness, whatever its status is; not more often than it takes connections."""
    threading.Event().wait(0.02)
    try:
        return str(urllib.request.urlopen(here.url + "readyz").read(), "ascii")
    except urllib.error.HTTPError as error:
        with error:
            return str(error.read(), "ascii")


def test_inputs_are_listed_with_the_default_one_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert live.run(words(live, "--list-inputs")) == 0
    assert capsys.readouterr().out.splitlines() == [
        "*   0  'Core Audio/Scarlett 2i2 USB'  2 channels, 48000 Hz",
        "    1  'Core Audio/Microphone'        1 channel, 44100 Hz",
    ]


def test_the_list_says_what_else_an_input_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FakeSystem, "there", (PULSE, CARD, MONITOR))
    assert serve.run(words(serve, "--list-inputs")) == 0
    assert capsys.readouterr().out.splitlines() == [
        "*   0  PulseAudio/out.monitor  2 channels, 48000 Hz, what is played  (Monitor of Out)",
        "    1  ALSA/pulse              up to 32 channels, 44100 Hz",
        "    2  'ALSA/USB Audio: -'     2 channels, 48000 Hz  (USB Audio: - (hw:1,0))",
    ]


def test_a_name_that_the_output_cannot_show_is_shown_in_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    named = replace(INTERFACE, name="マイク", api="WASAPI")
    monkeypatch.setattr(FakeSystem, "there", (named,))
    output = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stdout", output)
    live.run(words(live, "--list-inputs"))
    output.seek(0)
    assert output.read() == "*   0  'WASAPI/\\u30de\\u30a4\\u30af'  2 channels, 48000 Hz\n"


def test_what_the_list_shows_can_be_given_as_it_is(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FakeSystem, "there", (PULSE, CARD, MONITOR))
    live.run(words(live, "--list-inputs"))
    for line in capsys.readouterr().out.splitlines():
        _, shown = shlex.split(line.removeprefix("*"))[:2]
        given = words(serve, "--port", "0", "--bundle", str(tiny_bundle), "--input", shown)
        play.play(given, until(lambda _here: None))
        assert capsys.readouterr().out.startswith(f"listening to {shown}, ")


def test_a_machine_without_inputs_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(FakeSystem, "there", ())
    serve.run(words(serve, "--list-inputs"))
    assert capsys.readouterr().out == "no inputs; plug in a microphone or an interface\n"


def test_the_words_become_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(play.TOKEN_VARIABLE, "secret")
    line = words(serve, "--host", "0.0.0.0", "--port", "8000", "--name", "stage.example", "--input", "usb")
    settings = play.settings_from(line)
    assert (settings.host, settings.port, settings.names) == ("0.0.0.0", 8000, ("stage.example",))
    assert (settings.token, settings.own_sound) == ("secret", True)


def test_tokens_a_certificate_and_proxies_become_settings(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[token]]\ntoken = "correct horse battery"\nrole = "play"\n')
    tokens.chmod(0o600)
    line = words(
        *(serve, "--open", "--tokens", str(tokens), "--certificate", "a.pem", "--key", "b.pem"),
        *("--proxy", "127.0.0.1", "--proxy", "10.0.0.0/8"),
    )
    settings = play.settings_from(line)
    assert settings.tokens == (Token("correct horse battery", Right.PLAY, "token 1"),)
    assert (settings.open, settings.token_required) == (True, True)
    assert (settings.certificate, settings.key) == (Path("a.pem"), Path("b.pem"))
    assert settings.proxies == ("127.0.0.1", "10.0.0.0/8")


def test_without_a_token_the_stage_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(play.TOKEN_VARIABLE, raising=False)
    assert play.settings_from(words(serve)).token is None


@pytest.mark.parametrize("token", ["", "x" * 1025])
def test_a_token_that_nobody_could_show_is_named(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv(play.TOKEN_VARIABLE, token)
    with pytest.raises(DeviceError, match=f"CLAVILUX_TOKEN has {len(token)} characters; expected 1 to 1024"):
        play.settings_from(words(serve))


@pytest.mark.parametrize("token", ["correct horse battery\n", "\tcorrect horse battery", "caf\udce9 noir et fort"])
def test_a_token_that_no_header_carries_is_named(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv(play.TOKEN_VARIABLE, token)
    with pytest.raises(DeviceError, match="CLAVILUX_TOKEN holds what no header carries"):
        play.settings_from(words(serve))


def test_a_short_token_of_the_environment_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(play.TOKEN_VARIABLE, "secret")
    play.settings_from(words(serve))
    assert "CLAVILUX_TOKEN has 6 characters; at least 16, at random, cannot be guessed" in caplog.text


def test_a_token_of_the_file_that_the_environment_has_too_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text('[[token]]\ntoken = "7c6e1b0f5d9a4c3e8f21"\nrole = "watch"\n')
    arguments = words(serve, "--tokens", str(path))
    monkeypatch.setenv(play.TOKEN_VARIABLE, "7c6e1b0f5d9a4c3e8f21")
    with pytest.raises(DeviceError, match="token 1 is CLAVILUX_TOKEN, which may do everything; expected another"):
        play.settings_from(arguments)
    monkeypatch.setenv(play.TOKEN_VARIABLE, "another token, as long")
    assert len(play.settings_from(arguments).tokens) == 1


def test_a_reader_that_has_gone_does_not_stop_the_music(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_words: object, **_more: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", broken)
    line = words(serve, "--port", "0", "--bundle", str(tiny_bundle))
    assert play.play(line, until(lambda _here: None)) == 0


def test_more_may_watch_where_that_is_asked_for() -> None:
    assert play.settings_from(words(serve)).max_viewers == 64
    settings = play.settings_from(words(serve, "--max-viewers", "200"))
    assert (settings.max_viewers, settings.max_waiting, settings.max_waiting_per_address) == (200, 216, 216)
    for wrong in ("0", "-1", "many", "4097"):
        with pytest.raises(DeviceError, match=f"--max-viewers {wrong}; expected 1 to 4096"):
            words(serve, f"--max-viewers={wrong}")


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_cannot_be_is_named(port: str) -> None:
    with pytest.raises(DeviceError, match=f"port {port} cannot be; expected 0 to 65535"):
        play.settings_from(words(serve, f"--port={port}"))


def test_the_server_answers_and_says_where(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    health: list[bytes] = []
    line = words(serve, "--port", "0", "--bundle", str(tiny_bundle))
    code = play.play(line, until(lambda here: health.append(urllib.request.urlopen(here.url + "healthz").read())))
    assert (code, health) == (0, [b"ok"])
    assert "Clavilux plays tiny at 64x64 on CPUExecutionProvider: http://127.0.0.1:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wanted", "heard"), [("usb", "2 channels"), ("0:2", "channel 2 of 2"), ("usb:2+1", "channels 2+1 of 2")]
)
def test_a_sound_card_plays_while_the_server_runs(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], wanted: str, heard: str
) -> None:
    line = words(serve, "--port", "0", "--bundle", str(tiny_bundle), "--input", wanted)
    play.play(line, until(lambda _here: None))
    assert capsys.readouterr().out.startswith(f"listening to Core Audio/Scarlett 2i2 USB, 48000 Hz, {heard}\n")


def test_an_engine_that_fails_for_good_ends_the_command_with_its_reason(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = tmp_path / "trouble"
    cause(trouble, "exit", "exit", "exit")
    monkeypatch.setattr(play, "open_models", opened_in_trouble)

    def failed(here: Listening) -> None:
        waiting.until(lambda: readiness(here) == "failed", "the engine to fail for good")

    line = words(serve, "--port", "0", "--bundle", str(tiny_bundle), "--device", str(trouble))
    with pytest.raises(DeviceError, match=r"the engine stopped: .*ended 3 times in 60 s, the last time by exit code 3"):
        play.play(line, until(failed))


@pytest.mark.parametrize(("more", "opened"), [((), 1), (("--no-browser",), 0)])
def test_live_opens_the_page_unless_told_not_to(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], opened: int
) -> None:
    pages: list[str] = []
    looked = threading.Event()
    monkeypatch.setattr("webbrowser.open", lambda url: (pages.append(url), looked.set()))
    announced: list[Listening] = []

    def serve_briefly(
        _engine: object, _settings: object, *, on_listening: Callable[[Listening], None], **_: object
    ) -> None:
        announced.append(Listening("127.0.0.1", 7860, lambda: None))
        on_listening(announced[0])
        assert looked.wait(DEADLINE if opened else 0) == bool(opened)

    monkeypatch.setattr(play, "serve", serve_briefly)
    live.run(words(live, "--bundle", str(tiny_bundle), *more))
    assert pages == [announced[0].url] * opened


def test_serve_opens_nothing(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(play, "serve", lambda *_words, on_listening, **_: asked.append(on_listening))
    assert serve.run(words(serve, "--bundle", str(tiny_bundle))) == 0
    assert len(asked) == 1


def test_pages_from_elsewhere_may_connect_where_they_are_named() -> None:
    line = words(serve, "--origin", "http://localhost:8000", "--origin", "https://stage.example")
    assert play.settings_from(line).origins == ("http://localhost:8000", "https://stage.example")
