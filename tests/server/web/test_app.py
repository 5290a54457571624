"""The application through a real socket: routes, headers, who may connect."""

import asyncio
import http.client
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from clavilux import server
from clavilux.server.protocol.messages import Hello, Start, Started
from clavilux.server.protocol.text import encode, parse_event
from clavilux.server.protocol.words import HARD_LIMIT_BYTES, SUBPROTOCOL
from clavilux.server.settings import PAGE, Settings
from clavilux.server.web import app as module
from clavilux.server.web.run import Listening
from clavilux.server.web.security import SECURITY_HEADERS
from tests.server.fakes import FakeEngine, serving

pytestmark = pytest.mark.anyio
V1 = [Subprotocol(SUBPROTOCOL)]


def fetch(here: Listening, path: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(here.host, here.port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


async def event(socket: ClientConnection) -> object:
    message = await socket.recv()
    assert isinstance(message, str)
    return parse_event(message)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/page/client.js", "text/javascript"), ("/page/style.css", "text/css")],
)
def test_the_page_is_served_with_its_content_types(here: Listening, path: str, kind: str) -> None:
    response, body = fetch(here, path)
    assert response.status == 200
    assert response.headers["content-type"].startswith(kind)
    assert body


@pytest.mark.parametrize("path", ["/", "/page/client.js", "/healthz", "/nowhere"])
def test_every_answer_is_hardened(here: Listening, path: str) -> None:
    response, _ = fetch(here, path)
    for name, value in SECURITY_HEADERS.items():
        assert response.headers[name] == value


@pytest.mark.parametrize("path", ["/nowhere", "/page/nothing.js", "/page/../app.py", "/page/%2e%2e/app.py"])
def test_nothing_outside_the_page_is_served(here: Listening, path: str) -> None:
    assert fetch(here, path)[0].status == 404


def test_the_product_has_a_page_folder_of_its_own() -> None:
    assert PAGE.name == "page"
    assert PAGE.parent == Path(server.__file__).parent


def test_healthz_says_that_the_server_lives(here: Listening) -> None:
    response, body = fetch(here, "/healthz")
    assert (response.status, body) == (200, b"ok")


def test_readyz_is_200_only_while_pictures_come(engine: FakeEngine, here: Listening) -> None:
    def told() -> tuple[int, bytes]:
        response, body = fetch(here, "/readyz")
        return response.status, body

    assert told() == (503, b"starting")
    engine.ready.set()
    assert told() == (200, b"playing")
    engine.restarting = True
    assert told() == (503, b"restarting")
    engine.failure = RuntimeError("broken")
    assert told() == (503, b"failed")


def test_metrics_are_prometheus_text(here: Listening) -> None:
    response, body = fetch(here, "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert b"clavilux_frames_total 0.0" in body


async def test_a_socket_without_the_subprotocol_is_refused_with_the_reason(url: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(url)
    assert caught.value.response.status_code == 400
    assert b"expected clavilux.v1" in (caught.value.response.body or b"")


async def test_the_subprotocol_is_chosen_among_several(url: str) -> None:
    async with open_socket(url, subprotocols=[Subprotocol("other"), *V1]) as socket:
        assert socket.subprotocol == SUBPROTOCOL
        assert isinstance(await event(socket), Hello)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
async def test_a_page_from_elsewhere_is_refused(url: str, origin: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(url, subprotocols=V1, origin=Origin(origin))
    assert caught.value.response.status_code == 403


async def test_the_servers_own_page_may_connect(here: Listening, url: str) -> None:
    async with open_socket(url, subprotocols=V1, origin=Origin(f"http://127.0.0.1:{here.port}")) as socket:
        assert isinstance(await event(socket), Hello)


async def test_a_page_from_elsewhere_may_connect_if_the_settings_name_it(
    engine: FakeEngine, settings: Settings
) -> None:
    with serving(engine, replace(settings, origins=("http://localhost:5173",))) as here:
        url = f"ws://{here.host}:{here.port}/ws"
        async with open_socket(url, subprotocols=V1, origin=Origin("http://localhost:5173")) as socket:
            assert isinstance(await event(socket), Hello)


async def test_a_name_pointed_at_this_machine_by_someone_else_is_refused(here: Listening) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await open_socket(
            f"ws://evil.example:{here.port}/ws",
            subprotocols=V1,
            origin=Origin(f"http://evil.example:{here.port}"),
            host="127.0.0.1",
            port=here.port,
            proxy=None,
        )
    assert caught.value.response.status_code == 403


async def test_sockets_beyond_the_limit_are_closed_at_once(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_CONNECTIONS", 0)
    with serving(engine, replace(settings, max_viewers=1)) as here:
        url = f"ws://{here.host}:{here.port}/ws"
        async with open_socket(url, subprotocols=V1) as first, open_socket(url, subprotocols=V1) as second:
            assert isinstance(await event(first), Hello)
            with pytest.raises(ConnectionClosed):
                await second.recv()
            assert second.close_code == 1013


async def test_a_message_beyond_all_limits_ends_the_connection(url: str) -> None:
    async with open_socket(url, subprotocols=V1) as socket:
        await event(socket)
        await socket.send(bytes(HARD_LIMIT_BYTES + 1))
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1009


async def test_a_message_over_the_limit_is_an_error_and_the_session_lives(url: str) -> None:
    async with open_socket(url, subprotocols=V1) as socket:
        await event(socket)
        await socket.send("x" * 70_000)
        error = await event(socket)
        assert "too_large" in str(error)
        await socket.send(encode(Start("viewer")))
        assert isinstance(await event(socket), Started)


async def test_many_connections_come_and_go(url: str) -> None:
    async def visit() -> None:
        async with open_socket(url, subprotocols=V1) as socket:
            assert isinstance(await event(socket), Hello)

    await asyncio.gather(*(visit() for _ in range(20)))
