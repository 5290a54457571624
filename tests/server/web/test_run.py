"""Running for real: the port, the callback, signals, and a clean end."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as open_socket
from websockets.typing import Subprotocol

from clavilux.runtime.errors import ClaviluxError, DeviceError
from clavilux.server.protocol.messages import Bye, Hello, Start, Started
from clavilux.server.protocol.text import encode, parse_event
from clavilux.server.protocol.words import SUBPROTOCOL
from clavilux.server.settings import Settings
from clavilux.server.stage.outbox import Outbox
from clavilux.server.web import run
from clavilux.server.web.run import Listening, bind, check, serve
from tests.server.fakes import DEADLINE, FakeEngine, serving
from tests.server.web.raw_client import HANDSHAKE

V1 = [Subprotocol(SUBPROTOCOL)]
PING = b'{"type":"ping","client_time":1}'
PINGS = (bytes([0x81, 0x80 | len(PING), 0, 0, 0, 0]) + PING) * 1000  # masked with zeros, as a client must
MAX_BACKLOG = 256 * 2**20  # bytes; the kernel's buffers of a connection end far below
SCRIPT = """
from pathlib import Path
from clavilux.server.web.run import serve
from clavilux.server.settings import Settings
from tests.server.fakes import FakeEngine
engine = FakeEngine()
serve(engine, Settings(port=0, page=Path(".")), on_listening=lambda here: print(here.port, flush=True))
print("ended", engine.running, flush=True)
"""


def test_the_callback_gets_the_real_port(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, settings) as here:
        assert here.port > 0
        assert here.url == f"http://127.0.0.1:{here.port}/"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("0.0.0.0", "http://127.0.0.1:80/"),
        ("::", "http://[::1]:80/"),
        ("stage.example", "http://stage.example:80/"),
    ],
)
def test_the_address_of_the_page_is_one_that_a_browser_takes(host: str, url: str) -> None:
    assert Listening(host, 80, lambda: None).url == url
    assert Listening(host, 80, lambda: None, secure=True).url == url.replace("http:", "https:")


def test_the_engine_runs_while_the_server_does(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, settings):
        assert engine.running
    assert not engine.running


def test_a_port_in_use_is_one_clear_line(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, settings) as here:
        taken = Settings(port=here.port, page=settings.page)
        with pytest.raises(DeviceError, match=f"cannot listen on 127.0.0.1, port {here.port}: .*choose another port"):
            serve(FakeEngine(), taken)


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 70_000), ("127.0.0.1", -1)])
def test_an_address_that_does_not_exist_is_one_clear_line(host: str, port: int) -> None:
    with pytest.raises(ClaviluxError, match=f"cannot listen on .*port {port}") as caught:
        bind(host, port)
    assert "\n" not in str(caught.value)


def test_an_address_of_another_machine_is_told_as_that() -> None:
    with pytest.raises(DeviceError, match=r"cannot listen on 192\.0\.2\.1, .*expected an address, or a name, of this"):
        bind("192.0.2.1", 0)


def test_what_serving_would_refuse_is_refused_before_it_begins(engine: FakeEngine, settings: Settings) -> None:
    check(settings)
    with serving(engine, settings) as here, pytest.raises(DeviceError, match="choose another port"):
        check(replace(settings, port=here.port))
    with pytest.raises(DeviceError, match="there is no token"):
        check(replace(settings, host="0.0.0.0"))
    with pytest.raises(DeviceError, match="no certificate"):
        check(replace(settings, key=Path("key.pem")))


def test_a_proxy_that_is_everyone_is_warned_of_once(
    engine: FakeEngine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    trusting = replace(settings, proxies=("0.0.0.0/0",))
    check(trusting)
    with serving(engine, trusting):
        pass
    assert caplog.text.count("proxy 0.0.0.0/0 is everyone") == 1


def test_a_bound_socket_takes_a_free_port() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


@pytest.mark.parametrize("starts", [True, False])
def test_clients_are_told_when_the_server_ends(engine: FakeEngine, settings: Settings, starts: bool) -> None:
    with (
        serving(engine, settings) as here,
        open_socket(f"ws://127.0.0.1:{here.port}/ws", subprotocols=V1) as client,
    ):
        assert isinstance(parse_event(str(client.recv())), Hello)
        if starts:
            client.send(encode(Start("viewer")))
            assert isinstance(parse_event(str(client.recv())), Started)
        here.stop()
        assert parse_event(str(client.recv(timeout=DEADLINE))) == Bye("the server is shutting down")
        with pytest.raises(ConnectionClosed, match="1012"):
            client.recv(timeout=DEADLINE)


def test_a_client_that_takes_no_farewell_does_not_keep_the_server_from_ending(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outbox, "finish", lambda outbox, farewell: None)
    monkeypatch.setattr(run, "FAREWELL_SECONDS", 0.0)
    with (
        serving(engine, settings) as here,
        open_socket(f"ws://127.0.0.1:{here.port}/ws", subprotocols=V1) as client,
    ):
        client.recv()
        client.send(encode(Start("viewer")))
        client.recv()
        here.stop()
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=DEADLINE)
        assert client.close_code == 1012


def flood(deaf: socket.socket) -> int:
    """Send pings until nobody takes them any more; return how many bytes went."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < MAX_BACKLOG:
            sent += deaf.send(PINGS)
    return sent


def test_a_client_that_asks_without_listening_is_read_no_further_and_ends_with_the_server(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SHUTDOWN_SECONDS", 0)
    monkeypatch.setattr(run, "FAREWELL_SECONDS", 0.0)
    with contextlib.ExitStack() as kept:
        with serving(engine, settings) as here:
            deaf = kept.enter_context(socket.create_connection((here.host, here.port)))
            deaf.sendall(HANDSHAKE.format(host=here.host, port=here.port, more="").encode())
            deaf.settimeout(0.5)  # s, after which nothing more will be taken
            assert flood(deaf) < MAX_BACKLOG
        deaf.settimeout(DEADLINE)
        with contextlib.suppress(ConnectionResetError):
            while deaf.recv(1 << 20):  # what was on its way; then the end, or a reset
                pass


@pytest.fixture
def _terminal() -> Iterator[None]:
    """A terminal that can be closed, even where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_main_thread_lets_serve_return(
    engine: FakeEngine, settings: Settings, number: signal.Signals
) -> None:
    serve(engine, settings, on_listening=lambda here: signal.raise_signal(number))
    assert not engine.running


def test_a_terminal_that_is_closed_ends_no_server_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with run.hanging_up(lambda: pytest.fail("it was to go on")):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_server_and_the_command_goes_on(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with socket.create_connection(("127.0.0.1", port)):
        os.kill(process.pid, number)
        output, _ = process.communicate(timeout=DEADLINE)
    assert output == "ended False\n"
    assert process.returncode == 0
