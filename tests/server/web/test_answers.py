"""Requests are answered a few at once and so many a second; who waits too long hears it."""

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Message, Receive, Scope, Send

from clavilux.server.stage.peer_log import PeerLog
from clavilux.server.web.answers import BoundedAnswers
from clavilux.server.web.limits import Limits

pytestmark = pytest.mark.anyio
SCOPE = {"type": "http", "method": "GET", "headers": []}
LIMITS = Limits(answers=2)
TURNS = 50  # of the event loop, more than enough for everything that can happen


def peers() -> PeerLog:
    return PeerLog(Counter("refused", "Refused", ["reason"], registry=CollectorRegistry()))


class App:
    """An application whose answers last until they are allowed."""

    def __init__(self) -> None:
        self.allowed = asyncio.Event()
        self.now, self.most, self.done = 0, 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.allowed.wait()
            self.done += 1
        finally:
            self.now -= 1


async def ask(app: BoundedAnswers, scope: Scope = SCOPE) -> list[Message]:
    """Ask once; return what was sent beside the application."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody reads a body")

    await app(scope, receive, send)
    return sent


async def asked_by_all(inner: App, count: int) -> None:
    """Let everything run that can, and see that `count` are being answered then."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert inner.now == count


async def test_no_more_are_answered_at_once_and_all_are_in_the_end() -> None:
    inner = App()
    app = BoundedAnswers(inner, LIMITS, peers())
    asked = asyncio.gather(*(ask(app) for _ in range(10)))
    await asked_by_all(inner, 2)
    inner.allowed.set()
    assert await asked == [[]] * 10
    assert (inner.most, inner.done) == (2, 10)


async def test_an_answer_that_fails_leaves_its_turn_to_the_next() -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise OSError("no file")

    app = BoundedAnswers(fails, LIMITS, peers())
    for _ in range(5):
        with pytest.raises(OSError, match="no file"):
            await ask(app)


async def test_who_waits_too_long_gets_503_and_has_to_go() -> None:
    inner = App()
    app = BoundedAnswers(inner, replace(LIMITS, answer_seconds=0.01), peers())
    slow = [asyncio.create_task(ask(app)) for _ in range(2)]
    await asked_by_all(inner, 2)
    start, body = await ask(app)
    assert (start["status"], body["body"]) == (503, b"too many requests at once; try again later\n")
    assert (b"connection", b"close") in start["headers"]
    inner.allowed.set()
    await asyncio.gather(*slow)
    assert await ask(app) == []


async def test_more_than_so_many_a_second_wait() -> None:
    inner = App()
    inner.allowed.set()
    app = BoundedAnswers(inner, Limits(requests=1, request_burst=2, answer_seconds=0.02), peers(), lambda: 0.0)
    answers = [len(await ask(app)) for _ in range(3)]
    assert answers == [0, 0, 2]


async def test_websockets_wait_for_nobody() -> None:
    inner = App()
    app = BoundedAnswers(inner, LIMITS, peers())
    asked = asyncio.gather(*(ask(app, {"type": "websocket"}) for _ in range(10)))
    await asked_by_all(inner, 10)
    inner.allowed.set()
    await asked
