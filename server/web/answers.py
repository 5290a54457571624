"""Answers to HTTP requests: so many at once, so many a second; who comes when there are more waits for a turn."""

import asyncio
import time
from collections.abc import Callable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from clavilux.runtime.token_bucket import TokenBucket
from clavilux.server.stage.peer_log import PeerLog
from clavilux.server.web.limits import Limits

BUSY = "too many requests at once; try again later\n"


class BoundedAnswers:
    """ASGI middleware that lets `limits.answers` HTTP requests be answered at once, `limits.requests` a second."""

    def __init__(
        self, app: ASGIApp, limits: Limits, peers: PeerLog, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._limits = limits
        self._peers = peers
        self._clock = clock
        self._turns = asyncio.Semaphore(limits.answers)
        self._pace = TokenBucket(limits.request_burst, limits.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in turn; 503 for an HTTP request whose turn does not come within `limits.answer_seconds`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif await self._has_turn():
            try:
                await self._app(scope, receive, send)
            finally:
                self._turns.release()
        else:
            self._peers.refused("http_503", f"no turn came for a request within {self._limits.answer_seconds:g} s")
            await PlainTextResponse(BUSY, 503, {"connection": "close"})(scope, receive, send)

    async def _has_turn(self) -> bool:
        """Wait for a turn, and return whether it came."""
        now = self._clock()
        self._pace.spend(1, now)
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                await asyncio.sleep(self._pace.wait(now))
                await self._turns.acquire()
        except TimeoutError:
            return False
        return True
