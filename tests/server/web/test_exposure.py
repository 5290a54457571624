"""Exposure: what would leave a server open, or a setting without use, is one line before anything listens."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.sync.client import connect as open_socket

from clavilux.runtime.errors import DeviceError
from clavilux.server.protocol.messages import Hello
from clavilux.server.protocol.text import parse_event
from clavilux.server.protocol.words import SUBPROTOCOL
from clavilux.server.settings import Settings, Token
from clavilux.server.web import exposure
from clavilux.server.web.run import Listening, serve
from tests.server.fakes import FakeEngine, serving

HERE = Path(__file__).parent
CERTIFICATE, KEY, OTHER_KEY = (HERE / "tls" / name for name in ("certificate.pem", "key.pem", "other-key.pem"))
PAIR = Settings(port=0, certificate=CERTIFICATE, key=KEY)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_that_others_reach_wants_a_token(host: str) -> None:
    with pytest.raises(
        DeviceError, match="can be reached by others, and there is no token; set CLAVILUX_TOKEN"
    ) as told:
        serve(FakeEngine(), Settings(host=host, port=0))
    assert "--open" in str(told.value)


@pytest.mark.parametrize(
    "settings", [Settings(token="secret"), Settings(tokens=(Token("secret"),)), Settings(open=True)], ids=str
)
def test_with_a_token_or_a_word_it_is_served(settings: Settings) -> None:
    exposure.check(settings, "0.0.0.0")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_what_only_this_machine_reaches_needs_no_token(address: str) -> None:
    exposure.check(Settings(), address)


@pytest.mark.parametrize(
    "origin",
    [
        *("foo", "localhost:8000", "http://", "http://stage.example/", "http://stage.example/page", "null", "*"),
        *("HTTP://stage.example", "http://Stage.example", "http://stage.example:80", "https://stage.example:443"),
        *("http://stage.example:port", "http://me@stage.example", "http://stage.example?x", ""),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    with pytest.raises(DeviceError, match="is none that a browser sends; expected scheme://host"):
        exposure.check(Settings(origins=("http://localhost:8000", origin)), "127.0.0.1")


@pytest.mark.parametrize(
    "origin", ["http://localhost:8000", "https://stage.example", "http://[::1]:8080", "chrome-extension://abc"]
)
def test_an_origin_that_a_browser_sends_is_taken(origin: str) -> None:
    exposure.check(Settings(origins=(origin,)), "127.0.0.1")


@pytest.mark.parametrize("proxy", ["stage.example", "*", "10.0.0.0/33", ""])
def test_a_proxy_that_is_no_address_is_refused(proxy: str) -> None:
    with pytest.raises(DeviceError, match="is no address; expected one such as"):
        exposure.check(Settings(proxies=(proxy,)), "127.0.0.1")


@pytest.mark.parametrize("proxy", ["10.0.0.1/8", "2001:db8::1/64"])
def test_a_proxy_that_is_an_address_in_a_network_is_told_apart(proxy: str) -> None:
    with pytest.raises(DeviceError, match=r"is an address in a network; name it, .*, or the network"):
        exposure.check(Settings(proxies=(proxy,)), "127.0.0.1")


def test_proxies_are_addresses_and_networks() -> None:
    exposure.check(Settings(proxies=("127.0.0.1", "::1", "10.0.0.0/8")), "127.0.0.1")


@pytest.mark.parametrize("proxy", ["0.0.0.0/0", "::/0"])
def test_proxies_that_are_everyone_are_warned_of(proxy: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(proxies=("10.0.0.0/8", proxy))
    exposure.check(settings, "127.0.0.1")
    assert not caplog.records  # it may be looked over more than once
    exposure.warn(settings)
    (record,) = caplog.records
    assert f"proxy {proxy} is everyone: whoever connects may say to come from anywhere" in record.getMessage()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "a b",
        "http://stage.example",
        "stage.example:7860",
        "stage.example/",
        "[::1]",
        "bühne.example",
        "-a",
        "a..b",
    ],
)
def test_a_name_that_no_browser_asks_for_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="is no host name; expected one such as stage"):
        exposure.check(Settings(names=("stage.example", name)), "127.0.0.1")


@pytest.mark.parametrize(
    "name", ["stage", "Stage.Example.", "192.0.2.7", "2001:db8::1", "xn--bhne-0ra.example", "my_host"]
)
def test_a_name_that_a_browser_asks_for_is_taken(name: str) -> None:
    exposure.check(Settings(names=(name,)), "127.0.0.1")


def secured(here: Listening) -> ssl.SSLContext:
    assert here.url == f"https://127.0.0.1:{here.port}/"
    return ssl.create_default_context(cafile=str(CERTIFICATE))


@pytest.mark.parametrize("together", [False, True])
def test_with_a_certificate_the_server_speaks_tls(engine: FakeEngine, tmp_path: Path, together: bool) -> None:
    both = tmp_path / "both.pem"
    both.write_text(KEY.read_text() + CERTIFICATE.read_text())
    with (
        serving(engine, replace(PAIR, certificate=both, key=None) if together else PAIR) as here,
        open_socket(f"wss://127.0.0.1:{here.port}/ws", subprotocols=[SUBPROTOCOL], ssl=secured(here)) as client,
    ):
        assert isinstance(parse_event(str(client.recv())), Hello)


@pytest.mark.parametrize(
    ("certificate", "key", "line"),
    [
        (None, KEY, "there is a key, .*, but no certificate"),
        (Path("nowhere.pem"), KEY, "cannot be read: No such file"),
        (CERTIFICATE, Path("nowhere.pem"), "cannot be read: No such file"),
        (HERE, KEY, "cannot be read"),
        (CERTIFICATE, OTHER_KEY, "do not belong together"),
        (CERTIFICATE, None, "with a key in the same file cannot be read as PEM; name the file of the key by --key"),
        (Path(__file__), KEY, "cannot be read as PEM"),
        (KEY, CERTIFICATE, "cannot be read as PEM"),
    ],
)
def test_a_pair_that_cannot_be_is_one_line(certificate: Path | None, key: Path | None, line: str) -> None:
    with pytest.raises(DeviceError, match=line) as told:
        serve(FakeEngine(), Settings(port=0, certificate=certificate, key=key))
    assert "\n" not in str(told.value)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it() -> None:
    locked = KEY.with_name("locked-key.pem")
    assert "ENCRYPTED" in locked.read_text()
    with pytest.raises(DeviceError, match="the key without a password"):
        exposure.tls(Settings(certificate=CERTIFICATE, key=locked))


def test_with_a_certificate_the_page_is_told_by_the_name_that_fits_it(engine: FakeEngine) -> None:
    with serving(engine, replace(PAIR, names=("Stage.Example.", "other.example"))) as here:
        assert here.url == f"https://stage.example:{here.port}/"
    with serving(FakeEngine(), Settings(port=0, names=("stage.example",))) as here:
        assert here.url == f"http://127.0.0.1:{here.port}/"


def test_without_a_certificate_there_is_no_tls() -> None:
    assert exposure.tls(Settings()) is None
