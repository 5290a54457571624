"""The websocket channel: what it does when the client is gone."""

import pytest
from starlette.websockets import WebSocketDisconnect

from clavilux.server.stage.message_pump import GoneError
from clavilux.server.web.channel import WebSocketChannel

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
