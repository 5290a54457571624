"""The application through a real socket: routes, headers, who may connect."""

import asyncio
import http.client
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from clavilux import server
from clavilux.server.protocol.binary import Sound, pack_sound
from clavilux.server.protocol.messages import ErrorEvent, Hello, PictureFormat, Ping, SoundFormat, Start, Started
from clavilux.server.protocol.text import encode, parse_event
from clavilux.server.protocol.words import HARD_LIMIT_BYTES, SUBPROTOCOL
from clavilux.server.settings import PAGE, Right, Settings, Token
from clavilux.server.stage.tries import BURST
from clavilux.server.web.run import Listening
from clavilux.server.web.security import SECURITY_HEADERS
from tests.server.fakes import FakeEngine, make_frame, serving

pytestmark = pytest.mark.anyio
V1 = [Subprotocol(SUBPROTOCOL)]


def fetch(
    here: Listening, path: str, headers: Mapping[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(here.host, here.port, timeout=10)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


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


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1"},
        {"X-Real-IP": "192.0.2.1"},
        {"Via": "1.1 proxy"},
        {"Host": "evil.example"},
        {"X-Forwarded-For": "192.0.2.1"} | bearer("the watcher's"),
        {"X-Forwarded-For": "192.0.2.1"} | bearer("the player's"),
    ],
)
def test_metrics_are_not_for_everyone(engine: FakeEngine, settings: Settings, headers: dict[str, str]) -> None:
    tokens = (Token("the watcher's", Right.WATCH), Token("the player's", Right.PLAY))
    with serving(engine, replace(settings, tokens=tokens)) as here:
        response, body = fetch(here, "/metrics", headers)
    assert (response.status, response.headers["www-authenticate"]) == (401, "Bearer")
    assert b"tokens of the role admin" in body


def test_metrics_are_for_this_machine_and_for_an_admin(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, replace(settings, token="secret")) as here:
        assert fetch(here, "/metrics")[0].status == 200
        assert fetch(here, "/metrics", {"X-Forwarded-For": "192.0.2.1"} | bearer("secret"))[0].status == 200


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


async def test_who_only_connects_makes_room_for_who_comes_to_play(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, replace(settings, max_waiting_per_address=3)) as here:
        url = f"ws://{here.host}:{here.port}/ws"
        async with AsyncExitStack() as kept:
            strangers = [await kept.enter_async_context(open_socket(url, subprotocols=V1)) for _ in range(10)]
            assert all([isinstance(await event(stranger), Hello) for stranger in strangers])
            async with open_socket(url, subprotocols=V1) as performer:
                await performer.send(encode(Start("performer", SoundFormat("pcm16", 16_000))))
                assert isinstance(await event(performer), Hello)
                assert isinstance(await event(performer), Started)
            for stranger in strangers[:8]:
                error = await event(stranger)
                assert isinstance(error, ErrorEvent)
                assert (error.code, error.retry_after) == ("try_again", 1)
                with pytest.raises(ConnectionClosed):
                    await stranger.recv()
                assert (stranger.close_code, stranger.close_reason) == (1013, error.message)
            await strangers[9].ping()


async def test_a_connection_that_is_half_open_gives_way_to_who_comes_back(engine: FakeEngine, url: str) -> None:
    playing = Start("performer", SoundFormat("pcm16", 16_000), PictureFormat("rgb"))
    engine.picture = (2048, 2048)
    async with open_socket(url, subprotocols=V1) as broken:
        await broken.send(encode(playing))
        await event(broken)
        began = await event(broken)
        assert isinstance(began, Started)
        # As after a cable was pulled: nothing comes from it any more, nothing is taken, nothing is closed.
        broken.transport.pause_reading()
        large = np.zeros((2048, 2048, 3), np.uint8)
        for sequence in range(2):
            engine.give(replace(make_frame(sequence), pixels=large))
        coming = Start("performer", playing.sound)
        async with open_socket(url, subprotocols=V1) as back:
            assert isinstance(await event(back), Hello)
            await back.send(encode(coming))
            refused = await event(back)
            assert isinstance(refused, ErrorEvent)
            assert refused.code == "stage_taken"
            await back.send(encode(structs.replace(coming, session=began.session)))
            again = await event(back)
            assert isinstance(again, Started)
            assert again.session == began.session
            packet = np.zeros((160, 1), np.float32)
            await back.send(pack_sound(Sound(0, 0, packet), "pcm16"))
            await back.send(encode(Ping(1)))
            while not isinstance(await back.recv(), str):
                pass
            assert len(engine.heard) == 1
        broken.transport.abort()


async def test_a_token_in_the_header_opens_the_stage(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, replace(settings, token="schlüssel")) as here:
        url = f"ws://{here.host}:{here.port}/ws"
        shown = bearer("schlüssel".encode().decode("latin-1"))
        async with open_socket(url, subprotocols=V1, additional_headers=shown) as socket:
            assert isinstance(await event(socket), Hello)
            await socket.send(encode(Start("viewer")))
            assert isinstance(await event(socket), Started)


async def test_wrong_tokens_in_the_header_are_refused_and_counted(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, replace(settings, token="secret")) as here:
        answers = []
        for shown in ["wrong"] * (BURST + 1) + ["secret"]:
            with pytest.raises(InvalidStatus) as caught:
                await open_socket(f"ws://{here.host}:{here.port}/ws", subprotocols=V1, additional_headers=bearer(shown))
            answers.append((caught.value.response.status_code, caught.value.response.headers.get("Retry-After")))
    assert answers == [(401, None)] * BURST + [(429, "10")] * 2


async def test_another_scheme_in_the_header_is_no_token(engine: FakeEngine, settings: Settings) -> None:
    with serving(engine, replace(settings, token="secret")) as here:
        url = f"ws://{here.host}:{here.port}/ws"
        async with open_socket(url, subprotocols=V1, additional_headers={"Authorization": "Basic eDp5"}) as socket:
            assert isinstance(await event(socket), Hello)


async def test_only_a_proxy_that_was_named_tells_where_others_come_from(engine: FakeEngine, settings: Settings) -> None:
    """Who guesses behind a proxy uses up no other's tries where it is believed, and everyone's where it is not."""
    for proxies, others in ((("127.0.0.1",), 200), ((), 429)):
        with serving(engine, replace(settings, token="secret", proxies=proxies)) as here:
            for _ in range(BURST):
                fetch(here, "/metrics", {"X-Forwarded-For": "192.0.2.1"} | bearer("wrong"))
            response, _ = fetch(here, "/metrics", {"X-Forwarded-For": "192.0.2.2"} | bearer("secret"))
            assert response.status == others


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


async def test_a_full_house_behind_one_address_comes_back_at_once(here: Listening, url: str) -> None:
    async def visit() -> None:
        async with open_socket(url, subprotocols=V1) as socket:
            assert isinstance(await event(socket), Hello)
            connected.release()
            await all_connected.wait()
            await socket.send(encode(Start("viewer")))
            assert isinstance(await event(socket), Started)

    async def let_start() -> None:
        for _ in range(count):
            await connected.acquire()
        all_connected.set()

    count = Settings().max_viewers
    connected, all_connected = asyncio.Semaphore(0), asyncio.Event()
    await asyncio.gather(let_start(), *(visit() for _ in range(count)))
