"""The websocket channel: what it does when the client is gone, and what it says of one that was there."""

import logging
import re

import pytest
from starlette.websockets import WebSocketDisconnect

from clavilux.server.stage.message_pump import GoneError
from clavilux.server.web.channel import WebSocketChannel
from clavilux.server.web.run import Listening
from tests import waiting
from tests.server.web.raw_client import CLOSE, TEXT, frame, opened, rest

pytestmark = pytest.mark.anyio


class _Socket:
    """A websocket whose sending fails as it is told."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def send(self, message: object) -> None:
        raise self.error


@pytest.mark.parametrize("error", [WebSocketDisconnect(1006), RuntimeError("after sending 'websocket.close'")])
async def test_sending_to_a_closed_socket_says_that_the_client_is_gone(error: Exception) -> None:
    channel = WebSocketChannel(_Socket(error))
    with pytest.raises(GoneError):
        await channel.send("late")
    with pytest.raises(GoneError):
        await channel.close(1000, "late")


def test_who_came_and_went_is_a_line_each_with_its_facts(here: Listening, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "clavilux.server.web.channel")
    start = b'{"type":"start","role":"viewer","token":"secret"}'
    with opened(here) as client:
        peer = f"127.0.0.1:{client.getsockname()[1]}"
        client.sendall(frame(TEXT, start))
        heard = b""
        while b'"type":"started"' not in heard:
            heard += client.recv(1 << 16)
        client.sendall(frame(CLOSE, b"\x03\xe9"))
        rest(client)
    waiting.until(lambda: len(caplog.messages) == 2, "the line of the end")
    came, went = caplog.records
    assert vars(came)["facts"] == {"event": "opened", "peer": peer}
    facts = dict(vars(went)["facts"])
    assert facts.pop("seconds") > 0
    assert facts.pop("sent_bytes") > 1000  # hello alone
    assert facts == {
        "event": "closed",
        "peer": peer,
        "role": "viewer",
        "code": 1001,
        "received_messages": 1,
        "received_bytes": len(start),
        "sent_messages": 2,
    }
    assert re.fullmatch(
        rf"{peer} \(viewer\) left after [\d.]+ s, code 1001: 1 messages, {len(start)} bytes came, 2, \d+ went",
        went.getMessage(),
    )
    assert "secret" not in caplog.text
